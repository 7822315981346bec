import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cooldown import (
    AVOIDED_FOR,
    BLANK,
    DAY,
    DIM_S,
    HOUR,
    MINUTE,
    RESTS,
    SCOPES,
    Health,
    Phase,
    ScopeNames,
    after,
    healed,
    probe_passed,
    scope_hit,
)
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import LimitSpan, Outcome, OutcomeKind, Scope, ScopeKind

NAMES = ScopeNames(account="acc", holder="group:openai:org", model="gpt-4", endpoint="chat.completions")
OK = Outcome(OutcomeKind.OK)
T0 = 1000.0


def hit(health, kind, *, now=T0, started=None, jitter=0.0, is_model_known=True, **fields):
    """The health after a failure; the attempt began just before it unless said otherwise."""
    began = now - 0.001 if started is None else started
    outcome = Outcome(kind, **fields)
    return after(health, outcome, started=began, now=now, jitter=jitter, is_model_known=is_model_known)


def rests_in_a_row(kind, count, **fields):
    """How long each of `count` spaced failures parks, in seconds."""
    health, now, rests = BLANK, T0, []
    for _ in range(RESTS[kind].suspicions):
        health = hit(health, kind, now=now, **fields)
        assert health.phase is Phase.READY
    for _ in range(count):
        health = hit(health, kind, now=now, **fields)
        rests.append(health.until - now)
        now = health.until + 1.0
    return rests


# -- what is parked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        (OutcomeKind.RATE_LIMITED, Scope(ScopeKind.HOLDER_MODEL, "group:openai:org", "gpt-4")),
        (OutcomeKind.OUT_OF_QUOTA, Scope(ScopeKind.HOLDER, "group:openai:org")),
        (OutcomeKind.CREDENTIAL_REJECTED, Scope(ScopeKind.ACCOUNT, "acc")),
        (OutcomeKind.MISSING_PERMISSION, Scope(ScopeKind.ACCOUNT_ENDPOINT, "acc", "chat.completions")),
        (OutcomeKind.NO_ACCESS_TO_MODEL, Scope(ScopeKind.ACCOUNT_MODEL, "acc", "gpt-4")),
        (OutcomeKind.FORBIDDEN, Scope(ScopeKind.ACCOUNT, "acc")),
        (OutcomeKind.OVERLOADED, Scope(ScopeKind.ACCOUNT_MODEL, "acc", "gpt-4")),
        (OutcomeKind.TIMED_OUT, Scope(ScopeKind.ACCOUNT_MODEL, "acc", "gpt-4")),
        (OutcomeKind.UPSTREAM_ERROR, Scope(ScopeKind.ACCOUNT_MODEL, "acc", "gpt-4")),
        (OutcomeKind.UNREACHABLE, Scope(ScopeKind.ACCOUNT_MODEL, "acc", "gpt-4")),
        (OutcomeKind.OK, None),
        (OutcomeKind.TOO_LARGE, None),
        (OutcomeKind.CALLER_FAULT, None),
        (OutcomeKind.CANCELLED, None),
    ],
)
def test_each_outcome_hits_the_scope_of_its_row(kind, scope):
    assert scope_hit(Outcome(kind), NAMES) == scope


def test_every_kind_of_outcome_has_its_row():
    assert set(RESTS) | AVOIDED_FOR == set(SCOPES)


def test_rate_limit_hits_the_family_that_the_answer_names():
    outcome = Outcome(OutcomeKind.RATE_LIMITED, limit_name="gpt-4o-family")

    assert scope_hit(outcome, NAMES) == Scope(ScopeKind.HOLDER_MODEL, "group:openai:org", "gpt-4o-family")


# -- how long ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rests"),
    [
        pytest.param(OutcomeKind.RATE_LIMITED, [1, 2, 4, 8, 16, 32, 60, 60], id="rate-limited"),
        pytest.param(
            OutcomeKind.OUT_OF_QUOTA,
            [5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 160 * MINUTE, 320 * MINUTE, 6 * HOUR],
            id="out-of-quota",
        ),
        pytest.param(
            OutcomeKind.MISSING_PERMISSION,
            [10 * MINUTE, 20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 160 * MINUTE, 320 * MINUTE, 6 * HOUR, 6 * HOUR],
            id="missing-permission",
        ),
        pytest.param(
            OutcomeKind.NO_ACCESS_TO_MODEL,
            [10 * MINUTE, 20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 160 * MINUTE, 320 * MINUTE, 6 * HOUR],
            id="no-access",
        ),
        pytest.param(
            OutcomeKind.FORBIDDEN,
            [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 16 * MINUTE, 32 * MINUTE, HOUR, HOUR],
            id="forbidden",
        ),
        pytest.param(OutcomeKind.OVERLOADED, [1, 2, 4, 8, 16, 30, 30], id="overloaded"),
        pytest.param(OutcomeKind.CREDENTIAL_REJECTED, [MINUTE, 2 * MINUTE], id="credential"),
    ],
)
def test_guesses_double_up_to_the_cap(kind, rests):
    assert rests_in_a_row(kind, len(rests)) == pytest.approx(rests)


@pytest.mark.parametrize(
    ("kind", "named", "rest"),
    [
        pytest.param(OutcomeKind.RATE_LIMITED, 0.5, 0.55, id="a-tenth-more"),
        pytest.param(OutcomeKind.RATE_LIMITED, 60.0, 61.0, id="one-second-more-at-most"),
        pytest.param(OutcomeKind.RATE_LIMITED, 7200.0, 901.0, id="15-minutes-at-most"),
        pytest.param(OutcomeKind.OUT_OF_QUOTA, 20.0, 301.0, id="no-quota-comes-back-in-20-s"),
        pytest.param(OutcomeKind.OUT_OF_QUOTA, 2 * DAY, 6 * HOUR + 1, id="quota-6-hours"),
        pytest.param(OutcomeKind.CREDENTIAL_REJECTED, 1.0, 61.0, id="credential-floor"),
        pytest.param(OutcomeKind.CREDENTIAL_REJECTED, DAY, HOUR + 1, id="credential-cap"),
        pytest.param(OutcomeKind.MISSING_PERMISSION, 1.0, 601.0, id="permission-floor"),
        pytest.param(OutcomeKind.NO_ACCESS_TO_MODEL, DAY, 6 * HOUR + 1, id="no-access-cap"),
        pytest.param(OutcomeKind.OVERLOADED, 5.0, 5.5, id="overloaded"),
        pytest.param(OutcomeKind.OVERLOADED, 600.0, 31.0, id="overloaded-30-s"),
    ],
)
def test_named_delays_are_clamped_to_their_class_and_lengthened(kind, named, rest):
    health = hit(BLANK, kind, retry_after_s=named, jitter=0.9)

    assert health.until - T0 == pytest.approx(rest)


def test_named_delay_beats_an_estimate_and_an_estimate_beats_a_guess():
    both = hit(BLANK, OutcomeKind.RATE_LIMITED, retry_after_s=5.0, estimated_rest_s=9.0)
    estimated = hit(BLANK, OutcomeKind.RATE_LIMITED, estimated_rest_s=9.0)
    nothing = hit(BLANK, OutcomeKind.RATE_LIMITED, retry_after_s=0.0, estimated_rest_s=0.0)

    assert [health.until - T0 for health in (both, estimated, nothing)] == pytest.approx([5.5, 9.9, 1.0])


def test_limit_named_per_day_rests_a_day_at_most_with_a_probe_an_hour():
    health = hit(BLANK, OutcomeKind.RATE_LIMITED, retry_after_s=3 * DAY, span=LimitSpan.DAY)

    assert health.until - T0 == pytest.approx(DAY + 1)
    assert health.probe_at - T0 == HOUR
    assert not health.may_probe(Instant(T0 + HOUR - 1))
    assert health.may_probe(Instant(T0 + HOUR))


def test_refused_probe_of_a_day_limit_waits_another_hour():
    health = hit(BLANK, OutcomeKind.RATE_LIMITED, retry_after_s=DAY, span=LimitSpan.DAY)

    again = hit(health, OutcomeKind.RATE_LIMITED, now=T0 + HOUR, retry_after_s=DAY - HOUR, span=LimitSpan.DAY)

    assert again.until == pytest.approx(health.until)
    assert again.probe_at == T0 + 2 * HOUR


def test_day_limit_keeps_its_probe_when_the_burst_goes_on_with_a_shorter_limit():
    health = hit(BLANK, OutcomeKind.RATE_LIMITED, retry_after_s=DAY, span=LimitSpan.DAY)

    later = hit(health, OutcomeKind.RATE_LIMITED, now=T0 + 1, started=T0 - 1, retry_after_s=20.0)

    assert (later.until, later.probe_at) == (health.until, health.probe_at)


@given(st.sampled_from(sorted(RESTS)), st.floats(0, 1, exclude_max=True), st.integers(0, 40))
def test_only_guesses_are_jittered_and_by_a_half_at_most(kind, jitter, strikes):
    before = Health(Phase.COOLING, strikes=strikes, since=Instant(0.0), until=Instant(T0 - 1), probe_at=Instant(T0 - 1))

    plain, jittered = (hit(before, kind, jitter=amount) for amount in (0.0, jitter))
    named, named_jittered = (hit(before, kind, jitter=amount, retry_after_s=7.0) for amount in (0.0, jitter))

    assert named == named_jittered
    if plain.phase is not Phase.REJECTED:
        assert plain.until - T0 <= jittered.until - T0 <= (plain.until - T0) * 1.5 + 1e-6


def test_never_served_model_is_forgotten_after_a_minute():
    health, now = BLANK, T0
    for _ in range(5):
        health = hit(health, OutcomeKind.NO_ACCESS_TO_MODEL, now=now, is_model_known=False)
        assert health.until - now == MINUTE
        now = health.until + 1


# -- suspicions, dimming, rejection ------------------------------------------------------------------------------


def test_403_wall_parks_only_at_the_second():
    once = hit(BLANK, OutcomeKind.FORBIDDEN)
    twice = hit(once, OutcomeKind.FORBIDDEN)

    assert (once.phase, once.suspicions) == (Phase.READY, 1)
    assert (twice.phase, twice.until - T0) == (Phase.COOLING, MINUTE)


def test_403_wall_that_names_a_delay_is_still_only_a_suspicion():
    assert hit(BLANK, OutcomeKind.FORBIDDEN, retry_after_s=30.0).phase is Phase.READY


@pytest.mark.parametrize("kind", [OutcomeKind.FORBIDDEN, OutcomeKind.OVERLOADED])
def test_success_between_ends_a_suspicion(kind):
    health = BLANK
    for number in range(6):
        health = hit(health, kind, now=T0 + number)
        health = after(health, OK, started=Instant(T0 + number), now=Instant(T0 + number), jitter=0.0)

    assert health.phase is Phase.READY


def test_overloaded_parks_at_the_third_in_a_row():
    health = BLANK
    phases = []
    for _ in range(3):
        health = hit(health, OutcomeKind.OVERLOADED)
        phases.append(health.phase)

    assert phases == [Phase.READY, Phase.READY, Phase.COOLING]


def test_overloaded_that_names_a_delay_parks_at_once_but_naught_is_no_delay():
    assert hit(BLANK, OutcomeKind.OVERLOADED, retry_after_s=2.0).phase is Phase.COOLING
    assert hit(BLANK, OutcomeKind.OVERLOADED, retry_after_s=0.0).phase is Phase.READY


def test_refused_probe_of_an_overload_parks_again_at_once():
    health = hit(BLANK, OutcomeKind.OVERLOADED, retry_after_s=2.0)

    again = hit(health, OutcomeKind.OVERLOADED, now=T0 + 3)

    assert (again.phase, again.until - T0 - 3) == (Phase.COOLING, 2.0)


@pytest.mark.parametrize("kind", [OutcomeKind.OVERLOADED, OutcomeKind.TIMED_OUT])
def test_doubt_halves_the_weight_for_ten_seconds(kind):
    health = hit(BLANK, kind)

    assert health.phase is Phase.READY
    assert health.dimmed_until == T0 + DIM_S


def test_silence_parks_nothing_however_often():
    health = BLANK
    for number in range(50):
        health = hit(health, OutcomeKind.TIMED_OUT, now=T0 + number)

    assert (health.phase, health.strikes, health.suspicions) == (Phase.READY, 0, 0)


@pytest.mark.parametrize("kind", [OutcomeKind.TOO_LARGE, OutcomeKind.CALLER_FAULT, OutcomeKind.CANCELLED])
def test_what_is_no_fault_of_the_account_changes_nothing(kind):
    cooling = hit(BLANK, OutcomeKind.RATE_LIMITED)

    assert hit(BLANK, kind) is BLANK
    assert hit(cooling, kind, now=T0 + 5) is cooling


def test_credential_is_rejected_after_three_spaced_failures():
    first = hit(BLANK, OutcomeKind.CREDENTIAL_REJECTED)
    second = hit(first, OutcomeKind.CREDENTIAL_REJECTED, now=first.until + 1)
    third = hit(second, OutcomeKind.CREDENTIAL_REJECTED, now=second.until + 1)

    assert [health.phase for health in (first, second, third)] == [Phase.COOLING, Phase.COOLING, Phase.REJECTED]
    assert third.until == FOREVER
    assert not third.may_probe(Instant(T0 + 100 * DAY))
    assert third.reason is OutcomeKind.CREDENTIAL_REJECTED


def test_burst_of_rejections_is_one_strike():
    health = BLANK
    for number in range(20):
        health = hit(health, OutcomeKind.CREDENTIAL_REJECTED, now=T0 + number / 100, started=T0 - 1)

    assert (health.phase, health.strikes) == (Phase.COOLING, 1)


def test_strikes_for_another_reason_do_not_reject_a_credential_nor_double_its_rest():
    walled = BLANK
    for number in range(4):
        walled = hit(walled, OutcomeKind.FORBIDDEN, now=T0 + number * HOUR)

    first = hit(walled, OutcomeKind.CREDENTIAL_REJECTED, now=T0 + 5 * HOUR)

    assert (first.phase, first.strikes, first.until) == (Phase.COOLING, 1, T0 + 5 * HOUR + MINUTE)


@pytest.mark.parametrize("kind", sorted(RESTS))
def test_rejected_scope_stays_so_whatever_else_fails(kind):
    rejected = Health(Phase.REJECTED, 3, since=Instant(T0), until=FOREVER, probe_at=FOREVER)

    later = hit(rejected, kind, now=T0 + DAY)

    assert later.phase is Phase.REJECTED
    assert later.until == FOREVER


# -- bursts and witnesses ----------------------------------------------------------------------------------------


def test_failures_in_flight_when_a_rest_began_add_no_strike_and_the_later_deadline_wins():
    health = hit(BLANK, OutcomeKind.RATE_LIMITED, retry_after_s=10.0)

    shorter = hit(health, OutcomeKind.RATE_LIMITED, now=T0 + 1, started=T0 - 5, retry_after_s=2.0)
    longer = hit(shorter, OutcomeKind.RATE_LIMITED, now=T0 + 2, started=T0, retry_after_s=30.0)

    assert (shorter.strikes, shorter.until, shorter.since) == (1, T0 + 11, T0)
    assert (longer.strikes, longer.until, longer.since) == (1, T0 + 33, T0)


def test_reason_is_that_of_the_later_deadline():
    quota = hit(BLANK, OutcomeKind.RATE_LIMITED, retry_after_s=10.0)

    assert hit(quota, OutcomeKind.OUT_OF_QUOTA, started=T0 - 1).reason is OutcomeKind.OUT_OF_QUOTA
    assert hit(quota, OutcomeKind.RATE_LIMITED, retry_after_s=1.0).reason is OutcomeKind.RATE_LIMITED


def test_stale_success_does_not_heal():
    health = hit(BLANK, OutcomeKind.RATE_LIMITED)

    assert after(health, OK, started=Instant(T0 - 1), now=Instant(T0 + 5), jitter=0.0) is health


def test_success_that_began_after_the_rest_heals_and_keeps_the_doubt():
    health = hit(hit(BLANK, OutcomeKind.TIMED_OUT), OutcomeKind.OVERLOADED, retry_after_s=3.0)

    well = after(health, OK, started=Instant(T0 + 4), now=Instant(T0 + 5), jitter=0.0)

    assert well == Health(since=health.since, dimmed_until=health.dimmed_until)


def test_stale_failure_of_a_healed_scope_does_not_park_it_again():
    health = hit(BLANK, OutcomeKind.CREDENTIAL_REJECTED)
    well = after(health, OK, started=Instant(T0 + 61), now=Instant(T0 + 62), jitter=0.0)

    assert hit(well, OutcomeKind.CREDENTIAL_REJECTED, now=T0 + 63, started=T0 - 1) is well


def test_passed_probe_serves_but_keeps_its_strikes_until_a_success():
    health = hit(BLANK, OutcomeKind.RATE_LIMITED)

    passed = probe_passed(health)
    again = hit(passed, OutcomeKind.RATE_LIMITED, now=T0 + 10)

    assert (passed.phase, passed.strikes) == (Phase.READY, 1)
    assert (again.phase, again.strikes, again.until) == (Phase.COOLING, 2, T0 + 12)


def test_only_a_resting_scope_has_a_probe_to_pass():
    rejected = Health(Phase.REJECTED, 3, until=FOREVER, probe_at=FOREVER)

    assert probe_passed(BLANK) is BLANK
    assert probe_passed(rejected) is rejected


def test_scope_with_nothing_against_it_is_left_as_it_is():
    dimmed = Health(dimmed_until=Instant(T0))

    assert healed(BLANK) is BLANK
    assert healed(dimmed) is dimmed
