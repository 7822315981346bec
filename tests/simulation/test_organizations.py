"""Accounts of one organisation share its limits, whether somebody grouped them or not: see `world`."""

import pytest
from goodput_best import best_of
from goodput_scenes import Scene

from gateway.sandbox.config import Algorithm, ResetTo
from tests.simulation.test_goodput import EACH, MOST_WASTE, rules
from tests.simulation.world import World


def test_accounts_of_one_organisation_share_its_limit():
    result = World(rules(), orgs=2).run(rate=1.5 * 2 * EACH, capacity=2 * EACH, seconds=200)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("load", [1.0, 1.5])
@pytest.mark.parametrize("processes", [1, 2])
def test_accounts_of_one_organisation_that_nobody_grouped_share_its_limit_too(load, processes):
    world = World(rules(), orgs=2, grouped=False, names_organizations=True, processes=processes)
    world.tell_uses()

    result = world.run(rate=load * 2 * EACH, capacity=2 * EACH, seconds=200)

    assert result.served >= 0.99 * min(result.offered, result.capacity)
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("load", [0.9, 1.5])
@pytest.mark.parametrize(("processes", "reset_to"), [(1, ResetTo.FULL), (1, ResetTo.NEXT), (2, ResetTo.FULL)])
def test_what_an_organisations_sliding_window_holds_tells_whose_it_is(load, processes, reset_to):
    names = {"orgs": 2, "grouped": False, "names_organizations": True, "are_neighbours": True}
    world = World(rules(Algorithm.SLIDING, requests=40, reset_to=reset_to), processes=processes, **names)
    world.tell_uses()
    world.came = []

    result = world.run(rate=load * 20, capacity=20, seconds=60, warm_up_s=20.0)

    assert world.processes[0].board.pools.affiliations.organizations.is_shared(("openai", "org-0"))
    scene = Scene("two", "sliding", limit=40, accounts=2)
    assert result.served >= 0.99 * best_of(scene, world.came, 20.0, 80.0)[0]
    assert result.waste <= MOST_WASTE


def named_by_refusals(algorithm, processes, requests, seed, are_neighbours=True, grouped=False):
    """Eight accounts of two organisations, whose names stand in the texts of refusals and nowhere else."""
    world = World(
        rules(algorithm, requests=requests, is_by_clock=algorithm is Algorithm.FIXED), orgs=2, grouped=grouped,
        names_organizations=True, names_in_text_alone=True, seed=seed,
        processes=processes, are_neighbours=are_neighbours,
    )  # fmt: skip
    if processes > 1:
        world.tell_uses()
    return world


@pytest.mark.parametrize("load", [0.9, 1.0, 1.5])
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize(("processes", "are_neighbours"), [(1, True), (2, True), (2, False)])
def test_names_in_the_texts_of_refusals_alone_are_enough(processes, are_neighbours, algorithm, load):
    world = named_by_refusals(algorithm, processes, 40, 1, are_neighbours)

    result = world.run(rate=load * 20, capacity=20, seconds=160, warm_up_s=16)

    if result.served < 0.99 * min(result.offered, result.capacity):
        grouped = named_by_refusals(algorithm, processes, 40, 1, are_neighbours, grouped=True)
        assert result.served >= grouped.run(rate=load * 20, capacity=20, seconds=160, warm_up_s=16).served
    assert result.waste <= MOST_WASTE
    assert result.refused == 0 or load >= 1


@pytest.mark.parametrize(("processes", "requests"), [(1, 10), (1, 40), (2, 40)])
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2])
def test_few_refusals_of_each_account_teach_that(processes, algorithm, requests, seed):
    world = named_by_refusals(algorithm, processes, requests, seed)

    result = world.run(rate=1.5 * requests / 2, capacity=requests / 2, seconds=24, warm_up_s=0)

    shared = [process.board.pools.affiliations.organizations.is_shared for process in world.processes]
    assert all(is_shared(("openai", f"org-{index}")) for is_shared in shared for index in range(2))
    assert result.wasted <= 3 * 8


@pytest.mark.parametrize(
    ("algorithm", "processes"), [(Algorithm.BUCKET, 1), (Algorithm.BUCKET, 2), (Algorithm.FIXED, 1)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_accounts_whose_tokens_run_out_first_are_found_to_share_their_limits_too(processes, algorithm, seed):
    limits, sizes = rules(algorithm, requests=100, tokens=6000), (50, 100, 200, 300, 400, 800)
    world = World(
        limits, orgs=2, grouped=False, names_organizations=True, names_in_text_alone=True, processes=processes,
        are_neighbours=True, seed=seed,
    )  # fmt: skip
    world.tell_uses()
    calls_a_second = 3000 / (sum(sizes) / len(sizes))

    result = world.run(rate=1.5 * calls_a_second, capacity=3000, seconds=80, warm_up_s=24, tokens=sizes)

    assert result.tokens >= 0.99 * result.capacity
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_accounts_whose_upstream_gives_all_of_them_one_name_keep_their_own_limits(algorithm):
    result = World(rules(algorithm), one_name="org-x").run(rate=1.5 * 8 * EACH, capacity=8 * EACH, seconds=150)

    assert result.goodput >= 0.99
    assert result.waste <= MOST_WASTE


@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
@pytest.mark.parametrize("seed", [1, 2])
def test_without_headers_accounts_that_nobody_grouped_do_not_keep_their_bucket_empty(delays_to_s, seed):
    names = {"orgs": 2, "grouped": False, "names_organizations": True}
    world = World(rules(), tells=False, delays_to_s=delays_to_s, seed=seed, **names)

    result = world.run(rate=0.9 * 2 * EACH, capacity=2 * EACH, seconds=200, warm_up_s=30)

    assert result.served >= 0.97 * min(result.offered, result.capacity)
    assert result.waste <= 0.06


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("seed", [1, 2])
def test_without_headers_accounts_found_to_share_a_limit_of_the_minute_learn_it_anew(algorithm, seed):
    a_minute = rules(algorithm, requests=20, period_s=60.0)
    world = World(a_minute, orgs=2, grouped=False, names_organizations=True, tells=False, seed=seed)

    result = world.run(rate=1.5 * 2 / 3, capacity=2 / 3, seconds=900, warm_up_s=300)

    assert world.processes[0].board.pools.affiliations.organizations.is_shared(("openai", "org-0"))
    assert result.goodput >= 0.95
    assert result.waste <= 0.1


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("delays_to_s", [0.001, 1.0, None])
def test_without_headers_one_name_for_all_joins_nobody(algorithm, delays_to_s):
    a_minute = rules(algorithm, requests=20, period_s=60.0)
    world = World(a_minute, one_name="org-x", tells=False, delays_to_s=delays_to_s)

    world.run(rate=1.5 * 8 / 3, capacity=8 / 3, seconds=600, warm_up_s=60)

    assert not world.processes[0].board.pools.affiliations.organizations.is_shared(("openai", "org-x"))


@pytest.mark.parametrize("load", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize(("processes", "are_neighbours"), [(2, True), (2, False), (4, True)])
def test_several_processes_do_not_take_each_others_calls_for_those_of_an_organisation(
    processes, are_neighbours, algorithm, load
):
    limits = rules(algorithm, requests=40)
    world = World(limits, accounts=2, one_name="org-x", processes=processes, are_neighbours=are_neighbours)
    world.tell_uses()

    world.run(rate=load * 20, capacity=20, seconds=60, warm_up_s=0)

    for process in world.processes:
        assert not process.board.pools.affiliations.organizations.is_shared(("openai", "org-x"))
