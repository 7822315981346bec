"""What refusals tell of windows that begin by the upstream's clock."""

from math import ceil, floor
from random import Random

import pytest

from gateway.core.clock_windows import clock_told, fits_clock, period_around
from gateway.core.evidence import NOTHING, Refused

LIMIT, PERIOD_S = 10, 4.0


def refusals(count, *, limit=LIMIT, period_s=PERIOD_S, rate=3.5, began=0.7, delays_to_s=0.001, seed=1):
    """Of calls at random moments; after each refusal nothing is sent until there is room."""
    rng, now, sent, found, used = Random(seed), 100.0, [], [], {}
    while len(found) < count:
        now += rng.expovariate(rate)
        window = floor((now - began) / period_s)
        if used.get(window, 0) < limit:
            used[window] = used.get(window, 0) + 1
            sent.insert(0, now)
            continue
        fits_in_s = began + (window + 1) * period_s - now
        told_s = ceil(fits_in_s / delays_to_s) * delays_to_s
        found.append(Refused(now, told_s, list(sent), admitted=len(sent), refused=len(found)))
        now += fits_in_s
    return found


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_few_ends_that_are_known_exactly_tell_the_window(seed):
    told = clock_told(refusals(4, seed=seed), [])

    assert told.limit == LIMIT
    assert told.is_by_clock
    assert max(told.low_s, told.high_s) == pytest.approx(PERIOD_S, abs=0.01)


@pytest.mark.parametrize("seed", range(1, 6))
def test_vague_ends_tell_that_the_period_is_no_shorter(seed):
    told = clock_told(refusals(6, delays_to_s=1.0, seed=seed), [])

    if told is not NOTHING and told.limit == LIMIT:
        assert told.low_s <= PERIOD_S <= told.high_s


def test_two_refusals_tell_nothing():
    assert clock_told(refusals(2), refusals(4, seed=2)) is NOTHING


def test_ends_that_are_no_whole_number_of_periods_apart_are_of_no_such_window():
    own = refusals(2) + refusals(2, began=1.9, seed=2)

    assert clock_told(own, []).limit != LIMIT


def test_the_period_lies_between_the_first_call_of_a_window_and_the_one_before():
    told = Refused(10.0, 0.5, [9.5, 9.0, 8.0], admitted=3, refused=0)

    assert period_around(told, 2) == pytest.approx((1.492, 2.508))
    assert period_around(told, 3) == pytest.approx((2.492, float("inf")))


def test_a_window_fits_that_no_refusal_speaks_against():
    told = refusals(4)

    assert fits_clock(told, LIMIT, 3.99, 4.01)
    assert not fits_clock(told, LIMIT, 3.0, 3.1)
    assert not fits_clock(told, LIMIT - 5, 4.0, 4.0)


def test_a_window_does_not_fit_that_would_not_have_admitted_what_came_through():
    quick = Refused(110.0, None, [110.0 - 0.1 * number for number in range(1, 60)], admitted=59, refused=0)

    assert not fits_clock([quick], LIMIT, 3.99, 4.01)
