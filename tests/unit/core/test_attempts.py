import pytest

from gateway.core.attempts import (
    ACCOUNT_FAULTS,
    UPSTREAM_FAULTS,
    Plan,
    Resting,
    Retry,
    Stop,
    Try,
    Wait,
    next_step,
    why_none,
)
from gateway.core.errors import (
    AllOutOfQuota,
    AllOverloaded,
    AllRateLimited,
    ModelNotFound,
    NoAccountAvailable,
)
from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.core.outcome import Outcome, OutcomeKind

NOW = Instant(1000.0)
A, B, C = (AccountId(name) for name in "abc")
KINDS = [kind for kind in OutcomeKind if kind not in {OutcomeKind.OK, OutcomeKind.CANCELLED}]


def outcome(kind, *, is_definite=True):
    return Outcome(kind, is_definite_refusal=is_definite)


def plan_of(*kinds, **options):
    """A plan after one attempt of each kind, each on an account of its own."""
    plan = Plan()
    for number, kind in enumerate(kinds):
        plan = plan.after(AccountId(f"a{number}"), outcome(kind), **options)
    return plan


def step(plan, *, has_candidate=True, resting=(), wait_s=10.0, retry=Retry.AT_ONCE):
    return next_step(
        plan,
        has_candidate=has_candidate,
        resting=resting,
        now=NOW,
        wait_until=Instant(NOW + wait_s),
        retry=retry,
    )


def rests(reason, seconds, *, wakes_in=None):
    until = Instant(NOW + seconds)
    return Resting(reason, until, until if wakes_in is None else Instant(NOW + wakes_in))


FULL = Resting(None, Instant(NOW + 1), FOREVER)
LIMITED = OutcomeKind.RATE_LIMITED


# -- how many attempts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(ACCOUNT_FAULTS))
def test_faults_of_accounts_never_end_a_call_while_another_account_is_left(kind):
    plan = plan_of(*[kind] * 200)

    assert step(plan, retry=Retry.SPENT) == Try()
    assert len(plan.excluded) == 200


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (OutcomeKind.OVERLOADED, 4),
        (OutcomeKind.UPSTREAM_ERROR, 4),
        (OutcomeKind.UNREACHABLE, 4),
        (OutcomeKind.TIMED_OUT, 2),
        (OutcomeKind.FORBIDDEN, 3),
        (OutcomeKind.NO_ACCESS_TO_MODEL, 3),
        (OutcomeKind.TOO_LARGE, 2),
        (OutcomeKind.CALLER_FAULT, 1),
    ],
)
def test_other_faults_end_it_after_so_many_attempts_as_the_last_one_came(kind, most):
    assert step(plan_of(*[kind] * (most - 1))) == Try()
    assert step(plan_of(*[kind] * most)) == Stop()


def test_keys_of_one_organisation_that_lack_the_model_count_once():
    plan = Plan()
    for number in range(6):
        plan = plan.after(AccountId(f"a{number}"), outcome(OutcomeKind.NO_ACCESS_TO_MODEL), holder="group:openai:g")
    assert step(plan) == Try()

    for holder in ("b", "c"):
        plan = plan.after(AccountId(holder), outcome(OutcomeKind.NO_ACCESS_TO_MODEL), holder=holder)

    assert step(plan) == Stop()


def test_faults_of_the_upstream_are_counted_together():
    kinds = [OutcomeKind.OVERLOADED, OutcomeKind.UNREACHABLE, OutcomeKind.UPSTREAM_ERROR]

    assert step(plan_of(*kinds)) == Try()
    assert step(plan_of(*kinds, OutcomeKind.OVERLOADED)) == Stop()


def test_faults_of_accounts_between_cost_the_upstream_nothing():
    kinds = [OutcomeKind.UPSTREAM_ERROR, LIMITED, OutcomeKind.UPSTREAM_ERROR, LIMITED, OutcomeKind.UPSTREAM_ERROR]

    assert step(plan_of(*kinds)) == Try()


@pytest.mark.parametrize("kind", sorted(UPSTREAM_FAULTS))
def test_spent_retry_budget_is_waited_for_after_a_fault_of_the_upstream(kind):
    assert step(plan_of(kind), retry=Retry.SPENT) == Wait(Instant(NOW + 10.0), is_for_retry=True)
    assert step(plan_of(kind), retry=Retry.SPENT, wait_s=0.0) == Stop()


@pytest.mark.parametrize("kind", sorted(UPSTREAM_FAULTS))
def test_who_has_nobody_left_to_ask_needs_no_turn_of_the_retry_budget(kind):
    assert step(plan_of(kind).rested(), has_candidate=False, retry=Retry.SPENT) == Stop()


@pytest.mark.parametrize("kind", sorted(UPSTREAM_FAULTS))
def test_call_that_others_come_before_keeps_its_place_after_a_fault_of_the_upstream(kind):
    behind = Resting(None, Instant(NOW + 2), FOREVER)

    assert step(plan_of(kind).rested(), has_candidate=False, resting=[behind]) == Wait(Instant(NOW + 10.0))


def test_deadline_ends_a_call():
    assert step(plan_of(LIMITED).ended()) == Stop()


# -- creating calls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_creating_call_is_repeated_only_after_a_definite_refusal(kind):
    refused = Plan().after(A, outcome(kind), is_creating=True)
    unsure = Plan().after(A, outcome(kind, is_definite=False), is_creating=True)

    assert step(refused) == (Stop() if kind is OutcomeKind.CALLER_FAULT else Try())
    assert step(unsure) == Stop()


# -- backoff -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failures", "pause_s"), [(1, 0.1), (2, 0.2), (3, 0.4)])
def test_only_account_is_tried_again_after_a_backoff_that_doubles(failures, pause_s):
    plan = Plan()
    for _ in range(failures):
        plan = plan.rested().after(A, outcome(OutcomeKind.UPSTREAM_ERROR))

    wait = step(plan, has_candidate=False)

    assert isinstance(wait, Wait)
    assert wait.is_backoff
    assert wait.until - NOW == pytest.approx(pause_s)
    assert A not in plan.rested().excluded


def test_backoff_goes_before_waiting_for_others():
    plan = Plan().after(A, outcome(OutcomeKind.UPSTREAM_ERROR))

    assert step(plan, has_candidate=False, resting=[rests(LIMITED, 0.01)]).is_backoff


# -- waiting -----------------------------------------------------------------------------------------------------


def test_call_waits_for_the_soonest_chance_and_a_probe_is_one():
    resting = [rests(LIMITED, 8.0), rests(LIMITED, 3600.0, wakes_in=2.0)]

    assert step(Plan(), has_candidate=False, resting=resting) == Wait(Instant(NOW + 2.0))


def test_call_does_not_wait_beyond_its_patience():
    stop = step(Plan(), has_candidate=False, resting=[rests(LIMITED, 8.0)], wait_s=7.9)

    assert isinstance(stop.error, AllRateLimited)
    assert stop.error.retry_after_s == pytest.approx(8.0)


def test_call_without_patience_never_waits():
    assert isinstance(step(Plan(), has_candidate=False, resting=[FULL], wait_s=0.0), Stop)


def test_full_account_is_waited_for_as_long_as_the_call_may():
    assert step(Plan(), has_candidate=False, resting=[FULL]) == Wait(Instant(NOW + 10.0))
    assert step(Plan(), has_candidate=False, resting=[FULL, rests(LIMITED, 3.0)]) == Wait(Instant(NOW + 3.0))
    assert step(Plan(), has_candidate=False, resting=[FULL, rests(LIMITED, 60.0)]) == Wait(Instant(NOW + 10.0))


@pytest.mark.parametrize("kind", sorted(ACCOUNT_FAULTS | {OutcomeKind.OVERLOADED}))
def test_call_whose_account_was_parked_waits_for_it(kind):
    plan = Plan().after(A, outcome(kind)).rested()

    assert step(plan, has_candidate=False, resting=[rests(kind, 3.0)]) == Wait(Instant(NOW + 3.0))


@pytest.mark.parametrize("kind", [OutcomeKind.FORBIDDEN, OutcomeKind.TIMED_OUT, OutcomeKind.TOO_LARGE])
def test_refusal_that_no_waiting_mends_goes_back_as_it_came(kind):
    plan = Plan().after(A, outcome(kind))

    assert step(plan, has_candidate=False, resting=[rests(LIMITED, 1.0)]) == Stop()


def test_missing_model_may_yet_be_at_an_account_that_rests():
    plan = Plan().after(A, outcome(OutcomeKind.NO_ACCESS_TO_MODEL))

    assert step(plan, has_candidate=False, resting=[rests(LIMITED, 1.0)]) == Wait(Instant(NOW + 1.0))
    assert step(plan, has_candidate=False, resting=[rests(OutcomeKind.NO_ACCESS_TO_MODEL, 1.0)]) == Stop()


def test_overload_with_nobody_left_goes_back_as_it_came():
    plan = Plan().after(A, outcome(OutcomeKind.OVERLOADED)).rested()

    assert step(plan, has_candidate=False, resting=[]) == Stop()


def test_recovery_lets_parked_accounts_be_tried_again_but_no_others():
    plan = Plan().after(A, outcome(LIMITED)).after(B, outcome(OutcomeKind.FORBIDDEN))
    plan = plan.after(C, outcome(OutcomeKind.UPSTREAM_ERROR))

    assert plan.excluded == {A, B, C}
    assert plan.rested().excluded == {A, B}
    assert plan.recovered().excluded == {B}


# -- why none ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "error"),
    [
        ([LIMITED, OutcomeKind.OVERLOADED, OutcomeKind.OUT_OF_QUOTA], AllRateLimited),
        ([None, OutcomeKind.OVERLOADED], AllRateLimited),
        ([OutcomeKind.OVERLOADED, OutcomeKind.OUT_OF_QUOTA, OutcomeKind.CREDENTIAL_REJECTED], AllOverloaded),
        ([OutcomeKind.OUT_OF_QUOTA, OutcomeKind.CREDENTIAL_REJECTED], AllOutOfQuota),
        ([OutcomeKind.NO_ACCESS_TO_MODEL], ModelNotFound),
        ([OutcomeKind.NO_ACCESS_TO_MODEL, OutcomeKind.CREDENTIAL_REJECTED], NoAccountAvailable),
        ([OutcomeKind.CREDENTIAL_REJECTED], NoAccountAvailable),
        ([OutcomeKind.MISSING_PERMISSION, OutcomeKind.FORBIDDEN], NoAccountAvailable),
        ([OutcomeKind.NO_TOKEN, OutcomeKind.CREDENTIAL_REJECTED], NoAccountAvailable),
        ([], NoAccountAvailable),
    ],
)
def test_error_names_the_reason_that_the_caller_can_use_best(reasons, error):
    resting = [rests(reason, 60.0) for reason in reasons]

    assert type(why_none(resting, NOW)) is error


def test_retry_after_is_the_time_of_the_soonest_recovery():
    assert why_none([rests(LIMITED, 90.0), rests(LIMITED, 33.0)], NOW).retry_after_s == pytest.approx(33.0)
    assert why_none([rests(OutcomeKind.OVERLOADED, 12.0)], NOW).retry_after_s == pytest.approx(12.0)


def test_a_token_that_could_not_be_fetched_is_worth_coming_back_for():
    rejected = rests(OutcomeKind.CREDENTIAL_REJECTED, 60.0)

    assert why_none([rests(OutcomeKind.NO_TOKEN, 4.0), rejected], NOW).retry_after_s == pytest.approx(4.0)
    assert why_none([rejected], NOW).retry_after_s is None


def test_retry_after_counts_the_recovery_and_not_the_probe():
    assert why_none([rests(LIMITED, 7200.0, wakes_in=5.0)], NOW).retry_after_s == pytest.approx(7200.0)


# -- the breaker -------------------------------------------------------------------------------------------------


def broken(reason, seconds):
    return Resting(reason, Instant(NOW + seconds), Instant(NOW + seconds), is_broken=True)


@pytest.mark.parametrize("kind", sorted(UPSTREAM_FAULTS))
def test_where_nobody_seems_to_be_served_the_next_account_is_asked_after_a_backoff(kind):
    plan = plan_of(kind, kind)

    assert step(plan, retry=Retry.AFTER_BACKOFF) == Wait(Instant(NOW + 0.2), is_backoff=True)
    assert step(plan.rested(), retry=Retry.AFTER_BACKOFF) == Try()


@pytest.mark.parametrize(
    "rest", [rests(LIMITED, 2.0), rests(OutcomeKind.OVERLOADED, 2.0), Resting(None, FOREVER, FOREVER)]
)
def test_last_attempt_is_kept_for_who_comes_back_in_time(rest):
    twice, thrice = (plan_of(*[OutcomeKind.UPSTREAM_ERROR] * times) for times in (2, 3))
    waits = Wait(Instant(NOW + min(rest.wake_at - NOW, 10.0)))

    assert step(twice, has_candidate=False, resting=[rest]).is_backoff
    assert step(thrice, has_candidate=False, resting=[rest]) == waits
    assert step(thrice.recovered(), has_candidate=False, resting=[rest]) == waits
    assert step(thrice, has_candidate=False, resting=[rest], wait_s=0.0).is_backoff


def test_last_attempt_goes_to_who_failed_before_where_nobody_else_comes_back_in_time():
    plan = plan_of(*[OutcomeKind.UPSTREAM_ERROR] * 3)

    assert step(plan, has_candidate=False, resting=[rests(LIMITED, 60.0)]).is_backoff


def test_probe_for_other_calls_does_not_count_against_the_one_that_makes_it():
    plan = plan_of(*[OutcomeKind.UNREACHABLE] * 3)

    probed = plan.after(A, outcome(OutcomeKind.UPSTREAM_ERROR), is_for_others=True)

    assert not probed.is_over
    assert probed.counts == plan.counts
    assert A in probed.failed
    assert plan.after(A, outcome(OutcomeKind.UPSTREAM_ERROR)).is_over


@pytest.mark.parametrize("kind", [OutcomeKind.UPSTREAM_ERROR, OutcomeKind.UNREACHABLE, OutcomeKind.OVERLOADED])
def test_call_that_met_a_fault_of_the_upstream_waits_for_the_probe(kind):
    plan = plan_of(kind).rested()

    assert step(plan, has_candidate=False, resting=[broken(kind, 2.0)]) == Wait(Instant(NOW + 2.0))


@pytest.mark.parametrize("kind", [OutcomeKind.UPSTREAM_ERROR, OutcomeKind.UNREACHABLE, OutcomeKind.OVERLOADED])
def test_call_that_met_the_fault_itself_ends_as_it_came_when_the_probe_is_too_far(kind):
    plan = plan_of(kind).rested()

    assert step(plan, has_candidate=False, resting=[broken(kind, 20.0)]) == Stop()


def test_call_that_met_silence_does_not_wait_for_the_probe():
    plan = plan_of(OutcomeKind.TIMED_OUT)

    assert step(plan, has_candidate=False, resting=[broken(OutcomeKind.TIMED_OUT, 1.0)]) == Stop()


@pytest.mark.parametrize("kind", [OutcomeKind.UPSTREAM_ERROR, OutcomeKind.UNREACHABLE, OutcomeKind.TIMED_OUT])
def test_open_breaker_is_a_503_that_says_when_to_come_back(kind):
    error = why_none([broken(kind, 4.0), rests(OutcomeKind.OUT_OF_QUOTA, 300.0)], NOW)

    assert (error.status, error.code, error.retry_after_s) == (503, "upstream_unavailable", pytest.approx(4.0))


def test_a_limit_goes_before_an_open_breaker():
    assert type(why_none([broken(OutcomeKind.TIMED_OUT, 4.0), rests(LIMITED, 60.0)], NOW)) is AllRateLimited


@pytest.mark.parametrize("kind", [OutcomeKind.CREDENTIAL_REJECTED, OutcomeKind.FORBIDDEN])
def test_breaker_that_refusals_opened_says_that_nobody_can_serve_and_until_when(kind):
    error = why_none([broken(kind, 4.0)], NOW)

    assert isinstance(error, NoAccountAvailable)
    assert error.retry_after_s == pytest.approx(4.0)
