"""What answers tell of organisations: their names, and whether accounts of one share their limits.

An account without a quota group has a `Watch` in each of its pools. From one answer to the next it compares how much of
the limit was used up with what this account sent, and what the organisation's others did meanwhile:

    used up ≈ own ──▶ speaks against shared limits      used up ≈ own + others' ──▶ speaks for them
"""

from collections.abc import Callable, Iterable
from math import exp

import msgspec

from gateway.core.dimensions import remembered_s
from gateway.core.foreign import ENOUGH_OTHERS, LITTLE, MOST, Foreign
from gateway.core.freeing import Freeing
from gateway.core.headroom import Headroom
from gateway.core.hints import Quota
from gateway.core.ids import NEVER, AccountId, Instant
from gateway.core.level import Level
from gateway.core.organizations import Organization, Organizations
from gateway.core.shares import HEARD_S
from gateway.core.snapshot import Account, Snapshot
from gateway.core.uses import Sent

SETTLED_S = 2 * HEARD_S
"""So long after a limit is used up by half all processes know of each other that use it."""
MOST_ASKED = 32
"""Of an organisation's accounts so many say what they sent."""
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


class Group:
    """The watches of one organisation's accounts, for one model."""

    __slots__ = ("answers", "watches")

    def __init__(self) -> None:
        self.answers = 0
        """That its accounts got since they are known."""
        self.watches: list[Watch] = []


class Affiliations:
    """One per board."""

    def __init__(self, on_news: Callable[[Organization], None]) -> None:
        """`on_news`: an account's organisation became known, or whether its limits are shared has changed."""
        self.organizations = Organizations()
        self.on_news = on_news
        self._watches: dict[tuple[AccountId, str], Watch] = {}
        self._groups: dict[tuple[Organization, str], Group] = {}

    def watch(self, account: Account, model: str) -> "Watch | None":
        """None: an operator grouped the account, there is nothing to learn."""
        if account.quota_group:
            return None
        watch = self._watches.get((account.id, model))
        if watch is None:
            watch = self._watches[account.id, model] = Watch(self, account, model)
            watch.join(self.organizations.names.get(account.id))
        return watch

    def forget(self, account_ids: Iterable[AccountId]) -> None:
        """They have other credentials now."""
        gone = frozenset(account_ids)
        self.organizations.forget(gone)
        for key in [key for key in self._watches if key[0] in gone]:
            self._watches.pop(key).join(None)

    def clear(self) -> None:
        """Members that hold a watch must be made anew."""
        self._watches, self._groups = {}, {}

    def name(self, account: Account, organization: str, now: Instant) -> bool:
        """An answer names the account's organisation, here or in another process. True: that is news."""
        if not self.organizations.name(account, organization):
            return False
        for watch in [watch for (account_id, _), watch in self._watches.items() if account_id == account.id]:
            watch.join(organization)
            for one in self.group((account.provider_id, organization), watch.model).watches[-MOST_ASKED:]:
                one.judge(now)  # what others took may have been taken by that one
        return True

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

    def group(self, organization: Organization, model: str) -> Group:
        return self._groups.setdefault((organization, model), Group())


class Watch:
    """One account and model."""

    __slots__ = (
        "_account", "_affiliations", "_beyond", "_group", "_is_surprised", "_lately", "_near_at", "_near_until",
        "_others", "_own", "_seen", "_sent_at", "_used", "foreign", "model", "organization",
    )  # fmt: skip

    def __init__(self, affiliations: Affiliations, account: Account, model: str) -> None:
        self._affiliations = affiliations
        self._account = account
        self.model = model
        self.foreign = Foreign()
        """What others took of a window."""
        self._used: float | None = None
        """Of a bucket, by the last answer; and when that was admitted."""
        self._sent_at = 0.0
        self._own = 0
        """Own answers since then; and how many the organisation had by then."""
        self._seen = 0
        self._others = 0
        """Answers of others since the last verdict; and what was used up beyond own calls."""
        self._beyond = 0.0
        self._lately = 0.0
        """Own calls that came through in about one period of the limit."""
        self._is_surprised = False
        """A call was refused that was one of few."""
        self._near_at, self._near_until = NEVER, NEVER
        """Half of it is used up since then; and until then that is remembered."""
        self._group: Group | None = None
        self.organization: Organization | None = None

    def join(self, name: str | None) -> None:
        """The account is of that organisation; None: of an unknown one."""
        if self._group is not None:
            self._group.watches.remove(self)
        self._group = self.organization = None
        if name is not None:
            self.organization = (self._account.provider_id, name)
            self._group = self._affiliations.group(self.organization, self.model)
            self._group.watches.append(self)
            self._seen, self._own, self._others, self._beyond = self._group.answers, 0, 0, 0.0

    def name(self, organization: str, now: Instant) -> None:
        """An answer names the account's organisation."""
        known = self.organization
        if known is not None and known[1] == organization:
            return
        if self._affiliations.name(self._account, organization, now):
            self._affiliations.on_news((self._account.provider_id, organization))

    def count(self) -> None:
        """A call came through."""
        if self._group is not None:
            self._group.answers += 1
            self._own += 1

    def weigh(self, headroom: Headroom, quota: Quota, sent: Sent, now: Instant, *, is_success: bool) -> None:
        """It was the newest one, and `quota` is what it told of requests."""
        level = headroom.level_of("requests")
        if level is None or quota.remaining is None:
            return
        if headroom.is_near(now):
            if now > self._near_until:
                self._near_at = now
            self._near_until = Instant(now + remembered_s(headroom.levels))
        sharers = headroom.sharers(sent.at)
        self._lately *= exp(-max(0.0, sent.at - self._sent_at) * level.rate / level.limit)
        self._lately += is_success
        is_bucket = level.kind is Freeing.BUCKET and level.clarity >= 0
        is_used_up = not is_success and quota.remaining == 0
        self._is_surprised = is_used_up and is_bucket and self._lately < FEW * level.limit / sharers
        self.foreign.note(headroom, level, quota, sent, is_success=is_success)
        if is_bucket:
            self._weigh_bucket(level, level.limit - quota.remaining, sent.at, sharers, now)
        else:
            self._used = None
        self._sent_at = sent.at
        self.judge(now)

    def _is_settled(self, now: Instant) -> bool:
        """Whether all processes that use the limit know of each other: they tell when half of one is used up."""
        return self._near_at + SETTLED_S <= now <= self._near_until

    def _weigh_bucket(self, level: Level, used: float, sent_at: Instant, sharers: int, now: Instant) -> None:
        before, self._used = self._used, used
        if self._group is None or self.organization is None:
            return
        own, others = self._own, max(0, self._group.answers - self._seen - self._own)
        self._own, self._seen = 0, self._group.answers
        if before is None or min(before, used) <= 1:
            return  # what was given back meanwhile is not known
        # Other processes that use this account take from it as well, about as much as this one.
        self._beyond += (used - before + level.rate * (sent_at - self._sent_at)) / sharers - own
        self._others += others
        if self._others >= ENOUGH_OTHERS:
            share, self._others, self._beyond = self._beyond / self._others, 0, 0.0
            if (share >= MOST and self._is_settled(now)) or share <= LITTLE:
                self._vote(self.organization, speaks_for=share >= MOST)

    def judge(self, now: Instant) -> None:
        """An answer told something, or whose limit it is."""
        group, organization = self._group, self.organization
        if group is None or organization is None or not self._is_settled(now):
            return
        if self._is_surprised:
            self._is_surprised = False
            self._vote(organization, speaks_for=True)
        if self._affiliations.organizations.verdict(organization) is None and not self.foreign.is_told:
            others = [one.foreign for one in group.watches[:MOST_ASKED] if one is not self]
            verdict = self.foreign.verdict(others)
            if verdict is not None:
                self._vote(organization, speaks_for=verdict)

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
