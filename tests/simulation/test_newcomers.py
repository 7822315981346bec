"""Accounts that are added while calls wait: what their neighbours know of the limit holds until their answers speak."""

import pytest

from gateway.sandbox.config import Algorithm, KeyConfig, LimitRule
from tests.fakes.relay_kit import account, snapshot_of
from tests.simulation.world import World

LIMIT, PERIOD_S = 10, 4.0
OLD, NEW = 4, 4
ADDED_AFTER_S, WATCHED_S = 60.0, 40.0


def with_newcomers(algorithm, *, processes=1, **fields):
    """Four accounts under a load that is too much for them; four more come. What happened from then on."""
    rule = LimitRule(requests=LIMIT, period_s=PERIOD_S, algorithm=algorithm)
    world = World((rule,), accounts=OLD, processes=processes, are_neighbours=True, **fields)
    if processes > 1:
        world.tell_uses()

    def add():
        for i in range(OLD, OLD + NEW):
            world.keys[f"a{i}"] = KeyConfig(org=f"org-{i}")
        for process in world.processes:
            process.board.replace_snapshot(snapshot_of(*[account(f"a{i}") for i in range(OLD + NEW)]))

    world.later(world.clock.now() + ADDED_AFTER_S, add)
    capacity = (OLD + NEW) * LIMIT / PERIOD_S
    return world.run(rate=1.5 * capacity, capacity=capacity, seconds=WATCHED_S, warm_up_s=ADDED_AFTER_S)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_the_line_does_not_fall_upon_accounts_that_come_anew(algorithm, processes):
    result = with_newcomers(algorithm, processes=processes)

    assert result.goodput >= 0.97
    assert result.wasted <= NEW * LIMIT


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_without_headers_they_begin_with_what_their_neighbours_found(algorithm):
    result = with_newcomers(algorithm, tells=False)

    assert result.goodput >= 0.97
    assert result.waste <= 0.02
