"""Accounts whose credential was changed while calls of the old one are under way, here or in other processes."""

import msgspec
import pytest

from gateway.core.outcome import Outcome, OutcomeKind
from tests.fakes.relay_kit import RelayKit, account

REJECTED = Outcome(OutcomeKind.CREDENTIAL_REJECTED, 401)
LIMITED = Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=10.0)
OLD, NEW, OTHER_KEYS = "aaaaaaaa01", "aaaaaaaa02", "bbbbbbbb03"
"""Marks: the first eight digits name the key that they were made with."""


@pytest.mark.parametrize("late", [REJECTED, LIMITED, Outcome(OutcomeKind.OUT_OF_QUOTA, 429)], ids=str)
def test_late_failure_of_an_old_credential_does_not_park_a_new_one_that_was_never_parked(late):
    kit = RelayKit("a")
    in_flight = kit.take("a")
    kit.set_accounts(account("a", key="sk-new"))

    kit.board.observe(in_flight, late, kit.clock.now())

    assert kit.serving() == {"a"}
    assert kit.announcer.parks == []


def test_late_failure_of_an_old_credential_speaks_for_its_quota_group():
    kit = RelayKit(account("a", quota_group="org"), account("b", quota_group="org"))
    in_flight = kit.take("a")
    kit.set_accounts(account("a", quota_group="org", key="sk-new"), account("b", quota_group="org"))

    kit.board.observe(in_flight, LIMITED, kit.clock.now())

    assert kit.serving() == set()


def parked_elsewhere(mark):
    """What a process tells that met a 401 with the credential of that mark."""
    kit = RelayKit(account("a", credential_mark=mark))
    kit.observe("a", REJECTED)
    return kit.announcer.parks


def test_park_is_told_with_the_mark_of_the_credential_that_met_it():
    (park,) = parked_elsewhere(OLD)

    assert park.credential_mark == OLD


def test_park_of_a_quota_group_has_no_mark():
    kit = RelayKit(account("a", credential_mark=OLD, quota_group="org"))
    kit.observe("a", LIMITED)

    assert [park.credential_mark for park in kit.announcer.parks] == [None]


@pytest.mark.parametrize(
    ("told", "serves"),
    [(OLD, True), (NEW, False), (None, False), (OTHER_KEYS, False)],
    ids=["old credential", "the same", "an older release", "made with another key"],
)
def test_process_that_knows_only_the_old_credential_parks_no_new_one(told, serves):
    kit = RelayKit(account("a", key="sk-new", credential_mark=NEW))

    kit.board.hear_parks(parked_elsewhere(told))

    assert kit.serving() == ({"a"} if serves else set())


def test_account_without_a_known_credential_hears_every_park():
    kit = RelayKit("a")

    kit.board.hear_parks([msgspec.structs.replace(park, credential_mark=NEW) for park in parked_elsewhere(OLD)])

    assert kit.serving() == set()
