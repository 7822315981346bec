from datetime import timedelta

import pytest

from gateway.core.cooldown import AVOID_S, AVOIDED_AFTER, Phase, Witness
from gateway.core.ids import AccountId, CallId, ModelName
from gateway.core.outcome import LimitSpan, Outcome, OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.relay import healths as healths_module
from tests.fakes.relay_kit import PROVIDER, RelayKit, account

OK = Outcome(OutcomeKind.OK, 200)
ERROR = Outcome(OutcomeKind.UPSTREAM_ERROR, 500)
REJECTED = Outcome(OutcomeKind.CREDENTIAL_REJECTED, 401)


def limited(seconds=10.0, **fields):
    return Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=seconds, **fields)


def park(kit, scope, seconds, *, is_rejected=False, strikes=2):
    at = kit.clock.wall_now() + timedelta(seconds=seconds)
    reason = OutcomeKind.CREDENTIAL_REJECTED if is_rejected else OutcomeKind.RATE_LIMITED
    return Park(
        scope=scope,
        reason=reason,
        strikes=strikes,
        since_at=kit.clock.wall_now(),
        until_at=at,
        probe_at=at,
        is_rejected=is_rejected,
    )


def model_scope(name, model="gpt-4"):
    return Scope(ScopeKind.HOLDER_MODEL, name, model)


# -- snapshots ---------------------------------------------------------------------------------------------------


def test_new_snapshot_keeps_health_and_load():
    kit = RelayKit("a", "b")
    lease = kit.take("b")
    kit.observe("a", limited())

    kit.set_accounts("a", "b", "c")

    assert kit.serving() == {"b", "c"}
    assert kit.board.in_flight(AccountId("b")) == 1
    lease.release()
    assert kit.board.in_flight(AccountId("b")) == 0


@pytest.mark.parametrize(
    "outcome",
    [REJECTED, Outcome(OutcomeKind.OUT_OF_QUOTA, 429), Outcome(OutcomeKind.MISSING_PERMISSION, 403)],
    ids=["rejected", "quota", "permission"],
)
def test_account_with_a_new_credential_starts_anew_here_and_everywhere(outcome):
    kit = RelayKit("a")
    kit.observe("a", outcome)

    kit.set_accounts(account("a", key="sk-new"))

    assert kit.serving() == {"a"}
    assert [scope.holder for scope in kit.announcer.recoveries] == ["a"]


def test_other_changes_of_an_account_lift_nothing():
    kit = RelayKit("a")
    kit.observe("a", REJECTED)

    kit.set_accounts(account("a", weight=3.0))

    assert kit.serving() == set()
    assert kit.announcer.recoveries == []


def test_failure_of_the_old_credential_does_not_park_the_new_one():
    kit = RelayKit("a")
    kit.observe("a", REJECTED)
    kit.clock.move(100.0)
    in_flight = kit.take("a")
    kit.clock.move(1.0)
    kit.set_accounts(account("a", key="sk-new"))
    kit.clock.move(1.0)

    kit.board.observe(in_flight, REJECTED, kit.clock.now())
    in_flight.release()

    assert kit.serving() == {"a"}


def test_park_of_a_quota_group_outlives_a_members_new_credential():
    kit = RelayKit(account("a", quota_group="org"))
    kit.observe("a", limited())

    kit.set_accounts(account("a", quota_group="org", key="sk-new"))

    assert kit.serving() == set()


def test_newcomer_does_not_get_every_call_to_catch_up():
    kit = RelayKit("a")
    for _ in range(500):
        kit.observe("a", OK)
    kit.set_accounts("a", "b")
    pool = kit.pool()

    kit.observe("b", OK)

    loads = {member.account_id: member.load.served for member in pool.members}
    assert abs(loads["a"] - loads["b"]) < 5


# -- news --------------------------------------------------------------------------------------------------------


def test_parks_are_announced_in_wall_time_and_recoveries_follow():
    kit = RelayKit("a")
    kit.observe("a", limited(20))

    [told] = kit.announcer.parks
    kit.clock.move(22.0)
    kit.observe("a", OK)

    assert told.scope == model_scope("a")
    assert told.reason is OutcomeKind.RATE_LIMITED
    assert told.until_at - told.since_at == timedelta(seconds=21)
    assert kit.announcer.recoveries == [model_scope("a")]


def test_rejection_is_announced_as_such():
    kit = RelayKit("a")
    for _ in range(3):
        kit.observe("a", REJECTED)
        kit.clock.move(3600.0)

    assert [told.is_rejected for told in kit.announcer.parks] == [False, False, True]
    assert kit.board.status_of(AccountId("a"))[0].state is Phase.REJECTED


def test_suspicions_and_errors_are_nobodys_business():
    kit = RelayKit("a")

    for outcome in (ERROR, Outcome(OutcomeKind.FORBIDDEN, 403), Outcome(OutcomeKind.TIMED_OUT)):
        kit.observe("a", outcome)

    assert kit.announcer.parks == []
    assert kit.serving() == {"a"}


def test_burst_is_counted_once_and_a_later_deadline_is_told():
    kit = RelayKit("a")
    cooled = []
    kit.board.on_cooled = lambda account, scope, health, _: cooled.append((account.id, scope.what, health.reason))
    leases = [kit.take("a") for _ in range(5)]
    kit.clock.move(0.1)

    for lease, seconds in zip(leases, (10, 5, 20, 20, 1), strict=True):
        kit.board.observe(lease, limited(seconds), kit.clock.now())
        lease.release()

    assert cooled == [("a", "gpt-4", OutcomeKind.RATE_LIMITED)]
    assert [told.strikes for told in kit.announcer.parks] == [1, 1]


def test_silence_of_an_account_that_rests_is_no_news():
    kit = RelayKit("a")
    late = kit.take("a")
    kit.observe("a", Outcome(OutcomeKind.OVERLOADED, 503, retry_after_s=20.0))
    cooled = []
    kit.board.on_cooled = lambda *told: cooled.append(told)

    kit.board.observe(late, Outcome(OutcomeKind.TIMED_OUT), kit.clock.now())
    late.release()

    assert cooled == []
    assert len(kit.announcer.parks) == 1


def test_parks_that_are_heard_hold_here_too():
    kit = RelayKit("a", "b")

    kit.board.hear_parks([park(kit, model_scope("a"), 30)])

    assert kit.serving() == {"b"}
    assert kit.announcer.parks == []
    kit.clock.move(30.1)
    assert kit.serving() == {"a", "b"}
    assert kit.take("a").probes == (model_scope("a"),)


def test_rejection_that_is_heard_holds_until_a_recovery_is_heard():
    kit = RelayKit("a")
    scope = Scope(ScopeKind.ACCOUNT, "a")
    kit.board.hear_parks([park(kit, scope, 86400, is_rejected=True)])
    rings = []
    kit.board.on_change = lambda: rings.append(1)
    kit.clock.move(2 * 86400.0)
    before = kit.serving()

    kit.board.hear_recoveries([scope])

    assert before == set()
    assert kit.serving() == {"a"}
    assert rings == [1]


def test_wall_clock_that_is_set_moves_no_rest():
    kit = RelayKit("a")
    kit.observe("a", limited(10))

    kit.clock.jump_wall(3600.0)

    assert kit.serving() == set()
    kit.clock.move(11.1)
    assert kit.serving() == {"a"}


def test_operator_who_clears_an_account_ends_all_its_rests_and_it_is_announced():
    kit = RelayKit(account("a", quota_group="org"), account("b", quota_group="org"))
    kit.observe("a", limited())
    kit.observe("a", REJECTED)
    kit.observe("a", Outcome(OutcomeKind.MISSING_PERMISSION, 403))

    kit.board.clear(AccountId("a"))

    assert kit.serving() == {"a", "b"}
    assert kit.board.status_of(AccountId("a")) == []
    assert {scope.kind for scope in kit.announcer.recoveries} == {
        ScopeKind.HOLDER_MODEL,
        ScopeKind.ACCOUNT,
        ScopeKind.ACCOUNT_ENDPOINT,
    }


# -- status ------------------------------------------------------------------------------------------------------


def test_status_says_what_rests_why_and_until_when():
    kit = RelayKit("a", "b")
    kit.observe("a", limited(86400.0, span=LimitSpan.DAY, message="Limit reached in org-***"))

    [status] = kit.board.status_of(AccountId("a"))

    now = kit.clock.wall_now()
    assert (status.kind, status.what, status.state) == (ScopeKind.HOLDER_MODEL, "gpt-4", Phase.COOLING)
    assert (status.reason, status.strikes) == (OutcomeKind.RATE_LIMITED, 1)
    assert status.until_at == now + timedelta(seconds=86401)
    assert status.probe_at == now + timedelta(hours=1)
    assert status.last_error == "Limit reached in org-***"
    assert kit.board.status_of(AccountId("b")) == []


def test_status_says_who_is_asked_last_and_until_when():
    kit = RelayKit("a", "b")
    for _ in range(AVOIDED_AFTER):
        kit.observe("a", Outcome(OutcomeKind.UPSTREAM_ERROR, 500, message="The server had an error"))

    [status] = kit.board.status_of(AccountId("a"))
    kit.clock.move(AVOID_S)

    assert (status.what, status.state, status.faults) == ("gpt-4", Phase.READY, AVOIDED_AFTER)
    assert status.avoided_until_at == kit.clock.wall_now()
    assert status.last_error == "The server had an error"
    assert kit.board.status_of(AccountId("a")) == []


def test_states_count_accounts_by_their_worst_scope():
    kit = RelayKit("a", "b", "c", "d")
    kit.observe("b", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))
    kit.observe("c", limited())  # one model only
    kit.board.hear_parks([park(kit, Scope(ScopeKind.ACCOUNT, "d"), 86400, is_rejected=True)])

    assert kit.board.states() == {PROVIDER: {Phase.READY: 2, Phase.COOLING: 1, Phase.REJECTED: 1}}
    kit.clock.move(3600.0)
    assert kit.board.states()[PROVIDER][Phase.COOLING] == 0


def test_last_use_of_a_provider_is_remembered():
    kit = RelayKit("a")
    never = kit.board.last_used(PROVIDER)

    kit.observe("a", OK)

    assert never == float("-inf")
    assert kit.board.last_used(PROVIDER) == kit.clock.now()


# -- memory ------------------------------------------------------------------------------------------------------


def test_tidy_forgets_what_no_longer_says_anything():
    kit = RelayKit("a")
    for number in range(300):
        kit.observe("a", Outcome(OutcomeKind.NO_ACCESS_TO_MODEL, 404), model=ModelName(f"m{number}"))
    kit.observe("a", limited(1))
    kit.clock.move(2.0)
    kit.observe("a", OK)

    kit.board.tidy()
    kept = len(kit.board.healths.by_scope)
    kit.clock.move(7 * 3600.0)
    kit.board.tidy()

    assert kept == 301
    assert kit.board.healths.by_scope == {}
    assert kit.board.healths.errors == {}


def test_tidy_keeps_rejections_and_suspicions():
    kit = RelayKit("a", "b")
    kit.board.hear_parks([park(kit, Scope(ScopeKind.ACCOUNT, "a"), 86400, is_rejected=True)])
    kit.observe("b", Outcome(OutcomeKind.FORBIDDEN, 403))
    kit.clock.move(30 * 86400.0)

    kit.board.tidy()
    kit.observe("b", Outcome(OutcomeKind.FORBIDDEN, 403))

    assert kit.serving() == set()


def test_scopes_are_bounded_and_those_that_rest_longest_are_kept(monkeypatch):
    monkeypatch.setattr(healths_module, "MAX_HEALTHS", 100)
    kit = RelayKit("a")
    kit.observe("a", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))

    for number in range(1000):
        kit.observe("a", Outcome(OutcomeKind.NO_ACCESS_TO_MODEL, 404), model=ModelName(f"m{number}"))

    assert len(kit.board.healths.by_scope) <= 101
    assert kit.serving() == set()


def test_each_rest_and_each_recovery_is_seen_once():
    kit = RelayKit("a")
    seen = []
    kit.board.on_cooled = lambda account, scope, health, _: seen.append(("cooled", account.id, health.reason))
    kit.board.on_recovered = lambda account, scope, before: seen.append(("recovered", account.id, before.reason))

    kit.observe("a", limited(2))
    kit.clock.move(5)
    kit.observe("a", Outcome(OutcomeKind.OK, 200))
    kit.observe("a", Outcome(OutcomeKind.OK, 200))

    reason = OutcomeKind.RATE_LIMITED
    assert seen == [("cooled", "a", reason), ("recovered", "a", reason)]


def test_a_rest_names_the_call_that_met_it_and_whether_that_was_the_probe():
    kit = RelayKit("a")
    witnesses = []
    kit.board.on_cooled = lambda account, scope, health, witness: witnesses.append(witness)
    pool, member = kit.pool(), kit.member("a")
    for call_id in (CallId("req_1"), CallId("req_2")):
        lease = kit.board.take(pool, member, kit.clock.now(), call_id=call_id)
        kit.clock.move(0.1)
        kit.board.observe(lease, limited(2), kit.clock.now())
        lease.release()
        kit.clock.move(5)

    assert witnesses == [Witness(CallId("req_1"), is_probe=False), Witness(CallId("req_2"), is_probe=True)]


def test_a_probe_that_passed_by_time_and_an_operators_word_are_recoveries():
    kit = RelayKit("a")
    recovered = []
    kit.board.on_recovered = lambda account, scope, before: recovered.append(scope)

    kit.observe("a", limited(2))
    kit.clock.move(5)
    probe = kit.take("a")
    kit.clock.move(2)
    probe.release()
    kit.observe("a", limited(60))
    kit.board.clear("a")
    kit.board.clear("a")

    assert recovered == [model_scope("a"), model_scope("a")]


def test_what_others_told_is_theirs_to_write_down():
    kit = RelayKit("a")
    seen = []
    kit.board.on_cooled = kit.board.on_recovered = lambda *told: seen.append(told)

    kit.board.hear_parks([park(kit, model_scope("a"), 30)])
    kit.board.hear_recoveries([model_scope("a")])

    assert seen == []
