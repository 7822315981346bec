"""Accounts that belong together by what answers name, and what it takes until they share limits."""

import pytest

from gateway.core.ids import AccountId, ProviderId
from gateway.core.organizations import LONGEST_NAME, PARTED_AT, SHARED_AT, Membership, Organizations
from tests.fakes.relay_kit import PROVIDER, account, snapshot_of

ORG = (PROVIDER, "org-a")
A, B, C = account("a"), account("b"), account("c", quota_group="g")


def named(*accounts, name="org-a"):
    known = Organizations()
    for one in accounts:
        assert known.name(one, name)
    return known


def voted(known, votes, *, speaks_for):
    return [known.weigh(ORG, speaks_for=speaks_for) for _ in range(votes)]


def test_a_name_alone_is_an_offer():
    known = named(A, B, C)

    assert known.siblings([A, B, C]) == {ORG: [A, B]}  # c has a group already
    assert known.applied_to(snapshot_of(A, B, C)).accounts[B.id].holder == "b"


def test_borne_out_the_accounts_have_one_holder():
    known = named(A, B)

    assert voted(known, SHARED_AT, speaks_for=True) == [False] * (SHARED_AT - 1) + [True]
    snapshot = known.applied_to(snapshot_of(A, B, C))

    holders = [snapshot.accounts[one.id].holder for one in (A, B, C)]
    assert holders == ["organization:openai:org-a"] * 2 + ["group:openai:g"]
    assert [one.holder for one in snapshot.accounts_of[PROVIDER]] == holders


def test_an_account_alone_in_its_organisation_stays_alone():
    known = named(A)
    voted(known, SHARED_AT, speaks_for=True)

    assert known.applied_to(snapshot_of(A, B)).accounts[A.id].holder == "a"


def test_answers_that_speak_against_it_part_them_for_good():
    known = named(A, B)
    voted(known, SHARED_AT, speaks_for=True)

    changes = voted(known, SHARED_AT - PARTED_AT, speaks_for=False)

    assert changes == [False] * (SHARED_AT - PARTED_AT - 1) + [True]
    assert not any(voted(known, 100, speaks_for=True))
    assert known.verdict(ORG) is False
    assert not known.share(ORG)


def test_doubt_is_bounded_so_that_proof_still_counts():
    known = named(A, B)
    voted(known, 1000, speaks_for=False)

    assert any(voted(known, SHARED_AT - PARTED_AT, speaks_for=True))


def test_another_credential_is_another_organisation():
    known = named(A, B)

    known.forget([AccountId("a"), AccountId("never-seen")])

    assert known.siblings([A, B]) == {}


@pytest.mark.parametrize("name", ["", "x" * (LONGEST_NAME + 1)])
def test_names_that_are_none_are_not_remembered(name):
    assert not Organizations().name(A, name)


def test_what_is_told_to_others_says_whether_it_is_shared():
    known = named(A, B)
    assert known.memberships([A, C]) == [Membership(A.id, "org-a", None)]

    known.share(ORG)

    assert known.memberships([A]) == [Membership(A.id, "org-a", True)]
    assert known.verdict((ProviderId("other"), "org-a")) is None
