"""Upstreams that charge calls more or less tokens than we estimate: how much of their limits is used, and wasted."""

import pytest

from gateway.sandbox.charging import charge_of
from gateway.sandbox.config import Algorithm, LimitRule
from tests.simulation.world import World

LIMIT, PERIOD_S, ACCOUNTS = 20_000, 10.0, 8
SIZES = tuple(range(100, 2001, 50))
BODIES = (*range(100, 301, 25), 2000)
"""Most of them small: what each call costs besides is a twentieth of all."""
MOST_WASTE = 0.02


def play(algorithm, load, *, processes=1, seconds=80, sizes=SIZES, **charge):
    """`charge`: what the upstream makes of estimates, as `LimitRule` has it."""
    rule = LimitRule(tokens=LIMIT, period_s=PERIOD_S, algorithm=algorithm, **charge)
    world = World((rule,), accounts=ACCOUNTS, processes=processes, are_neighbours=True)
    if processes > 1:
        world.tell_uses()
    capacity = ACCOUNTS * LIMIT / PERIOD_S * sum(sizes) / sum(charge_of(rule, size) for size in sizes)
    rate = load * capacity / (sum(sizes) / len(sizes))
    return world.run(rate=rate, capacity=capacity, seconds=seconds, warm_up_s=30, tokens=sizes)


@pytest.mark.parametrize("charge", [0.5, 0.7, 0.97, 1.03, 1.3])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_limits_are_used_up_whatever_a_token_is_charged(algorithm, charge):
    result = play(algorithm, 1.5, charge=charge)

    assert result.tokens >= 0.99 * result.capacity
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("charge", [0.7, 0.95, 1.05, 1.3])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_two_workers_learn_it_too(algorithm, charge):
    result = play(algorithm, 1.5, processes=2, charge=charge)

    assert result.tokens >= (0.98 if algorithm is Algorithm.SLIDING else 0.99) * result.capacity
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", [Algorithm.BUCKET, Algorithm.FIXED])
def test_charges_may_differ_from_call_to_call(algorithm):
    result = play(algorithm, 1.5, charge_varies=0.3)

    assert result.tokens >= 0.985 * result.capacity
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
@pytest.mark.parametrize("processes", [1, 2])
def test_each_call_may_be_charged_so_many_less(algorithm, processes):
    """So it was over sockets, where whole bodies were taken for prompts: two workers served 0.945."""
    result = play(algorithm, 1.5, processes=processes, sizes=BODIES, charge_each=-16)

    assert result.tokens >= 0.97 * result.capacity
    assert result.waste <= 0.04


@pytest.mark.parametrize("charge", [0.7, 1.3])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_nobody_is_refused_while_there_is_room(algorithm, charge):
    result = play(algorithm, 0.9, charge=charge)

    assert result.refused == 0
    assert result.waste <= MOST_WASTE
