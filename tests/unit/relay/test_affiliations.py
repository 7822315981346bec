"""What a board makes of the organisations that answers name."""

import pytest

from gateway.core.cooldown import Phase
from gateway.core.organizations import Membership
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.relay.headrooms import note_head
from tests.fakes.relay_kit import RelayKit, account

LIMIT = 40
NAMED = (b"openai-organization", b"org-a")


class Limits:
    """Each key's own, or one for all. Nothing refills. `slides`: it is a window, that of a minute."""

    def __init__(self, *, is_shared, slides=False):
        self.is_shared, self.slides = is_shared, slides
        self.used = {}

    def headers(self, name):
        holder = "all" if self.is_shared else name
        self.used[holder] = self.used.get(holder, 0) + 1
        left = LIMIT - self.used[holder]
        return (
            NAMED,
            (b"x-ratelimit-limit-requests", b"%d" % LIMIT),
            (b"x-ratelimit-remaining-requests", b"%d" % left),
            (b"x-ratelimit-reset-requests", b"%ds" % (60 if self.slides else 10 * self.used[holder])),
        )


def answered(kit, limits, name):
    lease = kit.take(name)
    kit.clock.move(0.03)  # headers are not read more often while there is room
    note_head(lease, 200, limits.headers(name), kit.clock)
    kit.board.observe(lease, Outcome(OutcomeKind.OK, 200), kit.clock.now())
    lease.release()


def holders(kit):
    kit.pool()
    return {one.holder for one in kit.board.snapshot.accounts.values()}


def played(*, is_shared, slides=False, rounds=12):
    kit = RelayKit("a", "b", "c")
    limits = Limits(is_shared=is_shared, slides=slides)
    for _ in range(rounds):
        for name in "abc":
            answered(kit, limits, name)
    kit.clock.move(1.0)
    return kit


@pytest.mark.parametrize("slides", [False, True])
def test_accounts_whose_calls_are_missing_from_each_others_limits_share_them(slides):
    kit = played(is_shared=True, slides=slides)

    assert holders(kit) == {"organization:openai:org-a"}
    members = kit.pool().members
    assert members[0].headrooms == members[1].headrooms


@pytest.mark.parametrize("slides", [False, True])
def test_one_name_for_all_is_not_enough(slides):
    kit = played(is_shared=False, slides=slides, rounds=36)

    assert holders(kit) == {"a", "b", "c"}
    offered = kit.board.pools.affiliations.learned(kit.pool().members[0].account_id, kit.board.snapshot)
    assert offered.suggested_quota_group == "org-a"
    assert len(offered.others) == 2
    assert offered.shares_limits is None


def test_a_park_of_one_holds_for_all_that_share():
    kit = played(is_shared=True)
    kit.pool()

    kit.observe("a", Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=5.0))

    assert kit.serving() == set()


def test_a_park_from_before_they_shared_still_holds():
    kit = RelayKit("a", "b", "c")
    kit.observe("a", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))

    kit.board.pools.hear_organizations(
        [Membership(one.id, "org-a", True) for one in kit.board.snapshot.accounts.values()]
    )

    assert holders(kit) == {"organization:openai:org-a"}
    assert kit.serving() == {"b", "c"}
    assert {status.state for status in kit.board.status_of(kit.pool().members[0].account_id)} == {Phase.COOLING}


def test_a_quota_group_of_the_operator_is_never_overruled():
    kit = RelayKit(account("a", quota_group="x"), "b", "c")
    ids = list(kit.board.snapshot.accounts)

    kit.board.pools.hear_organizations([Membership(id_, "org-a", True) for id_ in ids])

    assert holders(kit) == {"group:openai:x", "organization:openai:org-a"}


def test_who_is_grouped_as_was_learned_goes_on_from_what_is_known():
    kit = played(is_shared=True)
    (headroom,) = kit.pool().members[0].headrooms

    kit.set_accounts(*[account(name, quota_group="org-a") for name in "abc"])

    assert holders(kit) == {"group:openai:org-a"}
    assert all(member.headrooms == (headroom,) for member in kit.pool().members)
    assert headroom.is_told


def test_another_credential_leaves_the_organisation():
    kit = played(is_shared=True)

    kit.set_accounts(account("a", key="sk-new"), "b", "c")

    assert holders(kit) == {"a", "organization:openai:org-a"}


def test_a_message_of_a_limit_names_the_organisation_too():
    kit = RelayKit("a", "b")
    for name in "ab":
        kit.observe(name, Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=0.1, organization="org-a"))

    assert set(kit.board.pools.affiliations.organizations.names.values()) == {"org-a"}


def test_who_hears_of_another_accounts_organisation_goes_on_from_what_it_knows():
    kit = RelayKit("a", "b", "c", "d")
    limits = Limits(is_shared=True)
    for number in range(18):
        for name in "ab":
            answered(kit, limits, name)
            kit.board.pools.hear_organizations([Membership(kit.pool().members[3].account_id, f"org-{number}{name}")])
    kit.clock.move(1.0)

    assert holders(kit) == {"organization:openai:org-a", "c", "d"}


def test_who_is_named_by_another_process_is_one_of_its_organisation():
    kit = RelayKit("a", "b", "c")
    kit.board.pools.hear_organizations([Membership(one.account_id, "org-a") for one in kit.pool().members])
    kit.clock.move(1.0)
    assert holders(kit) == {"a", "b", "c"}

    kit.board.pools.hear_organizations([Membership(kit.pool().members[0].account_id, "org-a", True)])

    assert holders(kit) == {"organization:openai:org-a"}


# -- limits that refusals alone tell of --------------------------------------------------------------------------


def minutes_of(limit, *, is_shared, minutes):
    """Two accounts send what they may in each minute, evenly, and a little more. No header tells anything."""
    kit = RelayKit("a", "b")
    each = limit // 2 if is_shared else limit
    refusal = Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=0.01, limit=limit, organization="org-a")
    for _ in range(minutes):
        for _ in range(each):
            kit.clock.move(60.0 / each)
            for name in "ab":
                lease = kit.take(name)
                note_head(lease, 200, (), kit.clock)
                kit.board.observe(lease, Outcome(OutcomeKind.OK, 200), kit.clock.now())
                lease.release()
        for name in "ab":
            kit.observe(name, refusal)
    kit.clock.move(1.0)
    return kit


@pytest.mark.parametrize("limit", [40, 400, 3000])
def test_accounts_that_used_their_limits_before_they_were_refused_share_nothing(limit):
    assert holders(minutes_of(limit, is_shared=False, minutes=5)) == {"a", "b"}


@pytest.mark.parametrize("limit", [40, 400, 3000])
def test_accounts_that_are_refused_with_half_of_the_limit_sent_share_it(limit):
    assert holders(minutes_of(limit, is_shared=True, minutes=5)) == {"organization:openai:org-a"}


def test_who_was_not_watched_for_a_minute_says_nothing():
    assert holders(minutes_of(400, is_shared=True, minutes=1)) == {"a", "b"}
