"""What is tried of a window, and when it is believed."""

import pytest

from gateway.core.evidence import MOST_CALLS, Span
from gateway.core.hearsay import FIRST_ASK, TRIAL_PERIODS, Hearsay
from gateway.core.trials import GUARD_S, Trial


def known(limit=10, low_s=4.0, high_s=4.0):
    hearsay = Hearsay()
    return Trial(hearsay), hearsay.window_of(Span(low_s, high_s, 1.0, limit)), hearsay


def send(trial, window, calls, took_s=4.01, now=100.0, *, is_more=True):
    """So many calls, each as soon as it might."""
    for _ in range(calls):
        window = trial.count(window, took_s, now, is_more=is_more)
        if window is None:
            break
    return window


def test_more_than_fits_is_believed_once_this_scope_sent_a_whole_window_of_it():
    trial, window, hearsay = known()
    send(trial, window, FIRST_ASK)
    assert trial.extra == 1

    others = Trial(hearsay)
    assert send(others, window, 30) is window
    assert send(trial, window, 11) is window
    assert send(trial, window, 1).limit == 11
    assert trial.extra == 2


def test_calls_that_fit_anyway_prove_nothing():
    trial, window, _ = known()
    send(trial, window, FIRST_ASK)

    assert send(trial, window, 100, is_more=False) is window
    for _ in range(20):
        assert send(trial, window, 1, took_s=5.0) is window
        assert send(trial, window, 9) is window


def test_what_is_larger_than_windows_are_looked_for_is_none():
    trial, window, _ = known(limit=MOST_CALLS)
    send(trial, window, FIRST_ASK, took_s=4.001)
    assert trial.extra > 0

    assert send(trial, window, 2 * MOST_CALLS, took_s=4.001) is None
    assert trial.extra == 0


def test_a_shorter_period_is_believed_once_a_whole_window_was_sent_in_it():
    trial, window, hearsay = known(low_s=1.0, high_s=1.024)
    send(trial, window, 1, took_s=1.03)
    assert trial.period_of(window) == pytest.approx(1.012)
    version = hearsay.version

    send(trial, window, 11, took_s=1.012 * 1.001 + GUARD_S)

    assert window.high_s == pytest.approx(1.012)
    assert not trial.is_of_period
    assert hearsay.version == version + 1


def test_what_is_believed_of_it_is_the_pace_at_which_its_calls_came():
    trial, window, _ = known(low_s=3.1, high_s=3.9)
    send(trial, window, 1, took_s=3.91)
    tried_s = trial.period_of(window) * 1.001 + GUARD_S

    for number in range(11):  # one was late
        send(trial, window, 1, took_s=tried_s + 0.22 * (number == 3))

    assert window.high_s == pytest.approx(trial.period_of(window))
    assert window.high_s == pytest.approx(3.5 + 0.02, abs=0.001)


def test_one_scope_at_a_time_tries_a_period_unless_it_forgot_to():
    trial, window, hearsay = known(low_s=3.0, high_s=5.0)
    other = Trial(hearsay)
    send(trial, window, 1, took_s=5.01)
    send(other, window, 1, took_s=5.01)
    assert (trial.is_of_period, other.is_of_period) == (True, False)

    send(other, window, 1, took_s=5.01, now=101.0 + TRIAL_PERIODS * 5.0)
    assert other.is_of_period


def test_who_tries_what_others_have_found_meanwhile_stops():
    trial, window, _ = known(low_s=3.0, high_s=5.0)
    send(trial, window, 1, took_s=5.01)

    window.high_s = 3.5
    send(trial, window, 1, took_s=5.01)

    assert not trial.is_of_period
    assert trial.period_of(window) == 3.5


def test_who_tries_what_was_refused_to_another_stops():
    trial, window, _ = known(low_s=3.0, high_s=5.0)
    send(trial, window, 1, took_s=5.01)

    window.low_s = 4.2
    send(trial, window, 1, took_s=6.0)

    assert not trial.is_of_period
    assert window.start_trial(100.0) == (1, pytest.approx(4.6))
