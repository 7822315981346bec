"""In which way a limit frees again: what stays true from one answer to the next tells it.

Rules of this file: a bucket has one rate (used ÷ reset), a fixed window one end (now + reset), a sliding window one
period: its reset after a success, or, where that is the oldest call's, with the time since that (`core/oldest`). Each
answer that fits some of them and not the others counts against the others. In doubt it is a bucket, and a sliding
window sooner than a fixed one: who sends what went a period ago loses an answer's time where all was free.

Mutable; one per level. Moments are `Instant`s.
"""

from gateway.core.alike import Alike, Believer, weigh
from gateway.core.freeing import BUCKET, FIXED, KINDS, SLIDING
from gateway.core.oldest import Oldest, Told
from gateway.core.window_end import WindowEnd

SHORTEST_RESET_S = 0.02
"""Resets are rounded to milliseconds: shorter ones tell no pace."""
RESET_SLACK = 0.005
"""Resets are exact but for half a percent."""
TOLERANCE_S = 0.05
TOLERANCE = 0.02
"""Ends and resets within 0.05 s and a fiftieth of the reset are the same."""
INFINITE = float("inf")
OLDEST = len(KINDS)
"""A sliding window too: its place among what answers speak against."""
SETTLED, LOOKS = 6, 16
"""Once it is so clear whether the reset is the oldest call's, it is looked at so many times in a window."""
MOST_SHARERS = 2
"""Of what more processes take, too little is known in time to tell whose call is the oldest."""
APART = 10.0
"""So much more its own answers speak against what those believe that are alike than against another: it is not."""
FEW_WINDOWS = 2
"""In so many a sliding window shows that it is none that is emptied at once."""


class Way:
    """Starts unknown, or with what is known of those that are alike."""

    __slots__ = (
        "_alike", "_full_s", "_high", "_is_by_oldest", "_judged_at", "_looks_at", "_low", "_misses",
        "_most_sharers", "_oldest", "_sharers", "kind", "may_slide", "window",
    )  # fmt: skip

    def __init__(
        self, alike: Alike | None = None, believer: Believer | None = None, *, is_of_tokens: bool = True
    ) -> None:
        """`believer`: looks again when others that are alike find out something."""
        self._alike = alike or Alike()
        if believer is not None:
            self._alike.believers.add(believer)
        self.kind = BUCKET
        self.window = WindowEnd()
        self.may_slide = True
        """What is taken should be remembered."""
        self._low, self._high = 0.0, INFINITE
        """Bounds of a bucket's rate."""
        self._misses = [0.0] * len(self._alike.misses)
        """Of its own answers, as `Alike` has them of all."""
        self._full_s = 0.0
        """A sliding window's period, if its reset is the newest call's."""
        self._oldest = Oldest(self._alike.period)
        self._is_by_oldest = False
        """The kind is sliding, and the reset the oldest call's."""
        self._judged_at = INFINITE
        """For the first time."""
        self._looks_at = -INFINITE
        self._sharers = 1
        self._most_sharers = 1 if is_of_tokens else MOST_SHARERS
        """With more nothing is guessed. What others are charged for their tokens is guessed as well."""

    @property
    def period_s(self) -> float:
        """A sliding window's; 0.0 = unknown."""
        return self._oldest.period_s if self._is_by_oldest else self._full_s

    @property
    def bucket_rate(self) -> float:
        """As headers tell; 0.0 = unknown."""
        return 0.0 if self._high == INFINITE else max(self._low, self._high / 2)

    @property
    def clarity(self) -> float:
        """So much more answers speak against any other way than against the one that is believed in."""
        believed, misses = OLDEST if self._is_by_oldest else self.kind, self._alike.misses
        return min([miss for place, miss in enumerate(misses) if place != believed]) - misses[believed]

    def take(self, amount: float, at: float) -> None:
        """So much was sent then, by whichever process. Less than nothing: some of it was refused."""
        self._oldest.take(amount, at)

    def refuse(self, sent_at: float) -> None:
        """The call that was sent then was not admitted."""
        self._oldest.untake(sent_at)
        if self._is_by_oldest:
            self._oldest.period.doubt()

    def judge(self, told: Told) -> None:
        """Which ways this answer fits."""
        window, at, reset_s = self.window, told.at, told.reset_s
        self._judged_at = min(self._judged_at, at)
        whole_s = window.slack_s(reset_s, told.off_s)
        tolerance_s = TOLERANCE_S + TOLERANCE * reset_s + told.late_s
        is_same_end = window.is_told_by(at + reset_s, tolerance_s + whole_s)
        is_oldest = self._fits_oldest(told, tolerance_s, whole_s)
        is_end = window.is_heard or is_same_end or self._is_next_end(at, reset_s, tolerance_s + whole_s)
        is_rate = self._fits_rate(told.used * told.factor, reset_s, 0.001 + reset_s * RESET_SLACK + whole_s)
        is_full = self._fits_full(told, tolerance_s)
        window.tell(at, reset_s, is_same=is_same_end, is_heard=told.late_s > 0)
        self._believe((is_rate, is_full, is_end) if is_oldest is None else (is_rate, is_full, is_end, is_oldest), told)

    def _fits_rate(self, used: float, reset_s: float, slack_s: float) -> bool:
        """Whether a bucket may have the rate that others told."""
        low, high = (used - 1) / (reset_s + slack_s), used / max(reset_s - slack_s, SHORTEST_RESET_S / 2)
        if low > self._high or high < self._low:
            self._low, self._high = low, high
            return False
        self._low, self._high = max(low, self._low), min(high, self._high)
        return True

    def _fits_full(self, told: Told, tolerance_s: float) -> bool:
        """Whether a sliding window whose reset is the newest call's may have the period that others told."""
        reset_s, full_s = told.reset_s, self._full_s
        is_fit = not told.is_success or not full_s or abs(reset_s - full_s) <= tolerance_s + told.off_s
        if not is_fit or not full_s:
            self._full_s = reset_s
        elif told.is_success and self.kind is SLIDING and reset_s > full_s:
            self._full_s = reset_s  # a refusal's, where that came first, is shorter
        return is_fit

    def _fits_oldest(self, told: Told, tolerance_s: float, whole_s: float) -> bool | None:
        """None: it cannot be said, or need not."""
        if told.sharers > MOST_SHARERS:
            return None
        if told.late_s:
            return False if self._oldest.holds_more(told, tolerance_s + whole_s) else None
        bucket, sliding, fixed, oldest = self._alike.misses
        if abs(oldest - min(bucket, sliding, fixed)) >= SETTLED:  # each look walks over all that is used
            if told.at < self._looks_at:
                return None
            self._looks_at = told.at + self.window.longest_s / LOOKS
        return self._oldest.fits(told, tolerance_s, whole_s)

    def _is_next_end(self, at: float, reset_s: float, tolerance_s: float) -> bool:
        """The last window was over then, and the next one's end lies at least a window after that one's."""
        ended_at, least_s = self.window.at, (1 - TOLERANCE) * self.window.longest_s
        return at >= ended_at - tolerance_s and at + reset_s >= ended_at + least_s - tolerance_s

    def _believe(self, fits: tuple[bool, ...], told: Told) -> None:
        """In that which answers speak least against. The last of `fits` is left out where it is unknown."""
        own, all_of_them = self._misses, self._alike.misses
        weigh(own, fits)
        self._alike.weigh(fits, told.at)
        if own[all_of_them.index(min(all_of_them))] >= min(own) + APART:
            self._part()
        self._sharers = told.sharers
        self.decide(told.at)

    def decide(self, at: float) -> None:
        """In which way it frees, as far as was known then."""
        bucket, sliding, fixed, oldest = self._alike.misses
        self.may_slide = sliding <= bucket + 1 or oldest <= bucket + 1
        if not self.may_slide:
            self._oldest.forget_calls()
        least = min(bucket, sliding, fixed)
        self.kind = BUCKET if bucket == least else SLIDING if sliding == least else FIXED
        is_oldest = oldest < least or (oldest == least and self._gives_way(at))
        self._is_by_oldest = is_oldest and self._oldest.period_s > 0
        if self._is_by_oldest:
            self.kind = SLIDING

    def _part(self) -> None:
        """It is not alike."""
        self._alike = Alike()
        self._alike.misses = list(self._misses)
        self._oldest.period = self._alike.period

    def _gives_way(self, at: float) -> bool:
        """A fixed window that may be a sliding one is taken for that at first. Rounded ends are tried by one call."""
        is_new = at < self._judged_at + FEW_WINDOWS * self.window.longest_s
        return self.kind is FIXED and is_new and self._sharers <= self._most_sharers and not self.window.is_rounded
