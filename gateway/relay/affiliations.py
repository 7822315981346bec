"""What answers tell of organisations: their names, and whether accounts of one share their limits.

An account without a quota group has a `Watch` in each of its pools. From one answer to the next it compares how much of
the limit was used up with what this account sent, and what the organisation's others did meanwhile:

    used up ≈ own ──▶ speaks against shared limits      used up ≈ own + others' ──▶ speaks for them
"""

from collections.abc import Callable
from math import exp

import msgspec

from gateway.core.freeing import Freeing
from gateway.core.headroom import Headroom
from gateway.core.hints import Quota
from gateway.core.ids import AccountId
from gateway.core.organizations import Organization, Organizations
from gateway.core.snapshot import Account, Snapshot
from gateway.core.uses import Sent
from gateway.core.way import TOLERANCE, TOLERANCE_S

ENOUGH_OTHERS = 4
"""Answers that others got: then it shows."""
MOST, LITTLE = 0.6, 0.3
"""So much of what they sent was used up of this account's limit: it is shared; so little: it is not."""
FEW = 0.4
"""Who is refused with so little of the limit sent is not alone on it."""
FEWER = 0.8
"""An account that was refused with so much less of its limit sent is not alone on it."""


class LearnedOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """What answers told of an account's organisation, as people see it."""

    organization: str
    shares_limits: bool | None
    """Whether its limits are counted together with the others'; null: not known, or an operator grouped it."""
    others: list[str]
    """Labels of the provider's other accounts in it."""
    suggested_quota_group: str | None
    """What to write into `quota_group` of these accounts; null: all of them have one, or there is no other."""


class Tally:
    """Answers that the accounts of one organisation got for one model."""

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers = 0


class Affiliations:
    """One per board."""

    def __init__(self, on_news: Callable[[Organization], None]) -> None:
        """`on_news`: an account's organisation became known, or whether its limits are shared has changed."""
        self.organizations = Organizations()
        self.on_news = on_news
        self._tallies: dict[tuple[Organization, str], Tally] = {}

    def watch(self, account: Account, model: str) -> "Watch | None":
        """None: an operator grouped the account, there is nothing to learn."""
        return None if account.quota_group else Watch(self, account, model)

    def learned(self, account_id: AccountId, snapshot: Snapshot) -> LearnedOrganization | None:
        """Null: no answer named one."""
        account, name = snapshot.accounts.get(account_id), self.organizations.names.get(account_id)
        if account is None or name is None:
            return None
        organization = (account.provider_id, name)
        others = [
            other
            for other in snapshot.accounts_of.get(account.provider_id, ())
            if other.id != account_id and self.organizations.names.get(other.id) == name
        ]
        is_open = bool(others) and not all(one.quota_group for one in [account, *others])
        return LearnedOrganization(
            organization=name,
            shares_limits=None if account.quota_group else self.organizations.verdict(organization),
            others=[other.label for other in others],
            suggested_quota_group=name if is_open else None,
        )

    def tally(self, organization: Organization, model: str) -> Tally:
        return self._tallies.setdefault((organization, model), Tally())

    def clear_tallies(self) -> None:
        """Watches that hold one go with their pools."""
        self._tallies = {}


class Watch:
    """One account in one pool."""

    __slots__ = (
        "_account", "_affiliations", "_end", "_foreign", "_lately", "_model", "_of_others", "_others", "_own", "_seen",
        "_sent_at", "_tally", "_used", "organization",
    )  # fmt: skip

    def __init__(self, affiliations: Affiliations, account: Account, model: str) -> None:
        self._affiliations = affiliations
        self._account = account
        self._model = model
        self._used: float | None = None
        """Of the limit, by the last answer; and when that was admitted, and when it said that all would be free."""
        self._sent_at = self._end = 0.0
        self._own = 0
        """Own answers since then; and how many the organisation had by then."""
        self._seen = 0
        self._others = 0
        """Answers of others since the last verdict; and what was used up beyond own calls."""
        self._foreign = 0.0
        self._lately = 0.0
        """Own calls that came through in about one period of the limit…"""
        self._of_others = 0.0
        """…and answers that others got."""
        self._tally: Tally | None = None
        self.organization: Organization | None = None
        name = affiliations.organizations.names.get(account.id)
        if name is not None:
            self._join(name)

    def _join(self, name: str) -> None:
        self.organization = (self._account.provider_id, name)
        self._tally = self._affiliations.tally(self.organization, self._model)
        self._seen = self._tally.answers

    def name(self, organization: str) -> None:
        """An answer names the account's organisation."""
        known = self.organization
        if known is not None and known[1] == organization:
            return
        if self._affiliations.organizations.name(self._account, organization):
            self._join(organization)
            self._affiliations.on_news((self._account.provider_id, organization))

    def count(self) -> None:
        """A call came through."""
        if self._tally is not None:
            self._tally.answers += 1
            self._own += 1

    def weigh(self, headroom: Headroom, quota: Quota, sent: Sent, *, is_success: bool) -> None:
        """It was the newest one, and `quota` is what it told of requests."""
        level, tally, organization = headroom.level_of("requests"), self._tally, self.organization
        if tally is None or organization is None or level is None or quota.remaining is None:
            return
        lasting = exp(-max(0.0, sent.at - self._sent_at) * level.rate / level.limit)
        self._lately = self._lately * lasting + is_success
        used, end = level.limit - quota.remaining, sent.at + (quota.reset_s or 0.0)
        before, passed_s = self._used, sent.at - self._sent_at
        is_same = level.kind is not Freeing.FIXED or abs(end - self._end) <= TOLERANCE_S + TOLERANCE * (end - sent.at)
        own, others = self._own, max(0, tally.answers - self._seen - self._own)
        self._used, self._sent_at, self._end, self._own, self._seen = used, sent.at, end, 0, tally.answers
        is_surprise = self._lately < FEW * level.limit / headroom.sharers(sent.at)
        if not is_success and quota.remaining == 0 and is_surprise and level.kind is Freeing.BUCKET:
            self._vote(organization, speaks_for=True)
        self._of_others = self._of_others * lasting + others
        if level.kind is Freeing.SLIDING:
            self._weigh_sliding(used - level.held, others, organization)
            return
        if before is None or not is_same or min(before, used) <= 1:
            return  # what was given back meanwhile is not known
        refilled = level.rate * passed_s if level.kind is Freeing.BUCKET else 0.0
        # Other processes that use this account take from it as well, about as much as this one.
        self._foreign += (used - before + refilled) / headroom.sharers(sent.at) - own
        self._others += others
        if self._others >= ENOUGH_OTHERS:
            share, self._others, self._foreign = self._foreign / self._others, 0, 0.0
            is_sure = level.kind is Freeing.BUCKET or not self._affiliations.organizations.is_shared(organization)
            if share >= MOST or (share <= LITTLE and is_sure):  # where windows begin is a guess: they part nobody
                self._vote(organization, speaks_for=share >= MOST)

    def _weigh_sliding(self, foreign: float, others: int, organization: Organization) -> None:
        """What was given back since the last answer is not known: but all that is used was sent within one period.

        `foreign`: so much of it not on this account, by all processes that are known.
        """
        self._others += others
        if self._others >= ENOUGH_OTHERS <= self._of_others:
            share, self._others = foreign / self._of_others, 0
            if share >= MOST or (share <= LITTLE and not self._affiliations.organizations.is_shared(organization)):
                self._vote(organization, speaks_for=share >= MOST)

    def refused(self, limit: int | None, sent_lately: int | None) -> None:
        """A rate limit of so many calls a minute refused a call, and no header told of it. `sent_lately`: in the last
        minute, this one not; None: nobody knows.
        """
        organization = self.organization
        if (
            limit is None
            or sent_lately is None
            or organization is None
            or self._affiliations.organizations.is_shared(organization)
        ):
            return
        self._vote(organization, speaks_for=sent_lately < FEWER * limit)

    def _vote(self, organization: Organization, *, speaks_for: bool) -> None:
        if self._affiliations.organizations.weigh(organization, speaks_for=speaks_for):
            self._affiliations.on_news(organization)
