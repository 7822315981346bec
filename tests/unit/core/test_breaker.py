import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.breaker import (
    CLOSED,
    IN_A_ROW,
    LONGEST_REST_S,
    Span,
    Tally,
    after_probe,
    is_failure,
    opened,
)
from gateway.core.ids import AccountId, Instant
from gateway.core.outcome import FaultKind, Outcome, OutcomeKind

A, B = AccountId("a"), AccountId("b")
OK = Outcome(OutcomeKind.OK, 200)
ERROR = Outcome(OutcomeKind.UPSTREAM_ERROR, 500)
NOW = Instant(1000.0)


def tally_of(history: str, *, now: float = NOW, every_s: float = 0.1) -> tuple[Tally, Instant]:
    """`.` an answer, `a` and `b` a failure of that account, ` ` a second in which nothing happens."""
    tally = Tally()
    for letter in history:
        if letter == ".":
            tally.passed(Instant(now))
        elif letter != " ":
            tally.failed(AccountId(letter), Instant(now))
        now += 1.0 if letter == " " else every_s
    return tally, Instant(now)


def is_broken(history: str, *, is_only: bool = False, spread: int = 2, every_s: float = 0.1) -> bool:
    tally, now = tally_of(history, every_s=every_s)
    return tally.is_broken(now, is_only=is_only, spread=spread)


def test_ten_failures_of_two_accounts_are_a_broken_provider():
    assert is_broken("ab" * 5)


def test_fewer_than_ten_attempts_prove_nothing():
    assert not is_broken("ab" * 4 + "a")


def test_a_fifth_of_answers_is_the_most_that_a_broken_provider_gives():
    assert is_broken("abab.abab.")
    assert not is_broken("abab.aba..")


def test_answers_count_among_failures_but_not_before_ten_in_a_row():
    assert not is_broken("." * 20 + "ababab.abab")
    assert not is_broken("." * 20 + "ab" * 4 + "a")
    assert is_broken("." * 50 + "ab" * 5)


def test_a_row_must_be_of_as_many_accounts_as_may_be_asked():
    assert not is_broken("." * 20 + "ab" * 10, spread=3)
    assert is_broken("." * 20 + "abc" * 3 + "a", spread=3)


def test_a_row_that_took_longer_than_the_window_proves_nothing():
    assert not is_broken("." * 20 + "ab" * 10, every_s=1.2)


def test_three_failures_in_a_row_of_three_accounts_are_a_reason_to_back_off():
    down = [tally_of(history) for history in ("..abc", "..aba", "..ab.c", "..ab", "..abc" + " " * 11)]

    assert [tally.is_down(now, spread=3) for tally, now in down] == [True, False, False, False, False]


def test_one_account_that_always_fails_is_not_its_provider():
    assert not is_broken("a" * 30)


def test_the_other_account_must_have_failed_within_the_window():
    assert not is_broken("b" + " " * 11 + "a" * 12)


def test_what_is_older_than_ten_seconds_is_forgotten():
    assert not is_broken("ab" * 4 + " " * 10 + "ab")


def test_the_only_account_is_broken_after_five_failures_in_a_row():
    assert is_broken("a" * IN_A_ROW, is_only=True)
    assert not is_broken("a" * (IN_A_ROW - 1), is_only=True)
    assert not is_broken("aaaa.aaaa", is_only=True)


def test_a_cleared_tally_remembers_nothing():
    tally, now = tally_of("ab" * 10)

    tally.clear()

    assert tally.counts(now) == (0, 0)
    assert not tally.is_broken(now, is_only=True)
    assert not tally.is_down(now, spread=2)


@given(
    events=st.lists(
        st.tuples(st.floats(0, 4), st.sampled_from(["ok", "a", "b"])),
        max_size=60,
    )
)
def test_the_ring_counts_what_a_list_of_all_attempts_would(events):
    tally, now, seen = Tally(), 1000.0, []
    for gap_s, what in events:
        now += gap_s
        seen.append((int(now), what))
        if what == "ok":
            tally.passed(Instant(now))
        else:
            tally.failed(AccountId(what), Instant(now))

    recent = [what for second, what in seen if second > int(now) - 10]

    assert tally.counts(Instant(now)) == (len(recent), sum(what != "ok" for what in recent))


def test_time_that_goes_back_empties_nothing():
    tally, now = tally_of("ab" * 5)

    tally.passed(Instant(now - 1.0))

    assert tally.counts(now) == (11, 10)


@given(failures=st.integers(1, 60))
def test_rests_double_from_one_second_to_thirty(failures):
    breaker, now = CLOSED, NOW
    for _ in range(failures):
        breaker = opened(breaker, OutcomeKind.UPSTREAM_ERROR, now)
        now = breaker.until

    assert breaker.until - breaker.since == min(2.0 ** (failures - 1), LONGEST_REST_S)


def test_an_open_breaker_rests_and_is_then_due():
    breaker = opened(CLOSED, OutcomeKind.UNREACHABLE, NOW)

    assert breaker.is_open
    assert not breaker.may_probe(Instant(NOW + 0.9))
    assert breaker.may_probe(Instant(NOW + 1.0))
    assert not CLOSED.may_probe(NOW)


def test_a_probe_that_succeeds_closes_and_forgets_the_strikes():
    breaker = opened(opened(CLOSED, OutcomeKind.UPSTREAM_ERROR, NOW), OutcomeKind.UPSTREAM_ERROR, Instant(NOW + 1))

    after = after_probe(breaker, OK, started=Instant(NOW + 4), now=Instant(NOW + 5), is_failure=False)

    assert not after.is_open
    assert after.strikes == 0


def test_a_probe_that_fails_rests_twice_as_long_from_now_on():
    breaker = opened(CLOSED, OutcomeKind.UPSTREAM_ERROR, NOW)

    after = after_probe(breaker, ERROR, started=Instant(NOW + 1), now=Instant(NOW + 3), is_failure=True)

    assert (after.since, after.until, after.strikes) == (NOW + 3, NOW + 5, 2)


@given(outcome=st.sampled_from([OK, ERROR]), is_failure=st.booleans(), age_s=st.floats(0.001, 900))
def test_what_was_in_flight_when_the_rest_began_says_nothing(outcome, is_failure, age_s):
    breaker = opened(CLOSED, OutcomeKind.UPSTREAM_ERROR, NOW)
    started = Instant(NOW - age_s)

    assert after_probe(breaker, outcome, started=started, now=Instant(NOW + 2), is_failure=is_failure) is breaker


def test_a_probe_that_its_caller_gave_up_says_nothing():
    breaker = opened(CLOSED, OutcomeKind.UPSTREAM_ERROR, NOW)
    cancelled = Outcome(OutcomeKind.CANCELLED)

    assert after_probe(breaker, cancelled, started=Instant(NOW + 1), now=Instant(NOW + 2), is_failure=False) is breaker


@pytest.mark.parametrize(
    ("reason", "patience_s"),
    [(OutcomeKind.UPSTREAM_ERROR, 1.0), (OutcomeKind.TIMED_OUT, 2.0)],
    ids=["error", "silence"],
)
def test_others_follow_a_probe_that_did_not_fail_but_one_into_silence_is_followed_by_one(reason, patience_s):
    assert opened(opened(CLOSED, reason, NOW), reason, NOW).patience_s == patience_s


REFUSED = Outcome(OutcomeKind.UNREACHABLE, fault=FaultKind.CONNECT)
RESET = Outcome(OutcomeKind.UNREACHABLE, fault=FaultKind.RESET)
DEAD_KEY = Outcome(OutcomeKind.CREDENTIAL_REJECTED, 401)
LIMITED = Outcome(OutcomeKind.RATE_LIMITED, 429)


@pytest.mark.parametrize(
    ("span", "failures"),
    [
        (Span.ORIGIN, [REFUSED]),
        (Span.MODEL, [REFUSED, RESET, ERROR]),
        (Span.PROVIDER, [REFUSED, RESET, ERROR, DEAD_KEY]),
    ],
)
def test_each_span_has_its_own_failures(span, failures):
    outcomes = [OK, LIMITED, REFUSED, RESET, ERROR, DEAD_KEY]

    reason = OutcomeKind.CREDENTIAL_REJECTED
    assert [each for each in outcomes if is_failure(span, each, reason)] == failures
