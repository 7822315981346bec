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

from gateway.core.charge import Factor
from gateway.core.company import Company, News, Told
from gateway.core.freeing import BUCKET, SLIDING
from gateway.core.hearsay import Hearsay
from gateway.core.hints import DIMENSIONS, Quota, RateLimits
from gateway.core.ids import Instant
from gateway.core.lately import Lately
from gateway.core.level import Level
from gateway.core.outcome import Scope, ScopeKind
from gateway.core.pace import Pace
from gateway.core.pieces import Levels
from gateway.core.places import Place, Places
from gateway.core.restraint import Restraint
from gateway.core.strangers import Strangers
from gateway.core.uses import Audience, Reading, Sent, Totals, Use

ROOMY = 0.5
"""With more than half of every limit left…"""
ROOMY_S = 0.02
"""…headers are read so often only: what is sent is counted anyway."""
OUTPUT = "output_tokens"
"""The dimension that is charged by answers, not at admission."""
_CHARGED_TOKENS = frozenset({"tokens", "project_tokens"})
SHARER_S = 3.0
"""Another process that used the scope so lately shares its rate…"""
NOWHERE = Scope(ScopeKind.HOLDER_MODEL, "")
HUNGRY_S = 0.25
"""Calls that waited so lately still wait, as far as others should know."""
PERIODS, LONGEST_SHARER_S = 1.5, 100.0
"""…within so many periods of a window, or times in which a bucket fills; never longer than 100 s."""


class Headroom:
    """All that is known of a scope's limits, and what this process has sent on it. Unknown = everything fits."""

    __slots__ = (
        "_answers", "_charged", "_factor", "_foreign", "_freed", "_hearsay", "_lately", "_levels", "_names", "_news",
        "_order", "_pace", "_places", "_produced", "_refused", "_requests", "_restraint", "_strangers",
        "_tokens", "company", "is_awaited", "learn_from", "scope", "token_limit", "used_at", "wanted_at",
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
        self._hearsay = hearsay
        self._factor = Factor() if hearsay is None else hearsay.factor
        self.learn_from = Instant(float("-inf"))
        """Headers of an answer before this moment need not be read."""
        self.is_awaited = False
        """Somebody was set aside until it has room again."""
        self.used_at = Instant(float("-inf"))
        """When the last call was sent."""
        self.token_limit = float("inf")
        """A call that is charged more never fits, as far as is known."""
        self._names: dict[str, Level] = {}
        self._levels: Levels = ()
        """With whether it counts tokens that a call is charged at admission."""
        self._charged: Levels = ()
        """Those that are charged at admission: all but the output's."""
        self._produced = 0
        """Tokens of answers that have ended…"""
        self._answers = 0
        """…which were so many."""
        self._freed = False
        """One of them is a sliding window."""
        self._pace: Pace | None = None
        self._lately: Lately | None = None
        """None until something was refused that no header told of."""
        self._requests = self._tokens = self._order = 0
        self._places = Places()
        self._foreign = Totals()
        """Of these, what other processes sent, and what was sent here and not admitted: no window holds it."""
        self._refused = 0
        """Calls that were sent here and not admitted."""
        self.wanted_at = Instant(float("-inf"))
        """When calls last waited for room in it."""
        self._strangers: Strangers | None = None
        """None until something was refused."""
        self._restraint = Restraint()

    def move_to(self, scope: Scope) -> None:
        """It is that scope's from now on."""
        self.scope = scope
        self.company.offset = crc32(f"{scope.holder} {scope.what}".encode("utf-8", "surrogatepass"))

    @property
    def is_known(self) -> bool:
        """Something may not fit."""
        return bool(self._levels) or (self._pace is not None and self._pace.rate > 0)

    @property
    def is_told(self) -> bool:
        """Headers told of its limits."""
        return bool(self._levels)

    @property
    def levels(self) -> Levels:
        return self._levels

    def level_of(self, dimension: str) -> Level | None:
        """Of `requests`, `tokens`, `project_requests`, `project_tokens` or `output_tokens`."""
        return self._names.get(dimension)

    def take(self, tokens: int, now: Instant) -> Sent:
        """A call that will be charged `tokens` is sent now."""
        self.used_at = now
        if now >= self._places.until:
            self._places.note(now, self._requests, self._tokens)
        self._requests += 1
        self._tokens += tokens
        for level, is_tokens in self._charged:
            level.take(tokens if is_tokens else 1, now)
        if self._pace is not None:
            self._pace.take(now)
            if self._lately is not None:
                self._lately.note(now, self._admitted)
        self._note_news()
        freed = tuple([level.freed for level, _ in self._levels]) if self._freed else ()
        return Sent(now, self._requests, self._tokens, freed, self._produced, tokens, self._places.before)

    def produce(self, tokens: int, now: Instant) -> None:
        """An answer of so many tokens has ended."""
        self._produced += tokens
        self._answers += 1
        self._note_news()
        level = self._names.get(OUTPUT)
        if level is not None:
            level.take(tokens, now)

    def learn(self, limits: RateLimits, sent: Sent, now: Instant, *, is_success: bool) -> bool:
        """What the headers of an answer tell. False: it is older than what is known, and changes nothing."""
        self._note_news()
        if not is_success:
            self._foreign, self._refused = self._foreign.plus(Totals(1, sent.charged)), self._refused + 1
            for level, is_tokens in self._charged:
                level.untake(sent.at, sent.charged if is_tokens else 0)
        if sent.requests <= self._order:
            self._learn_late(limits, sent)
            return False
        self._order = sent.requests
        for name, quota in zip(DIMENSIONS, msgspec.structs.astuple(limits), strict=True):
            if quota.remaining is not None:
                self._learn(name, quota, sent, is_success=is_success)
        if limits.requests.remaining is not None and "requests" in self._names and (not is_success or self._strangers):
            if self._strangers is None:
                self._strangers = Strangers()
            self._strangers.note(self._names["requests"], limits.requests.remaining, sent.at, is_success=is_success)
        self._note_verdict(sent, now, is_success=is_success)
        self._freed, is_roomy = False, self._pace is None
        for level, _ in self._levels:
            self._freed |= level.kind is SLIDING
            is_roomy &= level.left > ROOMY * level.limit
        if is_roomy:
            self.learn_from = Instant(now + ROOMY_S)
        else:
            self._news.add(self)
        return True

    def _learn_late(self, limits: RateLimits, sent: Sent) -> None:
        for index, (name, level) in enumerate(self._names.items()):
            if name in _CHARGED_TOKENS and level.kind is not BUCKET:
                freed = sent.freed[index] if index < len(sent.freed) else level.freed
                level.learn_late(getattr(limits, name), self._place(name, sent), sent_at=sent.at, freed=freed)

    def _place(self, name: str, sent: Sent) -> Place:
        """In what that limit counts."""
        if name in _CHARGED_TOKENS:
            near = self._places.near(sent.at, self._tokens, self.company.heard_s if self.company.others else 0.0)
            return Place(sent.tokens, sent.charged, sent.mark.tokens, near, self._tokens)
        if name == OUTPUT:
            return Place(sent.produced, 0, sent.produced, self._produced, self._produced)
        return Place(sent.requests, 1, sent.mark.requests, self._requests, self._requests)

    def _note_verdict(self, sent: Sent, now: Instant, *, is_success: bool) -> None:
        if is_success:
            self._restraint.in_a_row = 0
        else:
            waits_s = [level.wait_s(1, now) for level, _ in self._levels]
            self._restraint.refuse(sent.at, now, max(waits_s, default=0.0))

    def _learn(self, name: str, quota: Quota, sent: Sent, *, is_success: bool) -> None:
        level = self._names.get(name)
        is_guess = quota.limit is None
        if is_guess:
            quota = self._guessed(level, name, quota, sent, is_success=is_success)
        if level is None:
            if not quota.limit:
                return
            self._pace = None  # what refusals told alone
            factor = self._factor if name in _CHARGED_TOKENS else None
            level = self._names[name] = Level(quota.limit, sent.at, is_of_tokens=name.endswith("tokens"), factor=factor)
            self._levels = tuple([(level, name in _CHARGED_TOKENS) for name, level in self._names.items()])
            self._charged = tuple([pair for pair in self._levels if pair[0] is not self._names.get(OUTPUT)])
        index = list(self._names).index(name) if sent.freed else 0
        freed = sent.freed[index] if index < len(sent.freed) else level.freed
        level.learn(quota, self._place(name, sent), sent_at=sent.at, freed=freed, is_success=is_success)
        if name in _CHARGED_TOKENS and not is_guess and level.limit != self.token_limit:
            self.token_limit = min(level.limit for level, is_tokens in self._levels if is_tokens)

    def _guessed(self, level: Level | None, name: str, quota: Quota, sent: Sent, *, is_success: bool) -> Quota:
        """Some vendors name no limit: it is the most that any answer showed, with what its own call was charged."""
        charged = 0 if not is_success or name == OUTPUT else sent.charged if name in _CHARGED_TOKENS else 1
        known = 0 if level is None else int(level.told_limit)
        return msgspec.structs.replace(quota, limit=max(known, (quota.remaining or 0) + charged))

    def admit(self, now: Instant, sent: Sent) -> None:
        """A call came through; where no headers come, that is all there is to learn from."""
        if self._pace is None:
            if self._levels:
                return
            self._pace = Pace(now, self._hearsay)
        self._pace.admit(sent.at)
        self._note_news()

    def refuse(self, now: Instant, sent: Sent, fits_in_s: float | None = None) -> float | None:
        """A call met a rate limit that no header told of. `fits_in_s`: when one fits again, if the upstream said it.

        Seconds to rest, by what was learned; None: too little was, or what the upstream said is exact.
        Where headers came before there is nothing to learn: the scope rests (`core/cooldown`), and they come again.
        """
        if self._levels:
            return None
        if self._pace is None:
            self._pace = Pace(sent.at, self._hearsay)
        self._pace.refuse(now, sent.at, fits_in_s)
        self._foreign, self._refused = self._foreign.plus(Totals(1, sent.charged)), self._refused + 1
        if self._lately is None:
            self._lately = Lately(now, self._admitted)
        self._news.add(self)
        return self._pace.rest_s(fits_in_s, now)

    @property
    def _admitted(self) -> int:
        """Calls, by all processes that are known here."""
        return self._requests - self._refused

    def sent_lately(self, now: Instant) -> int | None:
        """Calls of the last minute that were not refused; None: nobody knows."""
        return None if self._lately is None else self._lately.count(now, self._admitted)

    def forget_strangers(self) -> None:
        """Whoever seemed to use the scope as well: they are known now. What refusals told of one of them alone, whose
        calls were only a part, holds no more.
        """
        self._strangers = self._pace = self._lately = None
        if self._hearsay is not None:
            self._hearsay.forget()

    def forget(self) -> None:
        """Nothing is known of its limits any more."""
        self._names, self._levels, self._charged, self._pace, self._freed = {}, (), (), None, False
        self._lately = None
        self._order, self._restraint.in_a_row = self._requests, 0
        self.learn_from, self.token_limit = Instant(float("-inf")), float("inf")

    def wait_s(self, tokens: int, now: Instant) -> float:
        """Seconds until a call of so many tokens fits; the slowest dimension counts. 0.0 where nothing is known."""
        longest = self._restraint.wait_s(now) if self._restraint.in_a_row else 0.0
        sharers = self.sharers(now) if self.company.others else 1
        if self._strangers is not None:
            sharers = max(sharers, 1 + self._strangers.counted(now))
        for level, is_tokens in self._levels:
            needed = tokens if is_tokens else 1
            if sharers > 1 or level.shares is not None:
                self._divide(level, sharers, now)
            elif level.left >= needed * level.margin:
                continue  # the usual case: what was left at the last change is still there, and more
            wait_s = level.wait_s(needed, now)
            longest = max(longest, wait_s)
        if self._pace is not None:
            self._pace.divide(self.company.heard_s, self.company.offset)
            longest = max(longest, self._pace.wait_s(now, sharers))
        return longest

    def sure_wait_s(self, now: Instant) -> float:
        """Seconds until one call fits for sure, of a scope that other processes use; 0.0 where `wait_s` says that."""
        if not self.company.others:
            return 0.0
        return max([level.sure_wait_s(1, now) for level, _ in self._levels], default=0.0)

    def refill(self, tokens: int) -> float:
        """Calls of so many tokens that fit in a second, over a long time; 0.0 = unknown."""
        if not self._levels:
            return 0.0 if self._pace is None else self._pace.rate
        rates = [level.own_rate / max(tokens, 1) if is_tokens else level.own_rate for level, is_tokens in self._charged]
        if self._answers and OUTPUT in self._names:
            rates.append(self._names[OUTPUT].rate * self._answers / max(self._produced, 1))
        return min([rate for rate in rates if rate > 0], default=0.0)

    # -- other processes -----------------------------------------------------------------------------------------

    def heard(
        self, process: str, use: Use, now: Instant, *, own: str = "", audience: Audience = Audience.REPLICAS
    ) -> None:
        """Another process uses the scope, and is near its limit. `own`: this process' name among them.

        `audience`: to which of this process' it belongs.
        """
        known = self.company.hear(process, use.sent, audience, now, own=own)
        more = known or Totals()
        self._requests += more.requests
        grown = max(0, more.tokens)  # calls of others that were refused move nobody's place back
        self._tokens += grown
        self._produced += more.produced
        self._foreign = self._foreign.plus(Totals(more.requests, grown, more.produced))
        if known is None:
            self._news.add(self)
            if self._lately is not None:  # what it sent before nobody knows
                self._lately = Lately(now, self._admitted)
        sharers = self.sharers(now)
        for level, is_tokens in self._levels:
            self._divide(level, sharers, now)
            amount = more.tokens if is_tokens else more.requests
            if level is self._names.get(OUTPUT):
                amount = more.produced
            level.hear(process, amount, now, age_s=use.age_s, is_hungry=use.is_hungry)
        if not self._levels and (self._pace is not None or use.calls is not None):
            self._pace = self._pace or Pace(now, self._hearsay)
            self._pace.hear(process, use, more.requests, now, own=own, audience=audience)
        for reading in use.readings:
            self._hear_reading(reading, now, is_new=known is None)

    def _hear_reading(self, reading: Reading, now: Instant, *, is_new: bool) -> None:
        level = self._names.get(reading.dimension)
        if level is not None and level.told_limit == reading.limit:
            level.hear_reading(reading, now)
            if is_new:  # what it sent before nobody knows
                level.cap(reading.remaining, now)

    def _note_news(self) -> None:
        """Something has changed that others should hear, if there are any."""
        if self.company.others:
            self._news.add(self)

    def is_hungry(self, now: Instant) -> bool:
        """Calls wait for room in it, or did a moment ago."""
        return now - self.wanted_at < HUNGRY_S

    def use(self, now: Instant, audience: Audience, *, is_news: bool = False) -> Use | None:
        """What an audience should hear of it. `is_news`: None where they have heard it already."""
        if is_news and self.company.rests(audience, now):
            return None
        sent = Totals(self._requests, self._tokens, self._produced).since(self._foreign)
        pace = None if self._levels else self._pace
        news = Told(sent, self._order, self.is_hungry(now))
        if pace is not None:
            news = msgspec.structs.replace(news, refusals=pace.refusals, window=pace.window)
        if is_news and not self.company.is_news(audience, news):
            return None
        readings: tuple[Reading, ...] = ()
        if self._order != self.company.last_told(audience).order:
            some = [level.reading(name, now) for name, level in self._names.items()]
            readings = tuple([reading for reading in some if reading is not None])
        self.company.tell(audience, news, now)
        age_s = round(max(0.0, now - self.used_at), 3) if sent.requests else 0.0
        use = Use(self.scope, sent, age_s, is_hungry=news.is_hungry, readings=readings)
        return use if pace is None else pace.tell(use, now, audience)

    def _divide(self, level: Level, sharers: int, now: Instant) -> None:
        is_hungry, company = self.is_hungry(now), self.company
        level.divide(sharers, company.place, is_hungry=is_hungry, heard_s=company.heard_s)

    def is_near(self, now: Instant) -> bool:
        """In use, and not roomy: who else uses the scope should know of it."""
        if now - max(self.used_at, self.wanted_at) > self._remembered_s():
            return False
        is_paced = self._pace is not None and self._pace.rate > 0
        return is_paced or any(level.is_near(ROOMY) for level, _ in self._levels)

    def sharers(self, now: Instant) -> int:
        """How many processes share the scope now, this one included."""
        if self.company.has_silent(now, SHARER_S):
            for name in self.company.part(now, self._remembered_s()):
                for level, _ in self._levels:
                    level.leave(name)
                if self._pace is not None:
                    self._pace.leave(name)
        return self.company.count

    def _remembered_s(self) -> float:
        """What was taken is missing until a window ends, or a bucket is full: so long whoever took it is reckoned with.

        Else what a process says after a pause is the first that is heard of it, and what it just sent is not counted.
        """
        longest = SHARER_S
        for level, _ in self._levels:
            longest = max(longest, PERIODS * level.span_s)
        return min(longest, LONGEST_SHARER_S)
