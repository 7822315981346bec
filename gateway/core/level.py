"""One dimension of a scope's limit: what is left of it, how it frees again, when something fits.

Rules of this file:
- how it frees is `core/refilling`'s to know;
- `level` may be below zero: more was sent than the upstream will admit.

Mutable, as it changes with every call; time comes in as `now`.
"""

from gateway.core.alike import Alike, AlikeOf
from gateway.core.freeing import BUCKET, FIXED, SLIDING
from gateway.core.guard import GUARD_S
from gateway.core.hints import Quota
from gateway.core.ids import Instant
from gateway.core.ledger import Ledger
from gateway.core.oldest import Told
from gateway.core.places import BURST_S, Place
from gateway.core.refilling import Refilling
from gateway.core.shares import HEARD_S, SOON, Fill, Fixed, Shares, Window
from gateway.core.takings import SOONEST_S
from gateway.core.uses import Reading
from gateway.core.way import SHORTEST_RESET_S

APART_S = 0.05
"""So far apart calls go that should not fit while nobody knows when one will: what became of the last is known then."""
LATE_S = 0.1
"""What another process heard comes here so much later."""


class Level(Refilling):
    """Starts unknown: `limit` is that of the first answer."""

    __slots__ = (
        "_at", "_began", "_ledger", "_opened", "_own", "_reading", "left", "margin", "shares", "told_at",
    )  # fmt: skip

    def __init__(  # what its creator knows of it
        self, limit: float, now: Instant, *, is_of_tokens: bool = True, factor: float = 1.0, alike_of: AlikeOf = Alike
    ) -> None:
        """As `Refilling`."""
        super().__init__(limit, now, is_of_tokens=is_of_tokens, factor=factor, alike_of=alike_of)
        self.margin = 1.0
        """So many times more than we estimate some calls cost."""
        self.left = self.limit
        """At the last change."""
        self.shares: Shares | None = None
        """With other processes that use the limit; None: there are none."""
        self._at: float = now
        self.told_at: float = now
        """When the call was sent whose answer told of it last; what nobody knows of is given back a period later."""
        self._began, self._opened = float("-inf"), 0.0
        """Sent since `_began`."""
        self._ledger = Ledger()
        self._own = self._ledger.own
        """What this process sent, as long as a sliding window holds it."""
        self._reading: tuple[float, float, Instant, bool, float] | None = None
        """What the newest answer told: remaining, reset, when its call was sent, whether it was admitted."""

    def level(self, now: Instant) -> float:
        """What is left now."""
        if self.kind is BUCKET:
            passed_s = now - self._at
            if passed_s <= 0:
                return min(self.limit, self.left)
            rate = self.rate
            if self.shares is not None and self.shares.silent:
                rate *= self.shares.known
            return min(self.limit, self.left + rate * passed_s)
        if self.kind is SLIDING:
            self._expire(now)
            return self.left
        return self.limit if now >= self._window.at + self._guard.seconds - SOONEST_S else self.left

    def left_by(self, at: Instant) -> float:
        """What is left then, if nothing is taken until then."""
        if self.kind is not SLIDING:
            return self.level(at)
        return self.left + self._ledger.due_by(at, self._period_s + self._guard.seconds)

    @property
    def freed(self) -> float:
        """All that a sliding window ever gave back."""
        return self._ledger.freed

    def take(self, amount: float, now: Instant) -> None:
        """So much is sent now."""
        left = self.level(now) - amount * self.margin
        if self.kind is FIXED and now >= self._window.at + self._guard.seconds - SOONEST_S:
            self._open(now)
            if self._window.is_tried:
                left = 0.0
        self._opened += amount
        if self.shares is not None:
            if self.kind is BUCKET:
                self.shares.take(amount, self._fill(now), now)
            else:
                self.shares.note(amount, left, self.limit, now)
        # Never more than once the limit below zero: calls that ended without an answer must not hold a scope for ever.
        self.left = max(-self.limit, left)
        self._at = max(self._at, now)
        if self._way.may_slide:
            self._own.add(amount, now, self._period_s)
            self._way.take(amount, now)

    def _open(self, now: float) -> None:
        """A fixed window begins."""
        self.left = self.limit
        self._began, self._opened = now, 0.0
        self._forget_answers()
        self._window.open(now, used_at=self._at)
        if self.shares is not None:
            self.shares.open_window()

    def note_early(self, amount: float, sent_at: Instant) -> None:
        """So much was sent before anything was known of the limit."""
        self._own.add(amount, sent_at, 0.0)
        self._way.take(amount, sent_at)

    def untake(self, sent_at: Instant, amount: float = 0.0) -> None:
        """The call that was sent then was refused: a window will not give it back."""
        if sent_at >= self._began and self.shares is None:
            self._opened = max(0.0, self._opened - amount)
        self._way.refuse(sent_at)
        self._ledger.refuse(sent_at)

    def retract(self, amount: float, sent_at: Instant) -> None:
        """So much was taken then by a call that was not to fit, and did not. Of a bucket it cost what there was."""
        if self.kind is not BUCKET and sent_at >= self._began:
            self.left = min(self.limit, self.left + amount)
            self._opened = max(0.0, self._opened - amount)

    def learn(self, quota: Quota, place: Place, *, sent_at: Instant, freed: float, is_success: bool) -> None:
        """What the answer to a call that was sent then tells.

        `freed`: `self.freed` when it was sent. `is_success`: it was admitted, so it opened or filled a window.
        """
        if quota.limit is not None and quota.limit != self.told_limit:
            self.limit_to(quota.limit)
        if quota.remaining is None:
            return
        raw_used, left, reset_s = self.told_limit - quota.remaining, quota.remaining / self.factor, quota.reset_s or 0.0
        self._reading = (quota.remaining, reset_s, sent_at, is_success, quota.slack_s)
        is_shared = self._is_of_tokens and self.shares is not None
        self._guard.note(self.window_s, is_success=is_success, is_shared=is_shared)
        if sent_at < self._began:
            return
        is_too_soon = self.kind is FIXED and not is_success and self._window.refuse(sent_at)
        if reset_s >= SHORTEST_RESET_S and raw_used > 0 and not is_too_soon:
            self._judge(self.limit - left, reset_s, sent_at, is_success=is_success, off_s=quota.slack_s)
        self._window.at = max(self._window.at, sent_at + min(reset_s, SHORTEST_RESET_S))
        given_back = self.freed - freed if self.kind is SLIDING else 0.0
        before = self.left + self.rate * (sent_at - self._at)
        self._note_verdict(quota.remaining, place, is_success=is_success)
        self.left = min(self.limit, max(left - place.since * self.margin + given_back, -self.limit))
        self._cut(before, place.beside, sent_at, is_full=quota.remaining < 1)
        self._at = self.told_at = sent_at
        self._hear_charge(quota.remaining, place, freed, sent_at)

    # What these do a level does that learns what its calls are charged (`core/charged_level`).

    def learn_late(self, quota: Quota, place: Place, *, sent_at: Instant, freed: float) -> None:
        """What the answer tells to a call that was overtaken by one that was answered before."""

    def _note_verdict(self, remaining: float, place: Place, *, is_success: bool) -> None:
        """A call came through, or did not, and so much was left."""

    def _hear_charge(self, remaining: float, place: Place, freed: float, sent_at: Instant) -> None:
        """An answer was learned from. `freed`: given back when the call was sent."""

    def _cut(self, before: float, beside: float, sent_at: Instant, *, is_full: bool) -> None:
        """What an answer tells is left is less by all that it cannot know. `before`: the level that was believed in."""
        if self.kind is BUCKET:
            self.left = min(self.left, max(before, self.left - beside))  # calls overtake each other on their way
        elif self.kind is SLIDING:
            # What the upstream had freed already, and we within self._guard.seconds after, would count twice.
            self.left = min(self.left, self.limit - self._ledger.told_to_be(self.shares, is_full=is_full))
        elif self._window.is_found:
            self._began, self._opened = sent_at, self.limit - self.left
            if self.shares is not None:
                self.shares.open_window()  # what others took is in that
        elif self._began > float("-inf"):
            self.left = min(self.left, self.limit - self.held)

    @property
    def held(self) -> float:
        """What a window holds, by all that is known of what was taken."""
        if self.kind is SLIDING:
            return self._ledger.held(self.shares)
        return self._opened + (0.0 if self.shares is None else self.shares.opened)

    def wait_s(self, needed: float, now: Instant) -> float:
        """Seconds until so much fits."""
        needed *= self.margin
        if self.shares is not None:
            return self._wait_for_part_s(needed, self.shares, now)
        missing = min(needed, self.limit) - self.level(now) - 1e-9  # more than the limit fits when it is full
        if missing <= 0:
            return 0.0
        if self.kind is not BUCKET:
            return self._freed_in_s(missing, now)
        # A call is whole, and so is what is said to be left; of tokens nothing is over if it comes a little too soon.
        return missing / self.rate + GUARD_S * (needed > 1) if self.rate else max(0.0, self._at + APART_S - now)

    def sure_wait_s(self, needed: float, now: Instant) -> float:
        """Seconds until so much fits for sure: into this process' part of a window, whatever others take of the rest.

        `wait_s` says when to look again for what others leave.
        """
        wait_s = self.wait_s(needed, now)
        if self.shares is None or self.kind is BUCKET or wait_s <= SOONEST_S:
            return wait_s
        over = self._own.total + needed - self.shares.part(self.limit)
        return max(wait_s, self._freed_in_s(over, now, by_others=False) if over > 0 or self.kind is FIXED else 0.0)

    # -- with other processes ------------------------------------------------------------------------------------

    @property
    def own_rate(self) -> float:
        """Of its rate, what this process gets."""
        if self.shares is None or self.kind is not BUCKET or not self.rate:
            return self.rate  # in windows smaller calls go past those that wait, so that more of them may
        return self.shares.rate(self.rate, self.span_s)

    def is_near(self, roomy: float) -> bool:
        """Less than that share is left, of all or of this process' part."""
        if self.left <= roomy * self.limit:
            return True
        own = self._opened if self.kind is FIXED else self._own.total if self.kind is SLIDING else 0.0
        return self.shares is not None and own >= (1 - roomy) ** 2 * self.shares.part(self.limit)

    def divide(self, sharers: int, place: int, *, is_hungry: bool, heard_s: float = HEARD_S) -> None:
        """So many processes use the limit from now on. `is_hungry`: calls wait here for room in it."""
        if sharers == 1:
            self.shares = None
            return
        if self.shares is None:
            self.shares = Shares()
        self.shares.divide(sharers, place, is_hungry=is_hungry, heard_s=heard_s)

    def hear(self, process: str, amount: float, now: Instant, *, age_s: float, is_hungry: bool) -> None:
        """Another process, one of `divide`, has taken so much since it was heard last, the last of it `age_s` ago."""
        if self.shares is None:
            return
        other = self.shares.hear(process, now, is_hungry=is_hungry)
        if not amount:
            return
        at = now - min(age_s, HEARD_S)
        # It knows the window's end better than we do, or had a shorter guard: what it took then is of the next one.
        if self.kind is FIXED and at >= self._window.at - GUARD_S:
            self._open(at)
        level = self.level(now)
        # A bucket from which others take is never below zero: what they took was there.
        lowest = min(level, 0.0) if self.kind is BUCKET else -self.limit
        self.left, self._at = max(level - amount, lowest), max(self._at, now)
        other.take(amount, at, self.span_s)
        self._way.take(amount, at)

    def reading(self, dimension: str, now: Instant) -> Reading | None:
        if self._reading is None:
            return None
        left, reset_s, sent_at, is_success, off_s = self._reading
        return Reading(dimension, self.told_limit, left, round(reset_s, 3), round(now - sent_at, 3), is_success, off_s)

    def hear_reading(self, reading: Reading, now: Instant) -> None:
        """What an answer told another process: how the limit frees is learned from it as from an own one."""
        at, left = Instant(now - reading.age_s), reading.remaining / self.factor
        if self.kind is FIXED:
            if at >= self._window.at + self._guard.seconds:
                self._open(at)
            if at >= self._began:
                self.left = min(self.left, left)
        if self.kind is SLIDING and not (reading.is_success or self._is_of_tokens):
            self._ledger.hear_refused(at)
            self.left = min(self.left, self.limit - self._ledger.told_to_be(self.shares, is_full=left < 1))
        if reading.reset_s >= SHORTEST_RESET_S and left < self.limit and at >= self._began:
            used = self.limit - left
            self._judge(used, reading.reset_s, at, is_success=reading.is_success, late_s=LATE_S, off_s=reading.slack_s)

    def cap(self, remaining: float, now: Instant) -> None:
        left = remaining / self.factor
        if left < self.level(now) and (self.kind is not FIXED or now < self._window.at):
            self.left, self._at, self.told_at = left, max(self._at, now), now

    def leave(self, process: str) -> None:
        if self.shares is not None:
            self.shares.leave(process)

    def _wait_for_part_s(self, needed: float, shares: Shares, now: Instant) -> float:
        """Its own part is each process' own; of what others leave it takes what they will hardly take themselves."""
        takes_turns = self._is_of_tokens and shares.take_turns and self.kind is not BUCKET
        needed = min(needed, self.limit if takes_turns else max(shares.part(self.limit), 1.0))
        if self.kind is BUCKET:
            return shares.wait_in_bucket_s(needed, self._fill(now), now)
        left = self.level(now) - needed + 1e-9
        freed_in_s = self._freed_in_s(-left, now) if left < 0 else 0.0
        if left < 0 and not (takes_turns and self.kind is SLIDING):
            return freed_in_s
        if takes_turns:
            return shares.turn_at(needed, Window(self.limit, left, 0.0), self.window_s, now + freed_in_s) - now
        if self.kind is FIXED:
            ends_at, longest_s = self._window.at + self._guard.seconds, self._window.longest_s
            fixed = Fixed(self.limit, left, self._opened, self._began, ends_at, longest_s, self._is_of_tokens)
            return shares.wait_in_fixed_s(needed, fixed, now)
        own = self._own.total + needed - 1e-9
        if shares.fits_in_slide(own, Window(self.limit, left, min(1.0, shares.heard_s / self._period_s))):
            return 0.0
        of_part_s = self._freed_in_s(max(own - shares.part(self.limit), 1e-9), now, by_others=False)
        return min(of_part_s, max(self.window_s * SOON, shares.heard_s / 2))

    def _fill(self, now: Instant) -> Fill:
        return Fill(self.level(now), self.limit, self.rate, self.span_s)

    def _freed_in_s(self, missing: float, now: Instant, *, by_others: bool = True) -> float:
        """Seconds until a window has so much more. `by_others`: of what they took, too."""
        if self.kind is FIXED:
            return max(0.0, self._window.at + self._guard.seconds - now)
        shares = self.shares if self._is_of_tokens and by_others else None
        wait_s = self._ledger.free_in_s(missing, self._period_s + self._guard.seconds, now, shares)
        return self._period_s / 8 if wait_s is None else wait_s  # others took it, and will have it back some time

    def _expire(self, now: Instant) -> None:
        lasts_s = self._period_s + self._guard.seconds
        self.left = min(self.limit, self.left + self._ledger.expire(lasts_s, self.shares, now))
        if now >= self.told_at + lasts_s:
            self.left = max(self.left, self.limit - self.held)

    def _judge(  # what an answer told, by name
        self, used: float, reset_s: float, at: Instant, *, is_success: bool, late_s: float = 0.0, off_s: float = 0.0
    ) -> None:
        """`off_s`: `reset_s` may be off by so much. `late_s`: another process heard it, so much sooner."""
        burst_s = BURST_S if self.shares is None else max(BURST_S, self.shares.heard_s)
        sharers = 1 if self.shares is None else self.shares.count
        self._way.judge(Told(used, reset_s, at, is_success, self.limit, off_s, late_s, burst_s, sharers, self.factor))
        self._adopt(at)

    def look_again(self, at: float) -> None:
        """Others that free alike found out how, by an answer to a call that was sent then."""
        left, kind = self.level(Instant(at)), self.kind
        super().look_again(at)
        if self.kind is not kind:
            self.left = min(left, self.limit - self.held) if self.kind is SLIDING else left
