"""Headers that mislead are found out by what becomes of calls, and honest ones are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.trust import AGAIN, BORNE, EACH, ENOUGH, FIRST, FIRST_IDLE_S, FIRST_TRIED, RARER, REST_S, Trust


def refuse(trust, scope="a", now=0.0):
    trust.sent += 1
    trust.refused += 1
    trust.refuse(scope, now)


def mislead(trust, now=0.0):
    """Calls are refused until nobody believes the headers. How many that took."""
    count = 0
    while not trust.is_doubted(now):
        refuse(trust, now=now)
        count += 1
    return count


@given(st.lists(st.tuples(st.integers(1, 200), st.sampled_from("abc")), max_size=60))
def test_who_is_refused_as_seldom_as_by_chance_believes_for_ever(stretches):
    trust = Trust()

    for calls, scope in stretches:
        trust.sent += calls + round(1 / BORNE)
        refuse(trust, scope)

        assert not trust.is_doubted(0.0)


def test_refusals_whose_reason_is_known_speak_against_nothing():
    trust = Trust()
    count = mislead(trust)

    trust.restore()

    assert not trust.is_doubted(0.0)
    assert mislead(trust) == count


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abcd")), min_size=20, max_size=60))
def test_who_is_refused_each_tenth_time_soon_believes_no_more(stretches):
    trust, refusals = Trust(), 0

    for calls, scope in stretches:
        trust.sent += calls
        refuse(trust, scope)
        refusals += 1
        if trust.is_doubted(0.0):
            break

    assert trust.is_doubted(0.0)
    assert refusals <= (FIRST + 4 * EACH + 1) / (1 - 10 * BORNE) + 1


def test_what_misled_has_another_chance_after_a_rest_and_less_of_one():
    trust = Trust()
    first = mislead(trust)

    assert trust.doubted_s(0.0) == REST_S
    assert not trust.is_doubted(REST_S)
    assert mislead(trust, REST_S) == AGAIN + 1 < first
    assert trust.doubted_s(REST_S) == 2 * REST_S


def test_another_process_is_believed_that_does_not_believe():
    trust = Trust()

    assert trust.hear(300.0, 10.0)
    assert trust.doubted_s(10.0) == 300.0


def test_a_rest_of_another_process_that_ends_is_none():
    assert not Trust().hear(5.0, 10.0)


def trials(trust, calls, *, is_admitted):
    """So many calls are sent, and each trial comes to that. How many trials there were."""
    count = 0
    for _ in range(calls):
        trust.sent += 1
        if trust.is_due and not trust.is_doubted(0.0):
            trust.begin_trial(0.0)
            trust.end_trial("requests", 0.0, is_admitted=is_admitted)
            count += 1
    return count


def test_honest_headers_cost_few_trials():
    assert trials(Trust(), 50 * FIRST_TRIED, is_admitted=False) <= 4


def test_headers_that_tell_too_little_are_found_out_by_some_trials():
    trust = Trust()

    assert trials(trust, 2 * FIRST_TRIED, is_admitted=True) == ENOUGH
    assert trust.too_little == {"requests"}
    assert trust.is_doubted(0.0)
    assert not trust.is_doubted(REST_S)
    assert not trust.too_little


@given(st.lists(st.booleans(), max_size=200))
def test_trials_of_which_most_are_refused_refute_nothing(verdicts):
    trust, admitted, refused = Trust(), 0, 0

    for verdict in verdicts:
        if verdict and 2 * (admitted + 1) > refused:
            continue
        admitted, refused = admitted + verdict, refused + (not verdict)
        trust.begin_trial(0.0)
        trust.end_trial("requests", 0.0, is_admitted=verdict)

    assert not trust.too_little


def test_one_trial_at_a_time():
    trust = Trust()
    trust.begin_trial(0.0)

    assert trust.is_trying(1.0)

    trust.end_trial("requests", 1.0, is_admitted=False)

    assert not trust.is_trying(1.0)


@pytest.mark.parametrize(("refusals", "idle_s"), [(0, FIRST_IDLE_S), (1, RARER * FIRST_IDLE_S)])
def test_where_no_call_is_sent_at_all_a_trial_comes_sooner(refusals, idle_s):
    trust = Trust()
    for _ in range(refusals):
        trust.end_trial("requests", 0.0, is_admitted=False)

    assert trust.idle_in_s(5.0) == idle_s
    assert trust.idle_in_s(5.0 + idle_s) == 0.0

    trust.sent += 1

    assert trust.idle_in_s(5.0 + idle_s) == idle_s
