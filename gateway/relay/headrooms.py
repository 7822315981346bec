"""Headroom of every scope this worker has used, and what the heads of answers teach it.

Rules of this file: nothing is learned of a scope that a call did not charge; a head is read only where it may matter,
since this runs for every answer.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from weakref import WeakValueDictionary

import msgspec

from gateway.core.call import Usage
from gateway.core.company import News
from gateway.core.headroom import Headroom
from gateway.core.hearsay import Hearsay
from gateway.core.hints import OPENAI_NAMES, RateLimits, read_rate_limits
from gateway.core.ids import AccountId, Instant, ProviderId
from gateway.core.outcome import LimitSpan, Outcome, Scope, ScopeKind
from gateway.core.snapshot import Account
from gateway.core.uses import Audience, Use
from gateway.providers.base import Headers
from gateway.relay.headroom_views import seen_scope
from gateway.relay.lease import Lease
from gateway.relay.ports import Clock
from gateway.telemetry.headroom_book import SeenScope

MAX_HEADROOMS = 50_000
"""Beyond this many those that have been idle are dropped."""
IDLE_S = 900.0
NEWS_S = 0.05
"""How often the others hear what has changed in scopes that they use too…"""
FRESH_NEWS_S = 0.005
"""…and so long after a call neighbours do…"""
MAX_NEWS = 100
"""…and of how many at a time: two messages of 8,000 bytes."""


class Headrooms:
    """One per board. One `Headroom` for each holder × model, or limit family."""

    def __init__(self, process: str = "") -> None:
        """`process`: this one's name, by which the others know it."""
        self.process = process
        self._by_scope: dict[Scope, Headroom] = {}
        self._news: News[Headroom] = News()
        """Those near their limits, as an answer told of late, and those that others use and calls go to."""
        self._shared: dict[Scope, Headroom] = {}
        """Those that other processes use, too. Who was told of last comes last."""
        self._forgotten: dict[Scope, Headroom] = {}
        """Of which nothing is known any more, and who saw it has not been told."""
        self._hearsay: WeakValueDictionary[tuple[ProviderId, str | None], Hearsay] = WeakValueDictionary()

    def of(self, scopes: Sequence[Scope], provider_id: ProviderId) -> tuple[Headroom, ...]:
        """Of a provider's account. Where headers tell nothing, accounts of one provider learn from each other."""
        for scope in scopes:
            if scope not in self._by_scope:
                hearsay = self._hearsay.setdefault((provider_id, scope.what), Hearsay())
                self._by_scope[scope] = Headroom(scope, self._news, hearsay)
        return tuple([self._by_scope[scope] for scope in scopes])

    def seen(self, now: Instant, *, since: Instant) -> list[SeenScope]:
        """Those that were used since then, and those of which nothing is known any more: for the others to see."""
        forgotten, self._forgotten = self._forgotten, {}
        used = {
            scope: headroom
            for scope, headroom in self._by_scope.items()
            if headroom.used_at >= since and headroom.is_told
        }
        return [seen_scope(scope, headroom, now) for scope, headroom in (forgotten | used).items()]

    def of_holder(self, holder: str, now: Instant) -> list[SeenScope]:
        """What upstreams told of the holder's limits."""
        mine = [(scope, headroom) for scope, headroom in self._by_scope.items() if scope.holder == holder]
        return [seen_scope(scope, headroom, now) for scope, headroom in mine]

    def join(self, before: Mapping[AccountId, Account], accounts: Iterable[Account]) -> None:
        """These share their limits from now on, or no more: what was learned for one of them holds for all.

        `before`: as they were. An organisation that an operator groups keeps what was learned of it.
        """
        holders = {str(account.id): account.holder for account in accounts}
        for account_id, account in before.items():
            holder = holders.get(str(account_id), "")
            if account.organization is not None and holder.startswith("group:"):
                holders.setdefault(account.holder, holder)
        for scope, headroom in list(self._by_scope.items()):
            holder = holders.get(scope.holder, scope.holder)
            if scope.kind is ScopeKind.HOLDER_MODEL and holder != scope.holder:
                del self._by_scope[scope]
                shared = Scope(scope.kind, holder, scope.what)
                if shared not in self._by_scope or self._by_scope[shared].used_at < headroom.used_at:
                    self._by_scope[shared] = headroom
                    headroom.move_to(shared)
                    headroom.forget_strangers()

    def forget(self, holders: Collection[str]) -> None:
        """What was learned of these holds no more, whatever their limits are named after: another credential, or an
        operator's word.
        """
        for scope, headroom in self._by_scope.items():
            if scope.holder in holders:
                headroom.forget()
                self._forgotten[scope] = headroom

    def tell_neighbours(self, when: Callable[[], None]) -> None:
        """This process has neighbours: `when` is called when there is something new for `fresh_news`."""
        self._news.on_news = when

    def hear_uses(self, process: str, uses: Iterable[Use], now: Instant, audience: Audience) -> None:
        """Another process uses these, near their limits: from now on they are shared with it."""
        for use in uses:
            headroom = self._by_scope.get(use.scope)
            if headroom is not None:
                headroom.heard(process, use, now, own=self.process, audience=audience)
                self._shared[use.scope] = headroom

    def near(self, now: Instant, audience: Audience) -> list[Use]:
        """Scopes that this process uses, near their limits: what an audience should hear now and then."""
        self._shared = {scope: headroom for scope, headroom in self._shared.items() if headroom.sharers(now) > 1}
        near = [headroom for headroom in self._by_scope.values() if headroom.is_near(now)]
        return [use for headroom in near if (use := headroom.use(now, audience)) is not None]

    def news(self, now: Instant, audience: Audience) -> list[Use]:
        """What has changed in those that others use too, or that came near their limits: to be heard at once."""
        new = self._news.take(audience)
        shared = [
            headroom
            for headroom in self._shared.values()
            if headroom in new or headroom.is_hungry(now) is not headroom.company.last_told(audience).is_hungry
        ]
        return self._told([*dict.fromkeys(shared) | new], now, audience)

    def fresh_news(self, now: Instant) -> list[Use]:
        """The same of those to which calls went since neighbours were told last."""
        return self._told(list(self._news.take(Audience.NEIGHBOURS)), now, Audience.NEIGHBOURS)

    def _told(self, headrooms: Sequence[Headroom], now: Instant, audience: Audience) -> list[Use]:
        some: list[Use] = []
        for place, headroom in enumerate(headrooms):
            if len(some) == MAX_NEWS:
                self._news.put_back(audience, headrooms[place:])
                break
            use = headroom.use(now, audience, is_news=True)
            if use is not None:
                some.append(use)
                if use.scope in self._shared:
                    self._shared[use.scope] = self._shared.pop(use.scope)  # next time it is the others' turn
        return some

    @property
    def is_crowded(self) -> bool:
        return len(self._by_scope) > MAX_HEADROOMS

    def drop_idle(self, now: Instant) -> None:
        """Members that hold one of these must be made anew."""
        self._by_scope = {
            scope: headroom for scope, headroom in self._by_scope.items() if headroom.used_at > now - IDLE_S
        }


def note_head(lease: Lease, status: int, headers: Headers, clock: Clock) -> None:
    """An answer's head came: learns from what it tells of limits, and that the call was admitted."""
    is_success = status < 300  # no 1xx comes here but the 101 that opens a socket
    now = clock.now()
    if not note_answer(lease, now, is_success=is_success):
        return
    fields = dict(headers)
    names = lease.member.destination.limit_names
    limits = None
    if not names.telling.isdisjoint(fields):
        # OpenAI's resets are durations alone; some vendors' are moments.
        wall_now = None if names is OPENAI_NAMES else clock.wall_now()
        limits = read_rate_limits(fields, wall_now=wall_now, names=names)
        if limits is not None and not limits.tell_what_is_left:
            limits = None
    note_told(lease, limits, fields.get(b"openai-organization"), now, is_success=is_success)


def note_answer(lease: Lease, now: Instant, *, is_success: bool) -> bool:
    """An answer's head came. Whether what it tells may matter."""
    if not is_success:
        return True
    headrooms, watch = lease.member.headrooms, lease.member.watch
    if watch is not None:
        watch.count()
    for headroom in headrooms:  # noqa: SIM110  # a generator takes three times as long, and this runs for every answer
        if now >= headroom.learn_from:
            return True
    return False


def note_told(
    lease: Lease, limits: RateLimits | None, organization: bytes | None, now: Instant, *, is_success: bool
) -> None:
    """The head of an answer told of these limits, and named that organisation."""
    lease.is_told = limits is not None
    headrooms, watch = lease.member.headrooms, lease.member.watch
    if watch is not None and organization is not None:
        watch.name(organization.decode("latin-1"), now)
    for headroom, sent in zip(headrooms, lease.sent, strict=True):
        if limits is not None:
            is_news = headroom.learn(limits, sent, now, is_success=is_success)
            if is_news and watch is not None and headroom is headrooms[0]:
                watch.weigh(headroom, limits.requests, sent, now, is_success=is_success)
        if is_success:
            headroom.admit(now, sent)


def note_produced(lease: Lease, usage: Usage | None, now: Instant) -> None:
    """An answer ended: where what is produced has a limit of its own, it is charged now."""
    if usage is not None and usage.output_tokens and lease.member.destination.limit_names.output_tokens is not None:
        for headroom in lease.member.headrooms:
            headroom.produce(usage.output_tokens, now)


def note_refusal(lease: Lease, outcome: Outcome, now: Instant) -> Outcome:
    """The call met a rate limit. Where no header told of it the rate has to be learned from that.

    The outcome, with an estimate of the rest where it named none, or whole seconds, and enough was learned.
    """
    watch = lease.member.watch
    if watch is not None:
        if outcome.organization is not None:
            watch.name(outcome.organization, now)
            if not lease.is_told and outcome.span is LimitSpan.MINUTE:
                watch.refused(outcome.limit, lease.member.headrooms[0].sent_lately(now))
        watch.judge(now)  # the refusal's headers were learned before its text named an organisation
    for headroom, sent in zip(lease.member.headrooms, lease.sent, strict=True):
        headroom.contradict(now, sent)
        if headroom.is_taught and lease.is_told:
            outcome = msgspec.structs.replace(outcome, estimated_rest_s=None)  # by headers that mislead
    rests_s = [
        headroom.refuse(now, sent, outcome.retry_after_s)
        for headroom, sent in zip(lease.member.headrooms, lease.sent, strict=True)
        if not lease.is_told or headroom.is_taught or headroom.wait_s(lease.tokens, now) <= 0
    ]
    known_s = [rest_s for rest_s in rests_s if rest_s is not None]
    if not known_s or len(known_s) < len(rests_s):
        return outcome
    if outcome.retry_after_s:
        return msgspec.structs.replace(outcome, retry_after_s=max(known_s))
    return msgspec.structs.replace(outcome, estimated_rest_s=outcome.estimated_rest_s or max(known_s))


def note_limits(lease: Lease, limits: RateLimits, now: Instant) -> None:
    """A session was told of its limits in the middle: by an answer of its own, which counts as a call that fitted."""
    for headroom in lease.member.headrooms:
        headroom.learn(limits, headroom.take(0, now), now, is_success=True)
