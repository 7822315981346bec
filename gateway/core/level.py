"""One dimension of a scope's limit: what is left of it, how it frees again, when something fits.

Rules of this file:
- three ways of freeing are told apart by what stays true from one answer to the next: a bucket (used ÷ reset is its
  rate), a fixed window (now + reset is its end), a sliding window (after a success `reset` is its whole period);
  each answer that fits some of them and not the others counts against the others. In doubt it is a bucket;
- `remaining` is whole: a rate follows only as an interval, (used − 1) ÷ reset to used ÷ reset, which every answer
  narrows. The slow end is used: who sends too late learns so from the next `remaining`, who sends too soon by a 429;
- `level` may be below zero: more was sent than the upstream will admit.

Mutable, as it changes with every call; time comes in as `now`.
"""

from collections import deque
from enum import IntEnum

from gateway.core.hints import Quota
from gateway.core.ids import Instant

GUARD_S = 0.01
"""We know when a call was sent, not when it was admitted: what a window frees is used so much later."""
SHORTEST_RESET_S = 0.02
"""Resets are rounded to milliseconds: shorter ones tell no pace."""
SOONEST_S = 0.0005
"""Shorter waits are none: a sleep is no more exact, and the time that is left is a rounding of floats. Who is let go so
little before a window ends counts as of the next one: else any number would go in that moment."""
RESET_SLACK = 0.005
"""Resets are exact but for half a percent."""
TOLERANCE_S = 0.05
TOLERANCE = 0.02
"""Ends and resets within 0.05 s and a fiftieth of the reset are the same."""
INFINITE = float("inf")
MOST_MISSES = 16.0
SLOTS = 256
"""A sliding window remembers what was sent in so many slots of its period."""


class Freeing(IntEnum):
    """How a limit frees again; the first of equals is believed."""

    BUCKET = 0
    """All the time."""
    SLIDING = 1
    """What was taken, one period after it was taken."""
    FIXED = 2
    """All at once, at the end of a window that the first call after the last one's end opens."""


_KINDS = tuple(Freeing)
BUCKET, SLIDING, FIXED = _KINDS  # Python 3.11 takes as long to find `Freeing.BUCKET` as to call a function


class Level:
    """Starts unknown: `limit` is that of the first answer."""

    __slots__ = (
        "_at", "_began", "_end", "_high", "_is_guess", "_log", "_longest_s", "_low", "_mine", "_mine_at", "_misses",
        "_opened", "_own", "_period_s", "_told_at", "freed", "kind", "left", "limit", "place", "rate", "sharers",
    )  # fmt: skip

    def __init__(self, limit: float, now: Instant) -> None:
        self.limit = limit
        self.left = limit
        """At the last change."""
        self.kind = BUCKET
        self.sharers = 1
        """Processes that use the limit: it is divided among them."""
        self.place = 0
        """This one's among them: the first ones have one call more where the limit cannot be divided evenly."""
        self._mine = 0.0
        """What is left of this process' part of a bucket, at `_mine_at`."""
        self._mine_at: float = now
        self.freed = 0.0
        """All that a sliding window ever gave back: whoever learns counts what it did while the answer was coming."""
        self._at: float = now
        self._told_at: float = now
        self._began = float("-inf")
        self._opened = 0.0
        """Sent since `_began`."""
        self._log: deque[tuple[float, float]] = deque()
        """What this process sent, and when, as long as a sliding window holds it."""
        self._own = 0.0
        """The sum of it."""
        self._forget_pace()

    def _forget_pace(self) -> None:
        self._low, self._high = 0.0, float("inf")
        self._misses = [0.0, 0.0, 0.0]
        self._period_s = self._longest_s = 0.0
        self._end = float("-inf")
        self._is_guess = False
        """No answer told of `_end` yet."""
        self.kind = BUCKET
        self.rate = 0.0
        """Units a second over a long time; 0.0 = unknown."""

    def _rate(self) -> float:
        if self.kind is not BUCKET:
            period_s = self._period_s if self.kind is SLIDING else self._longest_s
            return self.limit / period_s if period_s else 0.0
        if self._high == INFINITE:
            return 0.0
        return max(self._low, self._high / 2)

    def level(self, now: Instant) -> float:
        """What is left now."""
        if self.kind is BUCKET:
            passed_s = now - self._at
            left = self.left + self.rate / self.sharers * passed_s if passed_s > 0 else self.left
            return min(self.limit, left)
        if self.kind is SLIDING:
            self._expire(now)
            return self.left
        return self.limit if now >= self._end + GUARD_S - SOONEST_S else self.left

    @property
    def told_at(self) -> float:
        """When the call was sent whose answer told of it last."""
        return self._told_at

    def take(self, amount: float, now: Instant) -> None:
        """So much is sent now."""
        left = self.level(now) - amount
        if self.kind is FIXED and now >= self._end + GUARD_S - SOONEST_S:
            self._began, self._end, self._opened = now, now + self._longest_s, 0.0
            self._is_guess = True
        self._opened += amount
        if self.sharers > 1:
            self._mine, self._mine_at = max(self._mine_at_most(now) - amount, -self.limit), now
        # Never more than once the limit below zero: calls that ended without an answer must not hold a scope for ever.
        self.left = max(-self.limit, left)
        self._at = max(self._at, now)
        if self._misses[SLIDING] <= self._misses[BUCKET] + 1:
            self._remember(amount, now)

    def untake(self, sent_at: Instant) -> None:
        """The call that was sent then was refused: a window will not give it back."""
        for index in range(len(self._log) - 1, -1, -1):
            if self._log[index][0] <= sent_at:
                if self._log[index][0] == sent_at:
                    self._own -= self._log[index][1]
                    del self._log[index]
                return

    def learn(self, quota: Quota, *, sent_at: Instant, since: float, freed: float, is_success: bool) -> None:
        """What the answer to a call that was sent then tells; `since`: what was sent after it.

        `freed`: `self.freed` when it was sent. `is_success`: it was admitted, so it opened or filled a window.
        """
        if quota.limit is not None and quota.limit != self.limit:
            self.limit = quota.limit
            self._forget_pace()
        if quota.remaining is None or sent_at < self._began:
            return
        reset_s = quota.reset_s or 0.0
        if reset_s >= SHORTEST_RESET_S and quota.remaining < self.limit:
            self._judge(self.limit - quota.remaining, reset_s, sent_at, is_success=is_success)
        self._longest_s = max(self._longest_s, reset_s)
        self._end = max(self._end, sent_at + min(reset_s, SHORTEST_RESET_S))
        self.rate = self._rate()
        given_back = self.freed - freed if self.kind is SLIDING else 0.0
        self.left = min(self.limit, max(quota.remaining - since + given_back, -self.limit))
        if self.kind is SLIDING:
            # What the upstream had freed already, and we within GUARD_S after, would count twice.
            self.left = min(self.left, self.limit - self._own)
        elif self.kind is FIXED and self._began > float("-inf"):
            self.left = min(self.left, self.limit - self._opened)  # calls overtake each other on their way
        self._at = self._told_at = sent_at

    def wait_s(self, needed: float, now: Instant) -> float:
        """Seconds until so much fits."""
        if self.sharers > 1:
            return self._wait_for_part_s(min(needed, max(self.part, 1.0)), now)
        missing = min(needed, self.limit) - self.level(now) - 1e-9  # more than the limit fits when it is full
        if missing <= 0:
            return 0.0
        if self.kind is FIXED:
            return max(0.0, self._end + GUARD_S - now)
        if self.kind is SLIDING:
            return self._slid(missing, now)
        rate = self.rate
        return missing / rate if rate else 0.0

    # -- with other processes ------------------------------------------------------------------------------------

    @property
    def part(self) -> float:
        """Of the limit, this process': all parts together are the limit."""
        whole, rest = divmod(self.limit, self.sharers)
        return whole + (self.place < rest)

    @property
    def window_s(self) -> float:
        """How long a window holds what was taken; 0.0 for a bucket."""
        if self.kind is BUCKET:
            return 0.0
        return self._period_s if self.kind is SLIDING else self._longest_s

    def is_near(self, roomy: float) -> bool:
        """Less than that share is left, of all or of this process' part."""
        if self.left <= roomy * self.limit:
            return True
        own = self._opened if self.kind is FIXED else self._own if self.kind is SLIDING else 0.0
        return self.sharers > 1 and own >= (1 - roomy) ** 2 * self.part

    def divide(self, sharers: int, place: int) -> None:
        """So many processes use the limit from now on."""
        if sharers != self.sharers or place != self.place:
            self.sharers, self.place = sharers, place
            self._mine = min(self._mine if self._mine_at > self._at else self.left / sharers, self.part)

    def _mine_at_most(self, now: Instant) -> float:
        grown = self._mine + self.rate / self.sharers * max(0.0, now - self._mine_at)
        return min(max(self.limit / self.sharers, 1.0), grown)

    def _wait_for_part_s(self, needed: float, now: Instant) -> float:
        """Its own part is each process' own; of what others leave it takes as much as cannot be theirs."""
        level = self.level(now) - needed + 1e-9
        if self.kind is BUCKET:
            return self._wait_for_bucket_s(needed, level, now)
        others = self.limit - self.part
        if self.kind is SLIDING:
            over = self._own + needed - self.part - 1e-9
            if level >= 0 and (over <= 0 or level >= others / 2 + self.sharers):
                return 0.0
            return max(self._slid(max(over, 1e-9), now), self._slid(-level, now) if level < 0 else 0.0)
        over_s = max(0.0, self._end + GUARD_S - now)
        if over_s <= SOONEST_S or (level >= 0 and self._opened + needed <= self.part + 1e-9):
            return 0.0
        # What others had not taken so late in the window they will hardly take any more.
        late = max(0.0, self._end - self._told_at) / self._longest_s if self._longest_s else 1.0
        return 0.0 if level >= others * late + self.sharers - 1 else over_s

    def _wait_for_bucket_s(self, needed: float, level: float, now: Instant) -> float:
        mine, rate = self._mine_at_most(now) - needed + 1e-9, self.rate / self.sharers
        if level >= self.sharers or (level >= 0 and mine >= 0):
            return 0.0
        return max(-level, -mine) / rate if rate else 0.0

    def _slid(self, missing: float, now: Instant) -> float:
        for at, amount in self._log:
            missing -= amount
            if missing <= 0:
                return max(0.0, at + self._period_s + GUARD_S - now)
        return self._period_s / 8  # others took it, nobody knows when

    def _remember(self, amount: float, now: Instant) -> None:
        log = self._log
        self._own += amount
        if len(log) >= 2 * SLOTS:
            self._own -= log.popleft()[1]
        if log and self._period_s and now - log[-1][0] < self._period_s / SLOTS and len(log) >= SLOTS / 2:
            log[-1] = (now, log[-1][1] + amount)
        else:
            log.append((now, amount))

    def _expire(self, now: Instant) -> None:
        log, lasts_s = self._log, self._period_s + GUARD_S
        while log and log[0][0] + lasts_s - now <= SOONEST_S:  # as `_slid` says it
            amount = log.popleft()[1]
            self.left = min(self.limit, self.left + amount)
            self.freed += amount
            self._own -= amount
        if not log and now >= self._at + self._period_s:
            self.left = self.limit

    def _judge(self, used: float, reset_s: float, at: Instant, *, is_success: bool) -> None:
        """Which ways of freeing this answer fits."""
        slack_s = 0.001 + reset_s * RESET_SLACK
        low, high = (used - 1) / (reset_s + slack_s), used / (reset_s - slack_s)
        tolerance_s = TOLERANCE_S + TOLERANCE * reset_s
        is_same_end = abs(at + reset_s - self._end) <= tolerance_s
        fits = (
            low <= self._high and high >= self._low,
            not is_success or not self._period_s or abs(reset_s - self._period_s) <= tolerance_s,
            at >= self._end - tolerance_s or is_same_end,
        )
        self._low, self._high = (max(low, self._low), min(high, self._high)) if fits[0] else (low, high)
        if not fits[1] or not self._period_s:
            self._period_s = reset_s
        if self._is_guess or not is_same_end:
            self._end, self._is_guess = at + reset_s, False
        else:
            # It was admitted a little after it was sent, so the window ends a little later: who knows best says latest.
            self._end = max(self._end, at + reset_s)
        if any(fits) and not all(fits):
            self._misses = [miss + (not is_fit) for miss, is_fit in zip(self._misses, fits, strict=True)]
            if max(self._misses) > MOST_MISSES:
                self._misses = [miss / 2 for miss in self._misses]
            self.kind = min(_KINDS, key=self._misses.__getitem__)
