"""Sliding windows whose `reset` counts down to the end of the oldest call in them, and not of the newest.

Rules of this file: what is used was taken last, so the oldest of it leaves next, a period after it was sent. A true
period is the same for every answer. Calls that went just before may be admitted before or after: they leave an
interval.
Who knows of less than was used knows nothing.

Mutable; one per level. Moments are `Instant`s.
"""

from bisect import bisect_right

import msgspec

from gateway.core.period import Period

MOST_CALLS = 512
"""Of larger windows nothing is learned once they are full."""
HALF = 0.5
"""Less of a call is none."""
ALONE = 2
"""Who heard of nobody else for so many periods knows of all calls."""
HELD = 0.1
"""A tenth of a limit more was taken than is used: it is no chance."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """What an answer told of a limit."""

    used: float
    reset_s: float
    at: float
    """When its call was sent."""
    is_success: bool
    limit: float
    off_s: float = 0.0
    """`reset_s` may be off by so much."""
    late_s: float = 0.0
    """Another process told of it, so much later."""
    burst_s: float = 0.0
    """Calls that were sent within this time are admitted in any order."""
    sharers: int = 1
    """Processes that use the limit."""
    factor: float = 1.0
    """Of `used` and `limit`, which are as we estimate, to what headers tell."""


class Oldest:
    """Starts unknown, or with the period that others have found."""

    __slots__ = ("_began", "_misfit", "_moments", "_sums", "_total", "period")

    def __init__(self, period: Period | None = None) -> None:
        self.period = period or Period()
        self._moments: list[float] = []
        """When each call was sent that was not refused, by whichever process."""
        self._sums: list[float] = []
        """What all calls before it took, so that no answer makes us walk over a window…"""
        self._total = 0.0
        """…and what they took in all."""
        self._began = float("inf")
        """When the first one was sent."""
        self._misfit = float("-inf")
        """The end of the last call that told another period."""

    @property
    def period_s(self) -> float:
        """0.0 = unknown."""
        return self.period.value_s

    def take(self, amount: float, at: float) -> None:
        """So much was sent then; of others that is heard a little later. Less than nothing: some of it was refused."""
        if amount < 0:
            self._give_back(-amount)
            return
        moments, sums = self._moments, self._sums
        index = bisect_right(moments, at)
        if not moments:
            self._began = at
        if index == len(moments):
            moments.append(at)
            sums.append(self._total)
            if len(moments) > MOST_CALLS:
                del moments[0], sums[0]
        elif len(moments) < MOST_CALLS:
            moments.insert(index, at)
            sums.insert(index, sums[index])
            self._add(amount, index + 1)
        else:
            return
        self._total += amount

    def _add(self, amount: float, since: int) -> None:
        for index in range(since, len(self._sums)):
            self._sums[index] += amount

    def _give_back(self, amount: float) -> None:
        while self._moments and amount > 0:
            taken = self._total - self._sums[-1]
            if taken > amount:
                self._total -= amount
                return
            self._total = self._sums.pop()
            self._moments.pop()
            amount -= taken

    def untake(self, at: float) -> None:
        """The call that was sent then was refused."""
        taken, index = self._own(at), bisect_right(self._moments, at) - 1
        if taken:
            del self._moments[index], self._sums[index]
            self._add(-taken, index)
            self._total -= taken

    def forget_calls(self) -> None:
        """What is taken is not told from now on: who knows of some calls must know of all that came later."""
        self._moments.clear()
        self._sums.clear()

    def taken_between(self, after: float, until: float) -> float:
        return max(0.0, self._taken_by(until) - self._taken_by(after))

    def _taken_by(self, at: float) -> float:
        """All that is known of was taken by then, and what is forgotten."""
        index = bisect_right(self._moments, at)
        return self._sums[index] if index < len(self._sums) else self._total

    def fits(self, told: Told, tolerance_s: float, whole_s: float) -> bool | None:
        """Whether the answer tells the same period as others; None: it cannot be said.

        `whole_s`: how far off its rounding may have put the end.
        """
        at, end = told.at, told.at + told.reset_s
        own = self._own(at) if told.is_success else 0.0
        beside = self.taken_between(at - told.burst_s, at) - own
        sooner_at = self._taken_at(told.used - own, at - told.burst_s, at)
        if sooner_at is None:
            return None
        later_at = sooner_at
        if beside:
            later_at = self._taken_at(told.used - own - beside, at - told.burst_s, at) or at
        high_s, low_s, off_s = end - sooner_at, end - later_at, tolerance_s + whole_s
        period, is_whole = self.period, whole_s > 0
        if not period.told_s:
            period.told_s = high_s
            return None if beside else True
        is_alone = told.sharers == 1 and at >= self._began + ALONE * period.told_s
        is_known = is_alone or period.told_s > high_s or told.used - own <= HALF
        is_news = abs(end - self._misfit) > off_s
        if not period.fits(low_s, high_s, off_s, is_whole=is_whole, is_news=is_news):
            self._misfit = end
            return False if is_known else None  # a longer period, or somebody took what nobody told of
        if not beside:
            period.learn(high_s, is_whole=is_whole)
        return not self.holds_more(told, off_s)

    def holds_more(self, told: Told, off_s: float) -> bool:
        """More was sent in the last period than is used: so it is not, whoever's call the oldest is."""
        period_s, at = self.period.told_s, told.at
        if not period_s:
            return False
        own = self._own(at) if told.is_success else 0.0
        held = own + self.taken_between(at - period_s + off_s, at - told.burst_s)
        return held > told.used + max(1.0, HELD * told.limit)

    def _own(self, at: float) -> float:
        """What the call took that was sent then."""
        index = bisect_right(self._moments, at)
        if not index or self._moments[index - 1] != at:
            return 0.0
        until = self._sums[index] if index < len(self._sums) else self._total
        return until - self._sums[index - 1]

    def _taken_at(self, used: float, by: float, at: float) -> float | None:
        """When the oldest of what is `used` was sent, if none of it came after `by`; `at`, if nothing else is used."""
        if used <= HALF:
            return at
        index = bisect_right(self._sums, self._taken_by(by) - used + HALF) - 1
        return None if index < 0 else self._moments[index]
