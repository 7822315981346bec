"""How processes divide a limit, and what they leave each other."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.shares import Fill, Shares, Window


def shares_with(*others, count=None, place=0, is_hungry=True):
    """`others`: what each has taken, and whether it is hungry."""
    shares = Shares()
    shares.count, shares.place, shares.is_hungry = count or 1 + len(others), place, is_hungry
    for number, (taken, hungry) in enumerate(others):
        shares.hear(f"p{number}", is_hungry=hungry).take(taken, 0.0, 4.0)
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
