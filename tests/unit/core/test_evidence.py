"""What refusals tell of a period or a step, alone and together."""

import pytest

from gateway.core.evidence import (
    INFINITE,
    NOTHING,
    OVERTAKES_S,
    Refused,
    bucket_admits,
    fits_window,
    steady_told,
    step_told,
    steps_told,
    window_told,
)


def refused(at, fits_in_s=None, sent=(), *, admitted=0, number=0, idle_s=0.0):
    return Refused(at, fits_in_s, list(sent), admitted=admitted, refused=number, idle_s=idle_s)


@pytest.mark.parametrize(
    ("fits_in_s", "earliest", "latest"),
    [(None, 10.0, INFINITE), (0.0, 10.0, INFINITE), (0.25, 10.25, 10.25), (3.0, 12.0, 13.0)],
    ids=["nothing", "zero", "exact", "rounded up"],
)
def test_what_it_said_is_when_there_is_room(fits_in_s, earliest, latest):
    told = refused(10.0, fits_in_s)

    assert (told.earliest, told.latest) == (earliest, latest)


def test_the_next_call_that_comes_through_bounds_it():
    told = refused(10.0)

    told.admit(10.0 + OVERTAKES_S / 2)  # that one may have overtaken it
    assert told.latest == INFINITE
    told.admit(12.0)
    told.admit(13.0)

    assert (told.earliest, told.latest) == (10.0, 12.0)


def test_calls_of_the_same_burst_that_were_refused_too_took_nothing():
    told = refused(10.0, sent=[10.001, 9.0, 8.0], admitted=3)

    told.untake(10.001)

    assert told.sent == [9.0, 8.0]
    assert told.admitted == 2
    assert told.period(2) == (2.0, INFINITE)


def test_a_call_whose_answer_was_late_is_put_in_its_place():
    told = refused(10.0, sent=[9.0, 7.0])

    told.note(8.0)
    told.note(8.0)
    told.note(11.0)

    assert told.sent == [9.0, 8.0, 7.0]


def window(limit, period_s, ends):
    """A refusal at each of these moments, exact to the millisecond: its window began a period before."""
    found = []
    for number, end in enumerate(ends):
        sent = [end - period_s + (limit - 1 - place) * (0.1 + 0.03 * number) for place in range(limit)]
        before = [end - period_s - 0.3 - 0.17 * number * (place + 1) for place in range(4)]
        found.append(refused(end - 0.123 - 0.1 * number, 0.123 + 0.1 * number, [*sent, *before], number=number))
    return found


def test_only_the_true_number_of_calls_gives_the_same_period_again():
    found = window_told(window(5, 4.0, [10.0, 20.0, 30.0]), [])

    assert found.limit == 5
    assert found.low_s == pytest.approx(4.0)
    assert found.share == 1.0


def test_refusals_of_others_count_and_the_own_must_agree():
    own = window(5, 4.0, [10.0])

    assert window_told(own, []) == NOTHING
    assert window_told(own, window(5, 4.0, [11.0, 21.0, 31.0])).limit == 5
    assert window_told(window(5, 4.0, [10.0, 20.0, 30.0]), window(3, 1.0, [11.0] * 12)).limit == 5


def test_a_window_fits_unless_something_speaks_against_it():
    own = window(5, 4.0, [10.0, 20.0])

    assert fits_window(own, 5, 3.9, 4.1)
    assert not fits_window(own, 5, 3.0, 3.5)
    assert not fits_window(own, 12, 4.0, 4.0)  # fewer calls were sent, and yet one was refused


def test_no_limit_is_of_less_than_half_a_second():
    sent = [100.0 - 0.04 * number for number in range(40)]
    own = [Refused(at, 0.033, [one for one in sent if one < at], admitted=0, refused=0) for at in (99.2, 99.6, 100.01)]

    assert window_told(own, []).limit >= 0.5 / 0.04 or window_told(own, []) is NOTHING


def bucket(step_s, counts, fits_in_s=0.123):
    """Refusals with so many calls between them, each told when there is room, or not."""
    at, admitted, found = 100.0, 0, []
    for number, count in enumerate(counts):
        at += count * step_s
        admitted += count
        found.append(refused(at, fits_in_s, admitted=admitted, number=number))
    return found


def test_calls_between_refusals_tell_a_buckets_step():
    found = step_told(bucket(0.4, [30, 40, 60, 50]), [], (30, 8.0))

    assert found.low_s <= 0.4 <= found.high_s
    assert found.high_s < found.low_s * 1.05


def test_refusals_with_nothing_between_them_are_no_buckets_though_others_are():
    own = bucket(0.4, [30, 0, 0, 0])

    assert step_told(own, [(0.39, 0.41)] * 4, (30, 8.0)) == NOTHING


def test_a_pause_may_have_filled_the_bucket_unless_it_is_known_to_save_more():
    own = bucket(0.4, [30, 40, 60, 50])
    for number, told in enumerate(own):
        told.idle_s = 3.0 * number

    assert step_told(own, [], (20, 8.0)).low_s < 0.37
    assert step_told(own, [], (40, 8.0)).low_s > 0.38  # 40 calls in 8 s: it had saved more


def test_who_had_to_wait_longer_than_a_step_met_no_bucket():
    own = bucket(0.4, [30, 40, 60, 50])
    own[-1].earliest = own[-1].at + 1.5

    assert step_told(own, [], (30, 8.0)) == NOTHING


@pytest.mark.parametrize(("steps", "is_bucket"), [(1.5, True), (2.5, False)])
def test_a_refused_call_may_have_cost_what_the_next_one_needed(steps, is_bucket):
    own = bucket(0.4, [30, 40, 60, 50], fits_in_s=None)
    own[-1].last(own[-1].at + steps * 0.4)  # nothing had come through by then

    assert bool(step_told(own, [], (30, 8.0)).share) is is_bucket


def test_a_pause_after_a_refusal_costs_a_bucket_only_what_it_could_not_save():
    first = refused(100.0, admitted=10, number=0)
    then = refused(104.0, admitted=40, number=1, idle_s=1.2)

    (lost_all,) = steps_told([first, then], 0.0)
    (lost_some,) = steps_told([first, then], 0.5)
    (lost_nothing,) = steps_told([first, then], 1.5)

    assert lost_all[0] < lost_some[0] < lost_nothing[0]
    assert lost_some[0] == pytest.approx((4.0 - 0.7) / 32, abs=0.001)


def test_a_window_is_not_believed_that_would_not_have_admitted_what_came_through():
    ends = [10.0, 20.0, 30.0]
    own = window(5, 4.0, ends)
    for told, end in zip(own, ends, strict=True):  # and before it, in every window, twelve calls in a second
        told.sent += [end - 8.0 - number / 12 for number in range(12)]

    assert window_told(own, []).limit != 5
    assert not fits_window(own, 5, 3.9, 4.1)


def test_windows_that_calls_open_may_admit_two_windows_calls_in_a_row():
    two = [4.1, 4.0, 3.95, 3.9, 3.8, 0.0]  # one opened the window that ended at 3.95
    three = [4.1, 4.0, 3.95, *(3.9 - number / 10 for number in range(7))]

    assert fits_window([refused(4.2, 3.7, two)], 3, 3.9, 4.1)
    assert not fits_window([refused(4.2, 3.7, three)], 3, 3.9, 4.1)


def test_after_a_refusal_no_more_comes_through_a_bucket_than_it_gives_back():
    own = [refused(10.0, sent=[9.0]), refused(14.0, sent=[13.0, 12.0, 11.1, 9.0])]
    burst = [refused(10.0, sent=[9.0]), refused(14.0, sent=[11.2, 11.1, 11.0, 9.0])]

    assert bucket_admits(own, 1.0)
    assert not bucket_admits(burst, 1.0)
    assert bucket_admits(burst, 0.5)
    assert steady_told([refused(10.0, 0.9), refused(14.0, 0.9, sent=burst[1].sent)]) is None
    assert steady_told([refused(10.0, 0.9), refused(14.0, 0.9, sent=own[1].sent)]).low_s == pytest.approx(0.9)
