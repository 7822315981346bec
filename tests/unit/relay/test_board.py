import pytest

from gateway.core.ids import AccountId
from gateway.core.outcome import Outcome, OutcomeKind, Scope, ScopeKind
from gateway.relay.learned import MAX_NAMES_OF_ONE
from tests.fakes.relay_kit import RelayKit, account

OK = Outcome(OutcomeKind.OK, 200)
REJECTED = Outcome(OutcomeKind.CREDENTIAL_REJECTED, 401)


def limited(seconds=10.0, **fields):
    return Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=seconds, **fields)


def model_scope(name, model="gpt-4"):
    return Scope(ScopeKind.HOLDER_MODEL, name, model)


# -- views -------------------------------------------------------------------------------------------------------


def test_parked_account_is_out_of_the_view_until_its_time():
    kit = RelayKit("a", "b")

    kit.observe("a", limited(10))

    assert kit.serving() == {"b"}
    kit.clock.move(10.9)
    assert kit.serving() == {"b"}
    kit.clock.move(0.2)
    assert kit.serving() == {"a", "b"}


def test_rate_limit_of_one_model_leaves_the_others():
    kit = RelayKit("a")

    kit.observe("a", limited())

    assert kit.serving("gpt-4") == set()
    assert kit.serving("gpt-5") == {"a"}


def test_model_names_are_one_whatever_their_case():
    kit = RelayKit("a")

    kit.observe("a", limited(), model="GPT-4")

    assert kit.serving("gpt-4") == set()


@pytest.mark.parametrize(
    "outcome", [Outcome(OutcomeKind.OUT_OF_QUOTA, 429), REJECTED], ids=["out of quota", "rejected"]
)
def test_trouble_of_the_whole_account_parks_all_its_models(outcome):
    kit = RelayKit("a")

    kit.observe("a", outcome)

    assert kit.serving("gpt-4") == kit.serving("gpt-5") == set()


def test_accounts_of_a_quota_group_are_parked_together():
    kit = RelayKit(account("a", quota_group="org"), account("b", quota_group="org"), account("c", quota_group="other"))

    kit.observe("a", limited())

    assert kit.serving() == {"c"}


def test_project_without_money_leaves_the_others_of_its_group():
    kit = RelayKit(account("a", quota_group="org"), account("b", quota_group="org"))

    kit.observe("a", Outcome(OutcomeKind.OUT_OF_QUOTA, 429, code="project_spend_limit_exceeded"))

    assert kit.serving("gpt-4") == kit.serving("gpt-5") == {"b"}
    (status,) = kit.board.status_of(AccountId("a"))
    assert (status.kind, status.reason) == (ScopeKind.HOLDER, OutcomeKind.OUT_OF_QUOTA)


def test_rejected_credential_of_one_member_leaves_its_group():
    kit = RelayKit(account("a", quota_group="org"), account("b", quota_group="org"))

    kit.observe("a", REJECTED)

    assert kit.serving() == {"b"}


def test_lower_tiers_come_first_and_the_next_serves_when_they_rest():
    kit = RelayKit(account("z", tier=5), account("a", tier=1), account("b", tier=1))
    view = kit.board.view(kit.pool(), kit.clock.now())

    names = [[member.account_id for member in tier] for tier in view.tiers]

    assert names == [["a", "b"], ["z"]]


def test_view_is_kept_while_nothing_changes():
    kit = RelayKit("a", "b")
    view = kit.board.view(kit.pool(), kit.clock.now())
    kit.clock.move(1000.0)

    kit.observe("a", OK)

    assert kit.board.view(kit.pool(), kit.clock.now()) is view


def test_doubt_dims_an_account_for_ten_seconds():
    kit = RelayKit("a", "b")
    kit.observe("a", Outcome(OutcomeKind.TIMED_OUT))

    now_dimmed = set(kit.board.view(kit.pool(), kit.clock.now()).dimmed)
    kit.clock.move(10.1)
    later = kit.board.view(kit.pool(), kit.clock.now())

    assert now_dimmed == {"a"}
    assert later.dimmed == set()
    assert kit.serving() == {"a", "b"}


# -- probes ------------------------------------------------------------------------------------------------------


def due(*names, seconds=5.0):
    """A kit in which `a` has just rested out."""
    kit = RelayKit(*(names or ("a",)))
    kit.observe("a", limited(seconds))
    kit.clock.move(seconds * 1.1 + 0.1)
    return kit


def test_one_probe_at_a_time_goes_after_a_rest():
    kit = due()

    probe = kit.take("a")

    assert probe.probes == (model_scope("a"),)
    assert kit.serving() == set()
    probe.release()
    assert kit.serving() == {"a"}


def test_success_of_the_probe_opens_the_scope():
    kit = due()
    probe = kit.take("a")

    kit.board.observe(probe, OK, kit.clock.now())

    assert kit.serving() == {"a"}
    assert kit.take("a").probes == ()


def test_probe_that_is_not_refused_within_a_second_has_passed():
    kit = due()
    kit.take("a")

    kit.clock.move(0.99)
    early = kit.serving()
    kit.clock.move(0.02)

    assert early == set()
    assert kit.serving() == {"a"}
    assert kit.take("a").probes == ()


def test_cancelled_probe_says_nothing_and_the_next_one_goes():
    kit = due()
    kit.take("a").release()

    second = kit.take("a")

    assert second.probes == (model_scope("a"),)
    assert kit.serving() == set()


def test_probe_that_passed_by_time_and_was_cancelled_later_has_still_passed():
    kit = due()
    probe = kit.take("a")
    kit.clock.move(1.5)

    probe.release()

    assert kit.take("a").probes == ()
    assert kit.serving() == {"a"}


def test_refused_probe_parks_again_for_longer():
    kit = due()
    probe = kit.take("a")

    kit.board.observe(probe, Outcome(OutcomeKind.RATE_LIMITED, 429), kit.clock.now())
    probe.release()

    assert kit.serving() == set()
    assert kit.board.status_of(AccountId("a"))[0].strikes == 2


def test_old_probe_that_still_runs_is_none_for_the_next_rest():
    kit = due()
    old = kit.take("a")
    kit.clock.move(1.5)
    other = kit.take("a")
    kit.board.observe(other, limited(5), kit.clock.now())
    other.release()
    kit.clock.move(6.0)

    new = kit.take("a")

    assert new.probes == (model_scope("a"),)
    assert kit.serving() == set()
    old.release()
    assert kit.serving() == set()
    new.release()
    kit.clock.move(10.0)  # its pace has room for one more
    assert kit.serving() == {"a"}


def test_stream_that_was_a_probe_does_not_end_a_later_probe_when_it_ends():
    kit = due()
    stream = kit.take("a")
    kit.board.observe(stream, OK, kit.clock.now())
    kit.clock.move(1.0)
    kit.observe("a", limited(5))
    kit.clock.move(6.0)
    probe = kit.take("a")

    stream.release()

    assert kit.serving() == set()
    probe.release()


def test_quota_group_is_probed_by_one_of_its_accounts():
    kit = RelayKit(account("a", quota_group="org"), account("b", quota_group="org"))
    kit.observe("a", limited(5))
    kit.clock.move(6.0)

    kit.take("b")

    assert kit.serving() == set()


def test_end_of_a_probe_is_told_to_those_who_wait():
    kit = due()
    probe = kit.take("a")
    rings = []
    kit.board.on_change = lambda: rings.append(kit.clock.now())

    probe.release()

    assert rings == [kit.clock.now()]


# -- what is learned ---------------------------------------------------------------------------------------------


def test_name_of_a_shared_limit_is_learned():
    kit = RelayKit("a", "b")

    kit.observe("a", limited(limit_name="family"))

    assert kit.serving() == {"b"}
    assert kit.board.status_of(AccountId("a"))[0].what == "family"


def test_limit_without_a_name_still_parks_a_model_whose_limit_had_one():
    kit = RelayKit("a", "b")
    kit.observe("a", limited(2, limit_name="family"))
    kit.clock.move(3.0)

    kit.observe("b", limited(30))

    assert kit.serving() == {"a"}


def test_two_models_of_a_family_rest_together_once_both_are_known_to_be_of_it():
    kit = RelayKit("a")
    kit.observe("a", limited(2, limit_name="family"), model="gpt-4-mini")
    kit.clock.move(3.0)
    kit.observe("a", OK, model="gpt-4-mini")

    kit.observe("a", limited(30, limit_name="family"), model="gpt-4")

    assert kit.serving("gpt-4-mini") == kit.serving("gpt-4") == set()


def test_accounts_that_name_one_limit_differently_are_both_parked():
    kit = RelayKit("a", "b", "c")

    kit.observe("a", limited(limit_name="family-x"))
    kit.observe("b", limited(limit_name="family-y"))

    assert kit.serving() == {"c"}


def test_upstream_that_invents_names_of_limits_fills_no_memory_and_is_still_parked():
    kit = RelayKit("a")

    for number in range(50):
        kit.observe("a", limited(1 + number, limit_name=f"name-{number}"))
        assert kit.serving() == set()

    assert len(kit.member("a").scopes) <= len(ScopeKind) + MAX_NAMES_OF_ONE


def test_model_that_nobody_ever_served_rests_a_minute_and_is_told_to_nobody():
    kit = RelayKit("a")
    kit.observe("a", Outcome(OutcomeKind.NO_ACCESS_TO_MODEL, 404), model="tpyo")

    assert kit.serving("tpyo") == set()
    assert kit.announcer.parks == []
    kit.clock.move(60.0 * 1.5 + 0.1)
    assert kit.serving("tpyo") == {"a"}


def test_model_that_was_served_before_is_missed_for_longer():
    kit = RelayKit("a", "b")
    kit.observe("a", OK)

    kit.observe("b", Outcome(OutcomeKind.NO_ACCESS_TO_MODEL, 404))

    kit.clock.move(500.0)
    assert kit.serving() == {"a"}
    assert len(kit.announcer.parks) == 1


# -- leases ------------------------------------------------------------------------------------------------------


def test_lease_is_released_once():
    kit = RelayKit("a")
    first, second = kit.take("a"), kit.take("a")

    first.release()
    first.release()

    assert kit.board.in_flight(AccountId("a")) == 1
    assert kit.board.in_flight_calls == 1
    second.release()
    assert kit.board.in_flight_calls == 0


def test_lease_of_an_account_that_is_gone_is_released_without_trouble():
    kit = RelayKit("a", "b")
    lease = kit.take("a")

    kit.set_accounts("b")
    lease.release()

    assert kit.board.in_flight_calls == 0
    assert kit.board.in_flight(AccountId("a")) == 0
