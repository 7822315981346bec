"""The bars of goodput, on the real board in front of limits as real upstreams keep them: see `world`."""

import math

import pytest
from goodput_best import best_of
from goodput_scenes import Scene

from gateway.sandbox.config import Algorithm, LimitRule
from tests.simulation.world import World

LIMIT, PERIOD_S = 10, 4.0
EACH = LIMIT / PERIOD_S
MOST_WASTE = 0.02
"""Upstream 429s for each answered call."""


def rules(algorithm=Algorithm.BUCKET, **fields):
    return (LimitRule(**({"requests": LIMIT, "period_s": PERIOD_S, "algorithm": algorithm} | fields)),)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_is_refused_while_there_is_room(algorithm, seed):
    result = World(rules(algorithm), seed=seed).run(rate=0.9 * 8 * EACH, capacity=8 * EACH, seconds=150)

    assert result.refused == 0
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2])
def test_overload_is_served_to_the_limit_and_wastes_nothing(algorithm, seed):
    result = World(rules(algorithm), seed=seed).run(rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=150)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
@pytest.mark.parametrize("seed", [1, 2])
def test_windows_of_the_clock_are_used_to_their_limits(load, seed):
    world = World(rules(Algorithm.FIXED, is_by_clock=True), seed=seed)
    result = world.run(rate=load * 8 * EACH, capacity=8 * EACH, seconds=150)

    assert result.served >= 0.99 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
@pytest.mark.parametrize("whole", [math.ceil, round, math.floor])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_resets_in_whole_seconds_are_enough(algorithm, whole, load):
    world = World(rules(algorithm, requests=50, period_s=20.0), accounts=4, whole=whole)
    result = world.run(rate=load * 10, capacity=10, seconds=300, warm_up_s=40)

    assert result.served >= 0.99 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize("load", [0.9, 1.5])
@pytest.mark.parametrize("whole", [math.ceil, round, math.floor])
def test_windows_of_the_clock_may_tell_of_their_ends_in_whole_seconds(whole, load):
    world = World(rules(Algorithm.FIXED, requests=50, period_s=20.0, is_by_clock=True), accounts=4, whole=whole)
    result = world.run(rate=load * 10, capacity=10, seconds=300, warm_up_s=40)

    assert result.served >= 0.99 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


def test_a_load_that_is_just_the_capacity_is_served():
    result = World(rules()).run(rate=8 * EACH, capacity=8 * EACH, seconds=200)

    assert result.served >= 0.99 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


def test_headers_that_are_read_tell_what_is_handed_over():
    handed_over, read = (
        World(rules(requests=50, tokens=1000), writes=writes, names_organizations=True).run(
            rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=60, tokens=(10, 300)
        )
        for writes in (False, True)
    )

    assert read == handed_over


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_calls_that_are_now_more_now_less_time_on_their_way_meet_few_refusals(algorithm):
    result = World(rules(algorithm), transit_s=0.03).run(rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=150)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


def test_many_accounts_are_used_to_their_limits():
    result = World(rules(), accounts=64).run(rate=1.5 * 64 * EACH, capacity=64 * EACH, seconds=60)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("load", [0.9, 1.5])
def test_a_thousand_accounts_are_used_to_their_limits(load):
    limit, period_s = 4, 1.6
    capacity = 1000 * limit / period_s

    world = World(rules(requests=limit, period_s=period_s), accounts=1000)
    result = world.run(rate=load * capacity, capacity=capacity, seconds=8.0, warm_up_s=4.0)

    assert result.served >= 0.99 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load > 1


def test_one_account_is_used_to_its_limit():
    result = World(rules(), accounts=1).run(rate=1.5 * EACH, capacity=EACH, seconds=400)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


def test_tokens_are_a_limit_like_requests():
    result = World(rules(requests=None, tokens=10_000)).run(rate=30, capacity=20, seconds=100, tokens=1000)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


def test_unequal_limits_are_all_used():
    unequal = (*rules(org="org-0", requests=40), *(rule for i in range(1, 4) for rule in rules(org=f"org-{i}")))
    result = World(unequal, accounts=4).run(rate=1.5 * 7 * EACH, capacity=7 * EACH, seconds=150)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("load", [1.0, 1.5])
def test_without_headers_the_limit_is_learned_from_refusals(algorithm, load, delays_to_s):
    world = World(rules(algorithm), tells=False, delays_to_s=delays_to_s)
    result = world.run(rate=load * 8 * EACH, capacity=8 * EACH, seconds=200, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_without_headers_many_accounts_learn_as_fast_as_few(algorithm, delays_to_s):
    each = LIMIT / 16.0
    world = World(rules(algorithm, period_s=16.0), accounts=64, tells=False, delays_to_s=delays_to_s)
    result = world.run(rate=1.5 * 64 * each, capacity=64 * each, seconds=320, warm_up_s=60)

    assert result.goodput >= 0.97
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_without_headers_calls_may_be_late_on_their_way(algorithm):
    world = World(rules(algorithm), tells=False, late_share=0.01, seed=2)
    result = world.run(rate=8 * EACH, capacity=8 * EACH, seconds=150, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("load", [1.0, 1.5])
def test_without_headers_unequal_limits_are_all_used(algorithm, load):
    unequal = (
        *rules(algorithm, org="org-0", requests=40),
        *(rule for i in range(1, 4) for rule in rules(algorithm, org=f"org-{i}")),
    )
    world = World(unequal, accounts=4, tells=False)
    result = world.run(rate=load * 7 * EACH, capacity=7 * EACH, seconds=150, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_headers_nobody_is_refused_while_there_is_room(algorithm, seed):
    world = World(rules(algorithm), tells=False, seed=seed)
    result = world.run(rate=0.9 * 8 * EACH, capacity=8 * EACH, seconds=300)

    assert result.refused == 0
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("processes", [2, 3, 4, 8])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_processes_that_hear_of_each_other_share_the_limits(processes, algorithm):
    world = World(rules(algorithm), processes=processes)
    world.tell_uses()

    result = world.run(rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=40)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


def test_processes_remember_each_other_where_a_call_comes_back_in_half_a_minute():
    world = World(rules(requests=3, period_s=60.0), processes=2)
    world.tell_uses()

    result = world.run(rate=1.5 * 8 * 3 / 60, capacity=8 * 3 / 60, seconds=900)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2])
def test_two_processes_serve_a_load_that_is_just_the_capacity(algorithm, seed):
    world = World(rules(algorithm), processes=2, seed=seed)
    world.tell_uses()
    world.came = []

    result = world.run(rate=8 * EACH, capacity=8 * EACH, seconds=100, warm_up_s=20.0)

    scene = Scene("one", algorithm.value, limit=LIMIT, period_s=PERIOD_S)
    assert result.served >= 0.99 * best_of(scene, world.came, 20.0, 120.0)[0]
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_processes_refuse_nobody_while_there_is_room(algorithm, processes):
    world = World(rules(algorithm), processes=processes)
    world.tell_uses()

    result = world.run(rate=0.9 * 8 * EACH, capacity=8 * EACH, seconds=100)

    assert result.refused == 0
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize(
    ("algorithm", "most_waste"),
    [(Algorithm.BUCKET, MOST_WASTE), (Algorithm.FIXED, MOST_WASTE), (Algorithm.SLIDING, 0.03)],
)
def test_a_process_with_most_of_the_calls_takes_what_the_other_leaves(algorithm, most_waste):
    world = World(rules(algorithm), processes=2, favoured=3)
    world.tell_uses()

    result = world.run(rate=0.9 * 8 * EACH, capacity=8 * EACH, seconds=100)

    assert result.refused == 0
    assert result.waste <= most_waste


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_that_do_not_hear_of_each_other_find_out_and_hold_back(processes):
    result = World(rules(), processes=processes).run(rate=0.9 * 8 * EACH, capacity=8 * EACH, seconds=100)
    overloaded = World(rules(), processes=processes).run(rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=150)

    assert result.refused == 0
    assert overloaded.goodput >= 0.9
    assert overloaded.waste <= 0.2


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("load", [0.9, 1.5])
def test_processes_without_headers_learn_the_limit_together(algorithm, load):
    world = World(rules(algorithm), tells=False, processes=2)
    world.tell_uses()

    result = world.run(rate=load * 8 * EACH, capacity=8 * EACH, seconds=200, warm_up_s=40)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load > 1


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_four_processes_without_headers_share_what_they_learned(algorithm):
    world = World(rules(algorithm), tells=False, processes=4)
    world.tell_uses()

    result = world.run(rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=150, warm_up_s=40)

    assert result.goodput >= 0.97
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_processes_without_headers_learn_limits_of_many_calls_too(algorithm):
    world = World(rules(algorithm, requests=100), tells=False, processes=2)
    world.tell_uses()

    result = world.run(rate=300, capacity=200, seconds=20, warm_up_s=40)

    assert result.goodput >= 0.97
    assert result.waste <= MOST_WASTE
