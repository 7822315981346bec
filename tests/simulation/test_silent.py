"""The bars of goodput where no header tells of a limit, and refusals tell little of it: see `world`."""

import pytest

from gateway.sandbox.config import Algorithm
from tests.simulation.test_goodput import EACH, LIMIT, MOST_WASTE, rules
from tests.simulation.world import Result, World


def hold_the_bars(result: Result, load: float) -> None:
    """Of limits that no header names."""
    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize("delays_to_s", [1.0, None])
@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
@pytest.mark.parametrize("seed", [2, 3])
def test_a_vague_delay_or_none_is_enough(algorithm, seed, delays_to_s):
    world = World(rules(algorithm), tells=False, delays_to_s=delays_to_s, seed=seed)
    result = world.run(rate=8 * EACH, capacity=8 * EACH, seconds=150, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused <= 0.01 * result.offered


@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
@pytest.mark.parametrize("workers", [1, 2])
def test_windows_that_begin_by_the_upstreams_clock_are_found(workers, load, delays_to_s):
    world = World(
        rules(Algorithm.FIXED, is_by_clock=True), tells=False, delays_to_s=delays_to_s, processes=workers,
        are_neighbours=True, seed=2,
    )  # fmt: skip
    if workers > 1:
        world.tell_uses()
    result = world.run(rate=load * 8 * EACH, capacity=8 * EACH, seconds=100, warm_up_s=40)

    hold_the_bars(result, load)


@pytest.mark.parametrize("delays_to_s", [1.0, None])
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
def test_limits_of_a_second_are_used_though_refusals_tell_no_moment(algorithm, load, delays_to_s):
    world = World(rules(algorithm, period_s=1.0), tells=False, delays_to_s=delays_to_s, seed=2)
    result = world.run(rate=load * 8 * LIMIT, capacity=8 * LIMIT, seconds=60, warm_up_s=40)

    hold_the_bars(result, load)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("load", [0.9, 1.0])
def test_whole_seconds_are_enough_for_limits_of_many_calls_a_second(algorithm, load):
    world = World(rules(algorithm, requests=50, period_s=1.0), accounts=2, tells=False, delays_to_s=1.0)
    result = world.run(rate=load * 100, capacity=100, seconds=30, warm_up_s=40)

    hold_the_bars(result, load)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("load", [1.0, 1.5])
def test_whole_seconds_are_enough_for_unequal_limits(algorithm, load):
    unequal = (
        *rules(algorithm, org="org-0", requests=40),
        *(rule for i in range(1, 4) for rule in rules(algorithm, org=f"org-{i}")),
    )
    world = World(unequal, accounts=4, tells=False, delays_to_s=1.0)
    result = world.run(rate=load * 7 * EACH, capacity=7 * EACH, seconds=150, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("load", [1.0, 1.5])
@pytest.mark.parametrize("seed", [1, 2])
def test_unequal_buckets_are_used_though_refusals_name_no_delay(load, seed):
    unequal = (*rules(org="org-0", requests=40), *(rule for i in range(1, 4) for rule in rules(org=f"org-{i}")))
    world = World(unequal, accounts=4, tells=False, delays_to_s=None, seed=seed)
    result = world.run(rate=load * 7 * EACH, capacity=7 * EACH, seconds=150, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
@pytest.mark.parametrize(("load", "delays_to_s"), [(1.0, None), (1.5, 1.0)])
def test_windows_of_hundreds_of_calls_are_found_too(algorithm, load, delays_to_s):
    world = World(rules(algorithm, requests=500, period_s=60.0), accounts=2, tells=False, delays_to_s=delays_to_s)
    result = world.run(rate=load * 2 * 500 / 60, capacity=2 * 500 / 60, seconds=360, warm_up_s=180)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("seed", [1, 2])
def test_two_replicas_do_not_meet_at_the_last_call_below_their_limits(algorithm, delays_to_s, seed):
    world = World(rules(algorithm), tells=False, delays_to_s=delays_to_s, processes=2, seed=seed)
    world.tell_uses()
    result = world.run(rate=0.9 * 8 * EACH, capacity=8 * EACH, seconds=100, warm_up_s=40)

    hold_the_bars(result, 0.9)


@pytest.mark.parametrize("delays_to_s", [1.0, None])
def test_what_a_fast_bucket_refuses_looks_like_no_window_of_milliseconds(delays_to_s):
    world = World(rules(requests=100), tells=False, delays_to_s=delays_to_s, processes=2)
    world.tell_uses()
    result = world.run(rate=300, capacity=200, seconds=20, warm_up_s=40)

    hold_the_bars(result, 1.5)
