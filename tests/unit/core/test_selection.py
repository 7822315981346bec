from collections import Counter
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import AccountId
from gateway.core.selection import SCANNED, choose, served_after
from gateway.core.snapshot import SelectionStrategy as Strategy


class Account(msgspec.Struct):
    """A candidate whose load the test keeps, as a board does."""

    account_id: AccountId
    weight: float = 1.0
    in_flight: int = 0
    served: float = 0.0

    @property
    def load(self):
        return self


class Pool:
    def __init__(self, *weights, seed=7):
        self.accounts = [Account(AccountId(f"a{index}"), weight) for index, weight in enumerate(weights)]
        self.rng = Random(seed)
        self.clock = 0.0

    def take(self, among=None, **options):
        candidates = self.accounts if among is None else among
        chosen = candidates[choose(candidates, Strategy.BALANCED, rng=self.rng, **options)]
        self.clock = max(self.clock, chosen.served)
        is_dimmed = chosen.account_id in options.get("dimmed", ())
        chosen.served = served_after(chosen.served, chosen.weight, clock=self.clock, is_dimmed=is_dimmed)
        return chosen


candidates_lists = st.lists(
    st.builds(
        Account,
        account_id=st.uuids().map(str),
        weight=st.floats(0.01, 100),
        in_flight=st.integers(0, 50),
        served=st.floats(0, 1e6),
    ),
    min_size=1,
    max_size=80,
)


@given(candidates_lists, st.sampled_from(Strategy), st.integers(0), st.none() | st.text(max_size=20), st.integers())
def test_choice_is_always_one_of_the_candidates(candidates, strategy, turn, affinity, seed):
    dimmed = {candidates[0].account_id}

    index = choose(candidates, strategy, rng=Random(seed), affinity=affinity, turn=turn, dimmed=dimmed)

    assert 0 <= index < len(candidates)


def test_sequential_calls_take_turns():
    pool = Pool(1, 1, 1)

    served = Counter(pool.take().account_id for _ in range(300))

    assert set(served.values()) == {100}


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0]), min_size=2, max_size=8))
def test_sequential_calls_are_shared_by_weight(weights):
    pool = Pool(*weights)

    served = Counter(pool.take().account_id for _ in range(600))

    for account in pool.accounts:
        assert abs(served[account.account_id] - 600 * account.weight / sum(weights)) <= 2 + account.weight


@given(st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=2, max_size=6), st.integers(1, 8))
def test_calls_in_flight_are_shared_by_weight(weights, rounds):
    pool = Pool(*weights)

    for _ in range(int(sum(weights)) * rounds):
        pool.take().in_flight += 1

    assert [account.in_flight for account in pool.accounts] == [weight * rounds for weight in weights]


def test_busy_account_is_left_out_while_another_is_idle():
    pool = Pool(1, 1)
    pool.accounts[0].in_flight = 1

    assert {pool.take().account_id for _ in range(20)} == {"a1"}


def test_account_in_doubt_gets_half_of_its_share():
    pool = Pool(1, 1, 1)

    served = Counter(pool.take(dimmed=frozenset({"a2"})).account_id for _ in range(500))

    assert served == {"a0": 200, "a1": 200, "a2": 100}


def test_account_in_doubt_holds_half_as_many_calls_in_flight():
    pool = Pool(1, 1)

    for _ in range(30):
        pool.take(dimmed=frozenset({"a1"})).in_flight += 1

    assert [account.in_flight for account in pool.accounts] == [20, 10]


def test_account_that_comes_back_from_a_long_rest_gets_its_share_and_no_flood():
    pool = Pool(1, 1, 1)
    for _ in range(3000):
        pool.take(among=pool.accounts[:2])

    after = [pool.take().account_id for _ in range(30)]

    assert Counter(after[:6])["a2"] <= 4
    assert 10 <= Counter(after)["a2"] <= 13


def test_equals_are_drawn_evenly():
    pool = Pool(1, 1, 1, 1)

    first = Counter(choose(pool.accounts, Strategy.BALANCED, rng=pool.rng) for _ in range(4000))

    assert all(900 < count < 1100 for count in first.values())


def test_large_pool_is_sampled_and_still_shared_by_weight():
    pool = Pool(*([1.0] * 60 + [2.0] * 60))

    served = Counter(pool.take().account_id for _ in range(18_000))

    heavy = sum(served[account.account_id] for account in pool.accounts[60:])
    assert 0.62 < heavy / 18_000 < 0.71
    assert min(served.values()) > 50


def test_large_pool_spreads_calls_in_flight():
    pool = Pool(*[1.0] * 200)

    for _ in range(1000):
        pool.take().in_flight += 1

    assert max(account.in_flight for account in pool.accounts) <= 7


def test_large_pool_is_looked_at_in_a_handful_of_places():
    class Counted(list):
        looks = 0

        def __getitem__(self, index):
            self.looks += 1
            return super().__getitem__(index)

    candidates = Counted(Pool(*[1.0] * (SCANNED + 1)).accounts)

    choose(candidates, Strategy.BALANCED, rng=Random(1))

    assert candidates.looks < 10


def test_round_robin_goes_around_whatever_the_load():
    pool = Pool(1, 9, 1)
    pool.accounts[0].in_flight = 100

    chosen = [choose(pool.accounts, Strategy.ROUND_ROBIN, rng=pool.rng, turn=turn) for turn in range(6)]

    assert chosen == [0, 1, 2, 0, 1, 2]


def test_fill_first_stays_with_the_first():
    pool = Pool(1, 9)
    pool.accounts[0].in_flight = 100

    assert choose(pool.accounts, Strategy.FILL_FIRST, rng=pool.rng) == 0


def test_lone_candidate_is_chosen():
    assert choose(Pool(1).accounts, Strategy.CACHE_AFFINITY, rng=Random(1), affinity="k", turn=5) == 0


def affine(accounts, key):
    return accounts[choose(accounts, Strategy.CACHE_AFFINITY, rng=Random(1), affinity=key)].account_id


@given(st.text(max_size=30), st.integers(2, 40), st.randoms(use_true_random=False))
def test_same_key_goes_to_the_same_account_in_any_order_and_load(key, count, rng):
    accounts = Pool(*[1.0] * count).accounts
    before = affine(accounts, key)
    for account in accounts:
        account.in_flight, account.served = rng.randrange(9), rng.random()
    rng.shuffle(accounts)

    assert affine(accounts, key) == before


@given(st.text(max_size=30), st.integers(3, 12), st.integers(0, 11))
def test_only_the_keys_of_a_removed_account_move(key, count, gone):
    accounts = Pool(*[1.0] * count).accounts
    before = affine(accounts, key)
    left = [account for account in accounts if account.account_id != f"a{gone}"]

    after = affine(left, key)

    assert before in {after, f"a{gone}"}


def test_keys_are_spread_by_weight():
    accounts = Pool(1, 2, 1).accounts

    counts = Counter(affine(accounts, f"key-{number}") for number in range(4000))

    assert 0.46 < counts["a1"] / 4000 < 0.54
    assert 0.21 < counts["a0"] / 4000 < 0.29


def test_affinity_is_the_same_in_every_process_and_release():
    accounts = Pool(1, 1, 1, 1).accounts

    assert [affine(accounts, key) for key in ("alice", "bob", "carol", "dave")] == ["a1", "a2", "a2", "a3"]


def test_without_a_key_affinity_is_balanced():
    pool = Pool(1, 1)
    pool.accounts[0].in_flight = 3

    assert choose(pool.accounts, Strategy.CACHE_AFFINITY, rng=pool.rng) == 1


@pytest.mark.parametrize(
    ("served", "clock", "is_dimmed", "expected"),
    [
        pytest.param(10.0, 10.0, False, 10.5, id="one-turn-is-one-by-weight"),
        pytest.param(10.0, 10.0, True, 11.0, id="a-dimmed-turn-counts-double"),
        pytest.param(9.5, 10.0, False, 10.0, id="a-little-behind-may-catch-up"),
        pytest.param(0.0, 10.0, False, 9.5, id="far-behind-may-not"),
        pytest.param(20.0, 10.0, False, 20.5, id="ahead-stays-ahead"),
    ],
)
def test_virtual_time_after_a_turn(served, clock, is_dimmed, expected):
    assert served_after(served, 2.0, clock=clock, is_dimmed=is_dimmed) == expected
