"""What is left of a scope's requests and tokens, learned from the answers to its calls.

Rules of this file:
- headers describe the moment of admission, not of arrival: answers are ordered by when their calls were *sent*, an
  older one never overwrites a newer one, and what was sent since is counted off;
- tokens are counted as estimated at admission (SPEC §4) and corrected by headers alone, never by usage; those of
  answers, where they have a limit of their own, are charged as they are produced: a call fits while one is left;
- where the headers tell nothing, or a refusal shows that they do not tell all, the rate is learned (`core/pace`).

    take ─▶ Sent ─▶ … the answer's head … ─▶ learn (headers) │ admit, refuse (none)

Mutable, as it changes with every call: one per scope and process. Time comes in as `now`.
"""

from zlib import crc32

import msgspec

from gateway.core import dimensions
from gateway.core.company import Company, News, Told
from gateway.core.doubts import LEAST_S, Doubts, tight
from gateway.core.hearsay import Hearsay
from gateway.core.hints import DIMENSIONS, Quota, RateLimits
from gateway.core.ids import NEVER, Instant
from gateway.core.lately import Lately
from gateway.core.level import Level
from gateway.core.outcome import Scope, ScopeKind
from gateway.core.pace import Pace, expected_pace
from gateway.core.pieces import Levels
from gateway.core.restraint import Restraint
from gateway.core.strangers import Strangers
from gateway.core.tally import Tally
from gateway.core.uses import CHARGED_TOKENS, OUTPUT, Audience, Sent, Totals, Use

NOWHERE = Scope(ScopeKind.HOLDER_MODEL, "")


class Headroom:
    """All that is known of a scope's limits, and what this process has sent on it. Unknown = everything fits."""

    __slots__ = (
        "_charged", "_doubts", "_early", "_freed", "_hearsay", "_lately", "_names", "_newcomer", "_news",
        "_order", "_pace", "_restraint", "_strangers", "_trust", "awaited_at", "company", "learn_from",
        "levels", "scope", "tally", "token_limit", "used_at", "wanted_at",
    )  # fmt: skip

    def __init__(
        self, scope: Scope = NOWHERE, news: "News[Headroom] | None" = None, hearsay: Hearsay | None = None
    ) -> None:
        """`news`: where it is put when there may be something that other processes should hear.

        `hearsay`: of scopes whose limits may be the same.
        """
        self.company = Company()
        self.move_to(scope)
        self._news: News[Headroom] = News() if news is None else news
        self._hearsay = hearsay or Hearsay()
        self.learn_from = NEVER
        """Headers of an answer before this moment need not be read."""
        self.awaited_at = NEVER
        """Somebody was set aside until then, when it should have room again."""
        self.used_at = NEVER
        """When the last call was sent."""
        self.token_limit = float("inf")
        """A call that is charged more never fits, as far as is known."""
        self._names: dict[str, Level] = {}
        self.levels: Levels = ()
        """With whether it counts tokens that a call is charged at admission."""
        self._charged: Levels = ()
        """Those that are charged at admission: all but the output's."""
        self._freed = False
        """One of them is a sliding window."""
        self._pace: Pace | None = None
        self._lately: Lately | None = None
        """None until something was refused that no header told of."""
        self.tally = Tally()
        self._order = 0
        """The place of the call whose answer told last."""
        self.wanted_at = NEVER
        """When calls last waited for room in it."""
        self._newcomer = hearsay
        """None: an answer has told of its limits, or a refusal."""
        self._early: dimensions.Early = []
        """What a newcomer has sent."""
        self._strangers: Strangers | None = None
        """None until something was refused."""
        self._restraint = Restraint()
        self._trust = self._hearsay.trust
        self._doubts = Doubts(self._trust)

    def move_to(self, scope: Scope) -> None:
        """It is that scope's from now on."""
        self.scope = scope
        self.company.offset = crc32(f"{scope.holder} {scope.what}".encode("utf-8", "surrogatepass"))

    @property
    def is_known(self) -> bool:
        """Something may not fit."""
        return bool(self.levels) or (self._pace is not None and self._pace.rate > 0)

    @property
    def is_told(self) -> bool:
        """Headers told of its limits."""
        return bool(self.levels)

    def level_of(self, dimension: str) -> Level | None:
        """Of `requests`, `tokens`, `project_requests`, `project_tokens` or `output_tokens`."""
        return self._names.get(dimension)

    def take(self, tokens: int, now: Instant) -> Sent:
        """A call that will be charged `tokens` is sent now."""
        self.used_at = now
        self.tally.take(tokens, now)
        self._trust.sent += 1
        if self._doubts.tries:
            self._doubts.take(self._names, tokens, self.tally.requests, now)
        for level, is_tokens in self._charged:
            level.take(tokens if is_tokens else 1, now)
        if self._newcomer is not None:
            self._early.append((tokens, now))
            if self._pace is None:
                self._pace = expected_pace(self._newcomer, now)
        if self._pace is not None:
            self._pace.take(now)
            if self._lately is not None:
                self._lately.note(now, self.tally.admitted)
        self._note_news()
        freed = tuple([level.freed for level, _ in self.levels]) if self._freed else ()
        return self.tally.sent(tokens, now, freed)

    def produce(self, tokens: int, now: Instant) -> None:
        """An answer of so many tokens has ended."""
        self.tally.produce(tokens)
        self._note_news()
        level = self._names.get(OUTPUT)
        if level is not None:
            level.take(tokens, now)

    def learn(self, limits: RateLimits, sent: Sent, now: Instant, *, is_success: bool) -> bool:
        """What the headers of an answer tell. False: it is older than what is known, and changes nothing."""
        self._note_news()
        if self._doubts.is_taught and self._doubts.last(now) and not self.levels:
            return False
        if not is_success and not self._doubts.is_taught:
            self.tally.refuse(sent.charged)
            for level, is_tokens in self._charged:
                level.untake(sent.at, sent.charged if is_tokens else 0)
        if not is_success and self._doubts.is_trial(sent):
            return False
        if sent.requests <= self._order:
            self._learn_late(limits, sent)
            return False
        self._order, self._newcomer = sent.requests, None
        for name, quota in zip(DIMENSIONS, msgspec.structs.astuple(limits), strict=True):
            self._learn(name, quota, sent, now, is_success=is_success)
        if self._early:
            self._early = []
        if limits.requests.remaining is not None and "requests" in self._names and (not is_success or self._strangers):
            self._strangers = self._strangers or Strangers()
            self._strangers.note(self._names["requests"], limits.requests.remaining, sent.at, is_success=is_success)
        self._restraint.note(self.levels, sent.at, now, is_success=is_success)
        self._freed, is_roomy = dimensions.look_at(self.levels)
        if is_roomy and self._pace is None:
            self.learn_from = Instant(now + dimensions.ROOMY_S)
        else:
            self._news.add(self)
        return True

    def _learn_late(self, limits: RateLimits, sent: Sent) -> None:
        for index, (name, level) in enumerate(self._names.items()):
            if name in CHARGED_TOKENS:
                freed = sent.freed[index] if index < len(sent.freed) else level.freed
                place = self.tally.place(name, sent, self.company.late_s)
                level.learn_late(getattr(limits, name), place, sent_at=sent.at, freed=freed)

    def _learn(self, name: str, quota: Quota, sent: Sent, now: Instant, *, is_success: bool) -> None:
        level = self._names.get(name)
        if quota.remaining is None or name in self._doubts.ignored:
            return
        is_guess = quota.limit is None
        if is_guess:
            quota = dimensions.guessed(level, name, quota, sent, is_success=is_success)
        if level is None:
            if not quota.limit:
                return
            if not self._doubts.is_taught:
                self._pace = None  # what refusals told alone
            level = dimensions.new_level(name, quota.limit, sent.at, self._hearsay, self._early)
            self._names[name] = level
            self._doubts.begin(now)
            self.levels, self._charged = dimensions.levels_of(self._names)
            self._expect()
        index = list(self._names).index(name) if sent.freed else 0
        freed = sent.freed[index] if index < len(sent.freed) else level.freed
        place = self.tally.place(name, sent, self.company.late_s)
        level.learn(quota, place, sent_at=sent.at, freed=freed, is_success=is_success)
        if name in CHARGED_TOKENS and not is_guess and level.limit != self.token_limit:
            self.token_limit = min(level.limit for level, is_tokens in self.levels if is_tokens)

    def _expect(self) -> None:
        """Others may expect the same limit; headers that tell of one call at a time mislead more often than not."""
        limit = int(self._names["requests"].limit) if "requests" in self._names else 0
        if limit > 1:
            self._hearsay.expect_most(limit, self.company.count)

    def admit(self, now: Instant, sent: Sent) -> None:
        """A call came through; where no headers come, that is all there is to learn from."""
        self._newcomer = None
        self._doubts.admit(sent.requests, now)
        if self._pace is None:
            if self.levels:
                return
            self._pace, self._early = Pace(now, self._hearsay), []
        self._pace.admit(sent.at)
        self._note_news()

    def refuse(self, now: Instant, sent: Sent, fits_in_s: float | None = None) -> float | None:
        """A call met a rate limit that no header told of. `fits_in_s`: when one fits again, if the upstream said it.

        Seconds to rest, by what was learned; None: too little was, or what the upstream said is exact.
        Where headers came before there is nothing to learn: the scope rests (`core/cooldown`), and they come again.
        """
        self._newcomer = None
        if self.levels and not self._doubts.is_taught:
            return None
        self._pace = self._pace or Pace(sent.at, self._hearsay)
        self.tally.refuse(sent.charged)
        if now < self._doubts.learns_at:
            return None
        self._pace.refuse(now, sent.at, fits_in_s)
        self._lately = self._lately or Lately(now, self.tally.admitted)
        self._news.add(self)
        return self._pace.rest_s(fits_in_s, now)

    def contradict(self, now: Instant, sent: Sent) -> None:
        """A call met a rate limit. Where headers told that it fits they may mislead."""
        if self.levels and self._doubts.refuse(self.scope.holder, self._names, sent, now):
            self._disbelieve(tight(self._names), now)

    def _disbelieve(self, names: frozenset[str], now: Instant) -> None:
        """What headers tell of these is not believed from now on; refusals teach."""
        self._restraint.in_a_row = 0
        self._names = self._doubts.disbelieve(names, self._names, now)
        self.levels, self._charged = dimensions.levels_of(self._names)
        self._pace = self._pace or expected_pace(self._hearsay, now) or Pace(now, self._hearsay)
        self.learn_from, self.token_limit = NEVER, float("inf")
        self._news.add(self)

    @property
    def is_taught(self) -> bool:
        """Headers tell nothing, or mislead: refusals teach its limits."""
        return self._doubts.is_taught or not self.levels

    def sent_lately(self, now: Instant) -> int | None:
        """Calls of the last minute that were not refused; None: nobody knows."""
        return None if self._lately is None else self._lately.count(now, self.tally.admitted)

    def forget_strangers(self) -> None:
        """Whoever seemed to use the scope as well: they are known now. What refusals told of one of them alone, whose
        calls were only a part, holds no more.
        """
        self._strangers = self._pace = self._lately = None
        for level, _ in self.levels:
            level.forget_refusals()
        self._hearsay.forget()

    def forget(self) -> None:
        """Nothing is known of its limits any more."""
        self._names, self.levels, self._charged, self._pace, self._freed = {}, (), (), None, False
        self._lately = None
        self._doubts.forget()
        self._order, self._restraint.in_a_row = self.tally.requests, 0
        self.learn_from, self.token_limit = NEVER, float("inf")

    def wait_s(self, tokens: int, now: Instant) -> float:
        """Seconds until a call of so many tokens fits; the slowest dimension counts. 0.0 where nothing is known."""
        longest = self._restraint.wait_s(now) if self._restraint.in_a_row else 0.0
        if self._newcomer is not None:
            longest = self._newcomer.first_wait_s(self.tally.requests)
        sharers = self.sharers(now) if self.company.others else 1
        if self._strangers is not None:
            sharers = max(sharers, 1 + self._strangers.counted(now))
        for level, is_tokens in self.levels:
            needed = tokens if is_tokens else 1
            if sharers > 1 or level.shares is not None:
                self._divide(level, sharers, now)
            elif level.left >= needed * level.margin:
                continue  # the usual case: what was left at the last change is still there, and more
            longest = max(longest, level.wait_s(needed, now))
        if self._pace is not None:
            self._pace.divide(self.company.heard_s, self.company.offset)
            longest = max(longest, self._pace.wait_s(now, sharers))
            if self._doubts.is_taught and not self._pace.rate:
                longest = max(longest, self._doubts.first_wait_s(self.used_at, now))
        return longest

    def wait_or_try_s(self, tokens: int, now: Instant) -> float:
        """The same, or less where headers ask for it that mislead, or should show that they do not."""
        wait_s = self.wait_s(tokens, now)
        if wait_s <= LEAST_S or not self.levels:
            return wait_s
        if self._doubts.news:
            self._disbelieve(self._doubts.news, now)
            return 0.0
        if self.company.is_first:
            wait_s = self._doubts.wait_s(self._names, wait_s, tokens=tokens, last_at=self.used_at, now=now)
        return wait_s

    def sure_wait_s(self, now: Instant) -> float:
        """Seconds until one call fits for sure, of a scope that other processes use; 0.0 where `wait_s` says that."""
        if not self.company.others:
            return 0.0
        return max([level.sure_wait_s(1, now) for level, _ in self.levels], default=0.0)

    def refill(self, tokens: int) -> float:
        """Calls of so many tokens that fit in a second, over a long time; 0.0 = unknown."""
        if self._pace is not None:  # what headers tell, too, is roomy
            return self._pace.refill
        return dimensions.refill_of(self._names, tokens, self.tally.average_answer)

    # -- other processes -----------------------------------------------------------------------------------------

    def heard(
        self, process: str, use: Use, now: Instant, *, own: str = "", audience: Audience = Audience.REPLICAS
    ) -> None:
        """Another process uses the scope, and is near its limit. `own`: this process' name among them.

        `audience`: to which of this process' it belongs.
        """
        known = self.company.hear(process, use.sent, audience, now, own=own)
        more = known or Totals()
        self.tally.hear(more)
        if known is None:
            self._expect()
            self._news.add(self)
            if self._lately is not None:  # what it sent before nobody knows
                self._lately = Lately(now, self.tally.admitted)
        sharers = self.sharers(now)
        for name, level in self._names.items():
            self._divide(level, sharers, now)
            amount = dimensions.amount_of(name, more)
            level.hear(process, amount, now, age_s=use.age_s, is_hungry=use.is_hungry)
        if use.doubted_s and not self._doubts.is_taught and self._trust.hear(use.doubted_s, now):
            self._disbelieve(frozenset(use.ignored), now)
        if self.is_taught and (self._pace is not None or use.calls is not None):
            self._pace = self._pace or Pace(now, self._hearsay)
            self._pace.hear(process, use, more.requests, now, own=own, audience=audience)
        for reading in use.readings:
            dimensions.hear_reading(self._names, reading, now, is_new=known is None)

    def _note_news(self) -> None:
        """Something has changed that others should hear, if there are any."""
        if self.company.others:
            self._news.add(self)

    def is_hungry(self, now: Instant) -> bool:
        """Calls wait for room in it, or did a moment ago."""
        return now - self.wanted_at < dimensions.HUNGRY_S

    def use(self, now: Instant, audience: Audience, *, is_news: bool = False) -> Use | None:
        """What an audience should hear of it. `is_news`: None where they have heard it already."""
        if is_news and self.company.rests(audience, now):
            return None
        sent = self.tally.own
        pace = self._pace if self.is_taught else None
        news = Told(sent, self._order, self.is_hungry(now))
        if pace is not None:
            news = msgspec.structs.replace(news, refusals=pace.refusals, window=pace.window)
        if is_news and not self.company.is_news(audience, news):
            return None
        is_told = self._order == self.company.last_told(audience).order
        readings = () if is_told else dimensions.readings(self._names, now)
        self.company.tell(audience, news, now)
        age_s = round(max(0.0, now - self.used_at), 3) if sent.requests else 0.0
        use = Use(self.scope, sent, age_s, is_hungry=news.is_hungry, readings=readings)
        if self._doubts.is_taught:
            use = self._doubts.tell(use, now)
        return use if pace is None else pace.tell(use, now, audience)

    def _divide(self, level: Level, sharers: int, now: Instant) -> None:
        is_hungry, company = self.is_hungry(now), self.company
        level.divide(sharers, company.place, is_hungry=is_hungry, heard_s=company.heard_s)

    def is_near(self, now: Instant) -> bool:
        """In use, and not roomy: who else uses the scope should know of it."""
        if now - max(self.used_at, self.wanted_at) > dimensions.remembered_s(self.levels, self._pace):
            return False
        is_paced = self._pace is not None and self._pace.rate > 0
        return is_paced or any(level.is_near(dimensions.ROOMY) for level, _ in self.levels)

    def sharers(self, now: Instant) -> int:
        """How many processes share the scope now, this one included."""
        if self.company.has_silent(now, dimensions.SHARER_S):
            for name in self.company.part(now, dimensions.remembered_s(self.levels, self._pace)):
                for level, _ in self.levels:
                    level.leave(name)
                if self._pace is not None:
                    self._pace.leave(name)
        return self.company.count
