"""The bars of goodput for the workers of one service, which is what a gateway is by default: one for each core."""

import pytest

from gateway.sandbox.config import Algorithm, LimitRule
from tests.simulation.world import World

LIMIT, PERIOD_S = 10, 4.0
CAPACITY = 8 * LIMIT / PERIOD_S
MOST_WASTE = 0.02


def workers(algorithm, count, **fields):
    rule = LimitRule(requests=LIMIT, period_s=PERIOD_S, algorithm=algorithm)
    world = World((rule,), processes=count, are_neighbours=True, **fields)
    world.tell_uses()
    return world


@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_workers_share_the_limits_as_if_they_were_one(algorithm, count, load):
    seconds = 250 if load == 1.0 else 100  # what few callers leave at first nobody can make up for
    result = workers(algorithm, count).run(rate=load * CAPACITY, capacity=CAPACITY, seconds=seconds)

    least = 0.98 if count == 4 and load == 1.0 else 0.99
    assert result.served >= least * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_without_headers_workers_learn_the_limit_together(algorithm, delays_to_s, load):
    world = workers(algorithm, 2, tells=False, delays_to_s=delays_to_s)
    result = world.run(rate=load * CAPACITY, capacity=CAPACITY, seconds=240, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize("load", [0.9, 1.5])
@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_without_headers_workers_learn_of_a_few_accounts_as_well(algorithm, delays_to_s, load):
    each = LIMIT / PERIOD_S
    world = workers(algorithm, 2, tells=False, delays_to_s=delays_to_s, accounts=2, seed=4)
    result = world.run(rate=load * 2 * each, capacity=2 * each, seconds=150, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2])
def test_without_headers_workers_learn_unequal_limits_together(algorithm, load, seed):
    sizes = [10, 20, 50, 5] * 2
    unequal = [
        LimitRule(requests=size, period_s=PERIOD_S, algorithm=algorithm, org=f"org-{i}") for i, size in enumerate(sizes)
    ]
    world = World(tuple(unequal), processes=2, are_neighbours=True, tells=False, seed=seed)
    world.tell_uses()
    capacity = sum(sizes) / PERIOD_S
    result = world.run(rate=load * capacity, capacity=capacity, seconds=100, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
@pytest.mark.parametrize("seed", [1, 2])
def test_without_headers_workers_share_a_few_calls_a_minute(algorithm, seed):
    rule = LimitRule(requests=3, period_s=60.0, algorithm=algorithm)
    world = World((rule,), processes=2, are_neighbours=True, tells=False, seed=seed)
    world.tell_uses()
    result = world.run(rate=1.5 * 8 / 20, capacity=8 / 20, seconds=600, warm_up_s=240)

    assert result.goodput >= 0.97
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("algorithm", [Algorithm.FIXED, Algorithm.SLIDING])
@pytest.mark.parametrize("seed", [1, 2])
def test_half_a_minute_is_enough_to_find_a_window_though_refusals_name_no_delay(algorithm, count, seed):
    world = workers(algorithm, count, tells=False, delays_to_s=None, latency_s=0.175, seed=seed)
    result = world.run(rate=1.5 * CAPACITY, capacity=CAPACITY, seconds=36, warm_up_s=24)

    assert result.goodput >= 0.96
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_without_headers_four_workers_do_not_meet_at_the_last_call(algorithm, delays_to_s):
    world = workers(algorithm, 4, tells=False, delays_to_s=delays_to_s)
    result = world.run(rate=0.9 * CAPACITY, capacity=CAPACITY, seconds=60, warm_up_s=40)

    assert result.refused == 0
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_worker_with_most_of_the_calls_takes_what_the_other_leaves(algorithm):
    result = workers(algorithm, 2, favoured=3).run(rate=0.9 * CAPACITY, capacity=CAPACITY, seconds=60)

    assert result.refused == 0
    assert result.waste <= MOST_WASTE
