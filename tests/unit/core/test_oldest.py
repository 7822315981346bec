"""Sliding windows whose reset is their oldest call's."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.oldest import MOST_CALLS, Oldest, Told
from gateway.core.period import MOST_DOUBTS

PERIOD_S = 4.0


def told(at, used, reset_s, *, is_success=True, sharers=1):
    return Told(used, reset_s, at, is_success, limit=10, burst_s=0.05, sharers=sharers)


def answers(sent, *, whole=lambda seconds: seconds):
    """What such a window of `PERIOD_S` tells each of these calls."""
    for index, at in enumerate(sent):
        held = [one for one in sent[: index + 1] if one > at - PERIOD_S]
        yield told(at, len(held), whole(held[0] + PERIOD_S - at))


def heard(oldest, answer, *, whole_s=0.0):
    oldest.take(1, answer.at)
    return oldest.fits(answer, 0.1, whole_s)


SENT = [0.0, 0.7, 1.1, 2.0, 3.3, 4.1, 4.8, 5.9, 6.2, 7.7, 8.3, 9.9]


def test_the_period_follows_from_the_oldest_of_what_is_used():
    oldest = Oldest()

    assert all(heard(oldest, answer) for answer in answers(SENT))
    assert oldest.period_s == pytest.approx(PERIOD_S)


@pytest.mark.parametrize("whole", [math.ceil, round], ids=["up", "to-the-nearest"])
def test_resets_in_whole_seconds_leave_one_whole_period(whole):
    oldest = Oldest()

    for answer in answers(SENT, whole=whole):
        heard(oldest, answer, whole_s=1.0)

    assert oldest.period_s == PERIOD_S


def test_where_they_are_rounded_down_refusals_tell_and_one_or_two_are_chance():
    oldest = Oldest()
    for answer in answers([at + 0.05 * index for index, at in enumerate(SENT)], whole=math.floor):
        heard(oldest, answer, whole_s=1.0)
    before_s = oldest.period_s

    periods_s = []
    for _ in range(3):
        oldest.period.doubt()
        periods_s.append(oldest.period_s)

    assert periods_s == [before_s, before_s, before_s + 1]


def test_a_window_that_is_emptied_at_once_is_none():
    oldest = Oldest()
    for index, at in enumerate([0.0, 1.0, 2.0, 3.0, 3.5]):
        assert heard(oldest, told(at, index + 1, PERIOD_S - at))

    assert heard(oldest, told(4.1, 1, PERIOD_S)) is False


def test_who_knows_of_less_than_is_used_says_nothing():
    oldest = Oldest()

    assert heard(oldest, told(0.0, 7, 2.0)) is None
    assert oldest.period_s == 0.0


def test_one_answer_that_does_not_fit_changes_no_period_and_more_of_them_do():
    oldest = Oldest()
    for answer in answers(SENT[:4]):
        heard(oldest, answer)

    said = [heard(oldest, told(10.0 + index, 1, 9.0)) for index in range(MOST_DOUBTS + 1)]

    assert said == [False] * (MOST_DOUBTS + 1)
    assert oldest.period_s == pytest.approx(9.0)


def test_what_nobody_told_of_makes_no_period_longer():
    """Another process' calls are used as well: the oldest seems to be an earlier one, each time by something else."""
    oldest = Oldest()
    for answer in answers(SENT[:4]):
        heard(oldest, answer)

    said = [heard(oldest, told(8.0 + place, 2 + place, 0.3, sharers=2)) for place in range(4)]

    assert False not in said
    assert oldest.period_s == pytest.approx(PERIOD_S)


def test_calls_of_a_burst_may_have_been_admitted_in_any_order():
    oldest = Oldest()
    for answer in answers([0.0, 1.0]):
        heard(oldest, answer)

    for at in (5.0, 5.01, 5.02):
        oldest.take(1, at)

    assert oldest.fits(told(5.02, 2, 3.99), 0.1, 0.0) is True


def test_a_refused_call_is_in_no_window():
    oldest = Oldest()
    for at in (0.0, 1.0, 2.0):
        oldest.take(1, at)

    oldest.untake(1.0)

    assert oldest.taken_between(0.0, 2.0) == 1


def test_calls_of_other_processes_are_heard_of_later_and_given_back():
    oldest = Oldest()
    oldest.take(1, 2.0)
    oldest.take(3, 1.0)

    oldest.take(-2, 2.0)

    assert oldest.taken_between(0.0, 3.0) == 2
    assert oldest.taken_between(1.5, 3.0) == 0


MOMENTS = st.integers(0, 12).map(float)


@given(st.lists(st.tuples(MOMENTS, st.integers(-3, 3)), max_size=40), MOMENTS, MOMENTS)
def test_what_was_taken_is_known_between_any_moments(events, after, until):
    """`events`: taken then; 0: what was taken last at that moment was refused."""
    oldest, calls = Oldest(), []
    for at, amount in events:
        if amount > 0:
            oldest.take(amount, at)
            calls.append((at, amount))
            calls.sort(key=lambda call: call[0])
        elif amount:
            oldest.take(amount, at)
            for _ in range(min(-amount, sum(taken for _, taken in calls))):
                last_at, taken = calls.pop()
                calls += [(last_at, taken - 1)] if taken > 1 else []
        else:
            oldest.untake(at)
            last = max([index for index, call in enumerate(calls) if call[0] == at], default=None)
            calls = [call for index, call in enumerate(calls) if index != last]

    assert oldest.taken_between(after, until) == sum(taken for at, taken in calls if after < at <= until)


def test_calls_of_large_windows_are_forgotten_one_by_one():
    oldest = Oldest()
    for index in range(MOST_CALLS + 10):
        oldest.take(2, float(index))

    assert oldest.taken_between(-1.0, 1e9) == 2 * MOST_CALLS
    assert oldest.taken_between(-1.0, 10.0) == 2
