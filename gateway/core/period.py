"""How long a sliding window holds a call, if its `reset` is that of its oldest one.

Mutable; one for all limits that are alike (`core/alike`).
"""

import math

EACH = 8
"""An answer has so small a part in what is believed."""
WHOLE_S = 1.0
"""What a reset leaves open that has no fraction. Periods are whole seconds then; one more, where it is rounded down."""
JITTER_S = 0.03
MOST_DOUBTS = 2
"""More of them, and it is another period."""
MOST_SLIPS = 2.0
"""So many are chance: calls are now more, now less time on their way."""


class Period:
    """Starts unknown."""

    __slots__ = ("_doubts", "_late_s", "_most_s", "_other_s", "_slips", "told_s")

    def __init__(self) -> None:
        self.told_s = 0.0
        self._most_s = 0.0
        """Of resets in whole seconds: the longest period that was told, and `told_s` is the shortest."""
        self._late_s = 0.0
        self._doubts = 0
        """Answers that told another period, less those that told this one."""
        self._other_s = 0.0
        """The one that was told last."""
        self._slips = 0.0
        """Calls that were refused of late."""

    @property
    def value_s(self) -> float:
        """0.0 = unknown."""
        if not self._most_s:
            return self.told_s
        return math.ceil(self._most_s - WHOLE_S - JITTER_S) + self._late_s

    def fits(self, low_s: float, high_s: float, off_s: float, *, is_whole: bool, is_news: bool = True) -> bool:
        """Whether an answer that tells of a period between those tells of this one. `is_news`: not of the same call."""
        if not low_s - off_s <= self.told_s <= high_s + off_s:
            if is_news:
                self._doubt(low_s, high_s, off_s, is_whole=is_whole)
            return False
        if self._doubts:
            self._doubts -= 1
        if self._slips:
            self._slips = max(0.0, self._slips - 1 / EACH)
        return True

    def learn(self, period_s: float, *, is_whole: bool) -> None:
        """An answer tells of it that fits."""
        if is_whole:
            self._most_s = max(self._most_s, self.told_s, period_s)
            self.told_s = min(self.told_s, period_s)
        else:
            self._most_s = 0.0
            self.told_s += (period_s - self.told_s) / EACH

    def _doubt(self, low_s: float, high_s: float, off_s: float, *, is_whole: bool) -> None:
        """Another period was told. What nobody told of makes it another one each time."""
        self._doubts += 1
        if not low_s - off_s <= self._other_s <= high_s + off_s:
            self._other_s, self._doubts = high_s, 1
        if self._doubts > MOST_DOUBTS:
            self.told_s = min(max(self.told_s, low_s), high_s)
            self._most_s, self._late_s, self._doubts = self.told_s if is_whole else 0.0, 0.0, 0

    def doubt(self) -> None:
        """A call was refused that should have fitted. Many: resets are whole seconds, and not rounded up."""
        self._slips += 1
        if self._slips > MOST_SLIPS and self._most_s:
            self._late_s = WHOLE_S
