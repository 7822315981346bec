"""No headers, however odd, do worse than none: what they tell is held against what becomes of calls."""

import msgspec
import pytest

from gateway.sandbox.config import Algorithm, LimitRule, ResetTo
from tests.simulation.process import CALL
from tests.simulation.test_goodput import EACH, MOST_WASTE, rules
from tests.simulation.world import World


def day(reading, now):
    """Of another limit, which is roomy."""
    return msgspec.structs.replace(reading, limit=100_000, remaining=100_000 - int(now), reset_s=50_000.0)


def half(reading, _):
    """As if the limit was half of what it is."""
    return msgspec.structs.replace(reading, limit=reading.limit // 2, remaining=reading.remaining // 2)


def stuck(reading, _):
    """Nothing is ever left."""
    return msgspec.structs.replace(reading, limit=1, remaining=0, reset_s=60.0)


def play(rules, *, load=1.5, processes=1, **fields):
    world = World(rules, processes=processes, are_neighbours=True, **fields)
    if processes > 1:
        world.tell_uses()
    return world.run(rate=load * 8 * EACH, capacity=8 * EACH, seconds=80, warm_up_s=140)


def hold_the_bars(result):
    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_headers_without_a_reset_are_enough(algorithm):
    hold_the_bars(play(rules(algorithm, reset_to=ResetTo.NONE)))


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
def test_headers_that_always_tell_the_whole_period_are_enough(algorithm):
    result = play(rules(algorithm, reset_to=ResetTo.PERIOD))

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


def test_a_bucket_may_tell_when_its_next_call_comes_back():
    hold_the_bars(play(rules(reset_to=ResetTo.NEXT)))


@pytest.mark.parametrize(
    ("algorithm", "misleads"),
    [
        *((algorithm, misleads) for algorithm in Algorithm for misleads in (day, half)),
        (Algorithm.BUCKET, stuck),
        (Algorithm.FIXED, stuck),
    ],
)
def test_headers_that_mislead_do_no_worse_than_none(algorithm, misleads):
    hold_the_bars(play(rules(algorithm), misleads=misleads))


@pytest.mark.parametrize("algorithm", [Algorithm.BUCKET, Algorithm.SLIDING])
def test_workers_find_out_together(algorithm):
    hold_the_bars(play(rules(algorithm, reset_to=ResetTo.NONE), processes=2))


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_honest_headers_are_not_doubted(algorithm):
    world = World((LimitRule(requests=10, period_s=4.0, algorithm=algorithm),))
    result = world.run(rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=200)

    assert result.goodput >= 0.99
    assert result.waste <= 0.005
    headrooms = [member.headrooms[0] for member in world.processes[0].board.pools.pool_for(CALL).members]
    assert not any(headroom.is_taught for headroom in headrooms)
