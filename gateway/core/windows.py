"""What refusals that name their delay tell of a limit: a window of N calls a period, or a bucket's step.

Rules of this file: a refusal at t that says "again in w" tells of a sliding window of N calls that its period is
t + w − (when the N-th last admitted call was sent); of a fixed one the same, N calls after its first. Only the true N
gives the same period again and again. A bucket that refusals empty says the same w again and again.

    refusal 1:  N=1 → 0.4 s, N=2 → 0.9 s, … N=10 → 4.00 s, N=11 → 4.31 s …
    refusal 2:  N=1 → 1.2 s, N=2 → 1.3 s, … N=10 → 4.00 s, N=11 → 4.77 s …

A window that is believed in is kept as a sliding one, whatever it is: that is admitted by both.
"""

from collections import deque

from gateway.core.ids import Instant

REMEMBERED = 512
"""Calls; larger windows are not found."""
KEPT = 6
"""Refusals that have a vote…"""
ENOUGH = 3
"""…and so many must agree on a window: two agree on something by chance."""
ENOUGH_STEPS = 2
TOLERANCE_S = 0.015
TOLERANCE = 0.005
"""Periods that differ by 15 ms and half a percent are the same: calls are now more, now less time on their way."""
GUARD_S = 0.01
FIRST_ASK, LAST_ASK = 40, 640
"""After so many calls that had to wait for room one more than fits is tried, since limits rise and beliefs err; after
four times as many each time that it is refused, and soon twice as much when it is not."""
SHORTEST_S = 0.005
"""Shorter delays are no bucket's step."""


class Windows:
    """Starts unknown."""

    __slots__ = (
        "_asks_after",
        "_extra",
        "_free_at",
        "_full",
        "_periods",
        "_sent",
        "_steps",
        "bucket_s",
        "limit",
        "period_s",
    )

    def __init__(self) -> None:
        self.limit = 0
        """Calls in a period; 0: no window is believed in."""
        self.period_s = 0.0
        self.bucket_s = 0.0
        """The time in which one call comes back; 0.0: no bucket is believed in."""
        self._sent: deque[float] = deque(maxlen=REMEMBERED)
        """When calls were sent that were not refused; the last first."""
        self._periods: deque[list[float]] = deque(maxlen=KEPT)
        """Of each of the last refusals, the period that it tells for N = 1, 2, 3 …"""
        self._steps: deque[float] = deque(maxlen=KEPT)
        self._free_at = float("-inf")
        """When the last refusal said that there would be room."""
        self._full = 0
        """Calls that had to wait for room since one more was tried."""
        self._asks_after = FIRST_ASK
        self._extra = 0
        """How many more than the limit are tried."""

    def take(self, now: Instant) -> None:
        size = self.limit + self._extra
        if self.limit and len(self._sent) >= size:
            self._full += now - self._sent[size - 1] - self.period_s < self.period_s / size
            if self._full >= (max(self.limit, FIRST_ASK // 4) if self._extra else self._asks_after):
                self._full = 0
                self._extra = 2 * self._extra or 1
        self._sent.appendleft(now)

    def sent_since(self, moment: float) -> int:
        """Calls that were sent since then and not refused."""
        return sum(sent >= moment for sent in self._sent)

    def note(self, sent_at: Instant) -> None:
        """A call that was sent before anything was noted here came through."""
        self._sent = deque(sorted([*self._sent, sent_at], reverse=True), maxlen=REMEMBERED)

    def untake(self, sent_at: Instant) -> None:
        """The call that was sent then was refused."""
        if sent_at in self._sent:
            self._sent.remove(sent_at)

    def refuse(self, sent_at: Instant, fits_in_s: float | None) -> None:
        """A call that was sent then was refused, and may come again `fits_in_s` later; None or whole seconds tell
        nothing: they were rounded.
        """
        if self._extra:
            self._asks_after = min(4 * self._asks_after, LAST_ASK)
        self._full = self._extra = 0
        if not fits_in_s or fits_in_s == round(fits_in_s):
            return
        if self._periods and abs(sent_at + fits_in_s - self._free_at) < TOLERANCE_S:
            self._steps.pop()  # the same room was waited for: nothing new
            self._periods.pop()
        self._free_at = sent_at + fits_in_s
        self._steps.append(fits_in_s)
        self._periods.append([self._free_at - sent for sent in self._sent if sent <= sent_at])
        steps = [step for step in self._steps if abs(step - fits_in_s) <= TOLERANCE * fits_in_s + 0.002]
        votes = self._believe_in_window()
        self.bucket_s = 0.0
        if len(steps) >= max(votes, ENOUGH_STEPS) and fits_in_s >= SHORTEST_S:
            self.limit, self.bucket_s = 0, sum(steps) / len(steps)

    def _believe_in_window(self) -> int:
        """How many refusals agree on what is believed from now on."""
        told = self._periods[-1]
        alike = self._like(self.limit - 1, self.period_s) if self.limit else []
        if len(alike) >= ENOUGH and self._is_like(told, self.limit - 1, self.period_s):
            self.period_s = max(alike)
            return len(alike)
        size, best, most = 0, 0.0, 0
        for index, period_s in enumerate(told):
            votes = len(self._like(index, period_s))
            # What is too fast is found out at once, what is too slow never.
            if votes >= ENOUGH and (index + 1) / period_s > best:
                size, best, most = index + 1, (index + 1) / period_s, votes
        self.limit = size
        self.period_s = max(self._like(size - 1, told[size - 1])) if size else 0.0
        return most

    @staticmethod
    def _is_like(periods: list[float], index: int, period_s: float) -> bool:
        return index < len(periods) and abs(periods[index] - period_s) <= TOLERANCE_S + TOLERANCE * period_s

    def _like(self, index: int, period_s: float) -> list[float]:
        """Periods that refusals told for that N, and that are the same as this."""
        return [periods[index] for periods in self._periods if self._is_like(periods, index, period_s)]

    def wait_s(self, now: Instant) -> float:
        """Seconds until a call fits into the window."""
        size = self.limit + self._extra
        if len(self._sent) < size:
            return 0.0
        return max(0.0, self._sent[size - 1] + self.period_s + GUARD_S - now)
