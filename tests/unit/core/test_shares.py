"""How processes divide a limit, and what they leave each other."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.shares import HEARD_SOON_S, Fill, Shares, Window
from gateway.core.slices import LONGEST_OPEN_S


def shares_with(*others, count=None, place=0, is_hungry=True):
    """`others`: what each has taken, and whether it is hungry."""
    shares = Shares()
    shares.divide(count or 1 + len(others), place, is_hungry=is_hungry)
    for number, (taken, hungry) in enumerate(others):
        shares.hear(f"p{number}", 0.0, is_hungry=hungry).take(taken, 0.0, 4.0)
    return shares


@given(st.integers(1, 200), st.integers(2, 9))
def test_all_parts_together_are_the_limit(limit, count):
    parts = [shares_with(count=count, place=place).part(limit) for place in range(count)]

    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


def test_a_part_is_each_process_own_whatever_others_do():
    shares = shares_with((0, True))

    assert shares.fits_in_window(5, Window(10, 5, 1.0))
    assert shares.fits_in_slide(5, Window(10, 0, 0.1))


@pytest.mark.parametrize("fits", ["fits_in_window", "fits_in_slide"])
def test_what_a_hungry_process_has_a_right_to_is_left_for_it(fits):
    shares = shares_with((2, True))

    assert not getattr(shares, fits)(6, Window(10, 2, 1.0))


def test_what_another_hardly_takes_is_taken():
    shares = shares_with((1, False))

    assert shares.fits_in_window(6, Window(10, 3, 1.0))
    assert not shares.fits_in_window(9, Window(10, 0, 1.0))  # it took one in the last period, and will again
    assert shares.fits_in_window(9, Window(10, 0, 0.1))


def test_who_has_nobody_waiting_leaves_the_last_one():
    others = (3, False)

    assert shares_with(others).fits_in_slide(7, Window(10, 0, 0.05))
    assert not shares_with(others, is_hungry=False).fits_in_slide(7, Window(10, 0, 0.05))


@pytest.mark.parametrize("fits", ["fits_in_window", "fits_in_slide"])
def test_of_processes_that_told_nothing_the_part_is_left(fits):
    shares = shares_with(count=2)

    assert shares.silent == 1
    assert shares.known == 0.5
    assert not getattr(shares, fits)(6, Window(10, 1, 1.0))


def test_what_was_taken_long_ago_is_forgotten():
    shares = shares_with((3, True))
    other = shares.others["p0"]
    other.take(2, 0.01, 4.0)  # so soon after that it is one piece
    other.take(1, 2.0, 4.0)

    assert shares.expire(1.0) == 5
    assert (other.total, other.opened) == (1, 6)
    shares.open_window()
    assert other.opened == 0


@pytest.mark.parametrize(
    ("other", "must_wait"),
    [
        pytest.param((1, False), False, id="it-hardly-ever-takes-one"),
        pytest.param((1, True), True, id="its-callers-wait"),
        pytest.param((10, False), True, id="it-takes-them-all-the-time"),
    ],
)
def test_of_a_bucket_something_is_left_for_another_that_may_take_it_just_now(other, must_wait):
    fill = Fill(level=1.0, limit=3.0, rate=0.05, span_s=60.0)

    assert (shares_with(other).wait_in_bucket_s(1, fill, 1.0) > 0) is must_wait


def test_processes_that_all_want_a_bucket_use_it_up_and_never_overdraw_it():
    limit, rate, level, now, served = 10.0, 2.5, 10.0, 0.0, 0
    rng = Random(5)
    processes = [shares_with((0, True), (0, True), place=place) for place in range(3)]
    looks_at = [0.0, 0.0, 0.0]
    while now < 200:
        number = min(range(3), key=looks_at.__getitem__)
        passed_s, now = looks_at[number] - now, looks_at[number]
        level = min(limit, level + rate * passed_s)
        wait_s = processes[number].wait_in_bucket_s(1.0, Fill(level, limit, rate, 4.0), now)
        if wait_s <= 0:
            processes[number].take(1.0, Fill(level, limit, rate, 4.0), now)
            level, served = level - 1, served + 1
            assert level >= 0
        looks_at[number] = now + max(wait_s, rng.uniform(0.001, 0.01))

    assert served >= 0.99 * rate * 200


def neighbours(*others, place=0, count=None):
    shares = shares_with(*others, place=place, count=count)
    shares.heard_s = HEARD_SOON_S
    return shares


@pytest.mark.parametrize(
    ("own", "place", "times"),
    [
        pytest.param(9000, 0, 3, id="who-has-taken-more-waits-longer"),
        pytest.param(7000, 0, 1, id="who-has-taken-less-goes-first"),
        pytest.param(8000, 1, 4, id="of-equals-each-has-a-time-of-its-own"),
    ],
)
def test_room_that_another_does_not_take_in_time_is_anybodys(own, place, times):
    shares = neighbours((8000, True), place=place)
    shares.others["p0"].opened = 8000

    assert shares.left_over_in_fixed_at(own, 100.0) == pytest.approx(100.0 + times * HEARD_SOON_S)


def test_who_is_heard_of_for_the_first_time_may_take_it_just_now():
    shares = neighbours()
    shares.divide(2, shares.place, is_hungry=True, heard_s=shares.heard_s)
    shares.hear("late", 100.0, is_hungry=True).opened = 8000

    assert shares.left_over_in_fixed_at(9000, 50.0) == pytest.approx(100.0 + 3 * HEARD_SOON_S)


WINDOW = Window(20_000, 8000, 0.0)


@given(now=st.floats(0.0, 1e6), count=st.integers(2, 5), window_s=st.floats(0.1, 100.0))
def test_no_two_neighbours_take_the_last_of_a_window_before_they_heard_of_each_other(now, count, window_s):
    each = [neighbours(*[(0, True)] * (count - 1), place=place) for place in range(count)]
    first, *others = sorted(shares.turn_at(4000, WINDOW, window_s, now) for shares in each)

    assert now <= first <= now + count * (HEARD_SOON_S + LONGEST_OPEN_S)
    assert min(others) - first >= HEARD_SOON_S - 1e-6


def test_while_much_is_left_each_takes_its_part_of_that_at_any_moment():
    shares, roomy = neighbours((0, True)), Window(20_000, 15_000, 0.0)
    moments = [1000.0 + 0.003 * step for step in range(20)]

    assert [shares.turn_at(5000, roomy, 10.0, at) for at in moments] == moments
    shares.note(5000, 15_000, 20_000, 1000.0)
    assert shares.turn_at(5000, Window(20_000, 10_000, 0.0), 10.0, 1000.001) == 1000.001
    assert shares.turn_at(6000, Window(20_000, 9000, 0.0), 10.0, 1000.001) >= 1000.0 + HEARD_SOON_S


def test_after_that_nobody_takes_of_the_last_half_until_others_were_heard():
    """Its own time may be just now: but another may have taken its part, too."""
    shares = neighbours((0, True))
    shares.note(5000, 15_000, 20_000, 1000.0)
    moments = [1000.001 + 0.003 * step for step in range(6)]

    assert all(shares.turn_at(4000, WINDOW, 10.0, at) >= 1000.0 + HEARD_SOON_S for at in moments)


@pytest.mark.parametrize(
    ("shares", "take_turns"),
    [
        pytest.param(neighbours((8000, True)), True, id="neighbours"),
        pytest.param(shares_with((8000, True)), False, id="replicas-hear-too-late"),
        pytest.param(neighbours((8000, True), count=3), False, id="of-one-nothing-is-known-but-that-he-is-there"),
    ],
)
def test_only_neighbours_who_tell_what_they_take_take_turns(shares, take_turns):
    assert shares.take_turns is take_turns


@pytest.mark.parametrize(("is_hungry", "rate"), [(True, 5.0), (False, 9.0)])
def test_of_what_comes_each_has_its_part_and_what_others_leave(is_hungry, rate):
    assert shares_with((4, is_hungry)).rate(10.0, 4.0) == rate


@given(st.floats(0.0, 3.0), st.floats(0.0, 5.0), st.booleans())
def test_nobody_looks_into_a_bucket_before_there_may_be_enough(level, since_s, is_other_hungry):
    """The level rises meanwhile, and nobody takes from it."""
    rate, span_s, now = 2.5, 4.0, 10.0
    shares = shares_with((5, is_other_hungry))
    shares.take(1.0, Fill(4.0, 10.0, rate, span_s), now - since_s)
    wait_s = shares.wait_in_bucket_s(1.0, Fill(level, 10.0, rate, span_s), now)

    for share in (0.25, 0.5, 0.98):
        early_s = share * wait_s
        if wait_s > 0.001:
            assert shares.wait_in_bucket_s(1.0, Fill(level + rate * early_s, 10.0, rate, span_s), now + early_s) > 0
    if 0.001 < wait_s < 0.49:  # else it looks whether others have left more
        late_s = wait_s + 0.001
        assert shares.wait_in_bucket_s(1.0, Fill(level + rate * late_s, 10.0, rate, span_s), now + late_s) == 0
