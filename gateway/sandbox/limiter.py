"""Meters: what is free of a limit, when something fits, when all is free again. Pure; `now` is any monotonic seconds.

Rules of this file: 0 ≤ free ≤ limit at all times; a `now` before the last one counts as the last one.
"""

import math
from collections import deque
from typing import Protocol

from gateway.sandbox.config import Algorithm

_EPSILON = 1e-9  # sums of floats: a bucket that is full but for rounding must admit what its limit allows


class Meter(Protocol):
    """One limit's state."""

    @property
    def limit(self) -> float: ...

    def free(self, now: float) -> float: ...

    def drain(self, amount: float, now: float) -> None:
        """Takes `amount`, or what is left if that is less. Ask `wait_for` first whether it fits."""
        ...

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until `amount` fits; infinite when it never will."""
        ...

    def until_full(self, now: float) -> float:
        """Seconds until all of the limit is free."""
        ...

    def until_next(self, now: float) -> float:
        """Seconds until more is free than now; 0.0 when all is."""
        ...


class Bucket:
    """Refills all the time at limit ÷ period."""

    def __init__(self, limit: float, period_s: float, now: float) -> None:
        self.limit = limit
        self._rate = limit / period_s
        self._level = limit
        self._at = now

    def free(self, now: float) -> float:
        if now > self._at:
            self._level = min(self.limit, self._level + (now - self._at) * self._rate)
            self._at = now
        return self._level

    def drain(self, amount: float, now: float) -> None:
        self._level = max(0.0, self.free(now) - amount)

    def wait_for(self, amount: float, now: float) -> float:
        if amount > self.limit:
            return float("inf")
        missing = amount - self.free(now)
        return missing / self._rate if missing > _EPSILON else 0.0

    def until_full(self, now: float) -> float:
        return (self.limit - self.free(now)) / self._rate

    def until_next(self, now: float) -> float:
        free = self.free(now)
        return min(math.floor(free + _EPSILON) + 1 - free, self.limit - free) / self._rate


class FixedWindow:
    """A window opens with the first call after the last one's end; nothing is freed before its end."""

    def __init__(self, limit: float, period_s: float, now: float, *, ends_at: float | None = None) -> None:
        """`ends_at`: some end of a window by the clock; None: calls open them."""
        self.limit = limit
        self._period_s = period_s
        self._ends_at = ends_at
        self._ends = now
        self._used = 0.0

    def free(self, now: float) -> float:
        if now >= self._ends:
            self._used = 0.0
        return self.limit - self._used

    def drain(self, amount: float, now: float) -> None:
        taken = min(amount, self.free(now))
        if now >= self._ends:
            passed_s = 0.0 if self._ends_at is None else (now - self._ends_at) % self._period_s
            self._ends = now - passed_s + self._period_s
        self._used += taken

    def wait_for(self, amount: float, now: float) -> float:
        if amount > self.limit:
            return float("inf")
        return 0.0 if self.free(now) + _EPSILON >= amount else self._ends - now

    def until_full(self, now: float) -> float:
        return self._ends - now if self.free(now) < self.limit else 0.0

    def until_next(self, now: float) -> float:
        return self.until_full(now)


class SlidingWindow:
    """Remembers each taking for one period."""

    def __init__(self, limit: float, period_s: float, now: float, *, overfills: bool = False) -> None:
        """`overfills`: what is drained though nothing is left is remembered as well."""
        self.limit = limit
        self._overfills = overfills
        self._period_s = period_s
        self._now = now
        self._used = 0.0
        self._takings: deque[tuple[float, float]] = deque()
        """(when it is free again, amount), in this order."""

    def free(self, now: float) -> float:
        self._now = max(now, self._now)
        while self._takings and self._takings[0][0] <= self._now:
            self._used -= self._takings.popleft()[1]
        if not self._takings:
            self._used = 0.0
        return min(self.limit, max(0.0, self.limit - self._used))

    def drain(self, amount: float, now: float) -> None:
        free = self.free(now)
        taken = amount if self._overfills else min(amount, free)
        if taken > 0:
            self._takings.append((self._now + self._period_s, taken))
            self._used += taken

    def wait_for(self, amount: float, now: float) -> float:
        if amount > self.limit:
            return float("inf")
        self.free(now)
        level = self.limit - self._used
        if level + _EPSILON >= amount:
            return 0.0
        for free_at, taken in self._takings:
            level += taken
            if level + _EPSILON >= amount:
                return free_at - self._now
        return self._period_s

    def until_full(self, now: float) -> float:
        self.free(now)
        return self._takings[-1][0] - self._now if self._takings else 0.0

    def until_next(self, now: float) -> float:
        self.free(now)
        return self._takings[0][0] - self._now if self._takings else 0.0


def make_meter(
    algorithm: Algorithm,
    limit: float,
    period_s: float,
    now: float,
    *,
    ends_at: float | None = None,
    overfills: bool = False,
) -> Meter:
    """`ends_at`: some end of a fixed window by the clock; None: calls open windows. `overfills`: a sliding one."""
    match algorithm:
        case Algorithm.BUCKET:
            return Bucket(limit, period_s, now)
        case Algorithm.FIXED:
            return FixedWindow(limit, period_s, now, ends_at=ends_at)
        case Algorithm.SLIDING:
            return SlidingWindow(limit, period_s, now, overfills=overfills)
