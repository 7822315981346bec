"""When a fixed window ends, as answers tell it: to the millisecond, or rounded to whole seconds.

Rules of this file:
- resets are taken for rounded once some had no fraction, until one has; nobody says which way they are rounded;
- windows that calls open last equally long: what is told of those that we opened leaves a second for how long that
  is. Rounded up, as most are, it is what is told at least. Where it is not, whoever comes at the end is refused, and
  the end is half a second later from then on, or a whole one;
- so many seconds a window lasts, without a fraction, if that is possible at all;
- while all that is in doubt one call goes ahead, and the others wait for its answer.

Mutable; one per level. Moments are `Instant`s.
"""

import math

INFINITE = float("inf")
WHOLE_S = 1.0
"""What a reset without a fraction leaves open."""
WHOLES = 3
"""So many in a row are no chance."""
STEP_S = 0.5
"""So much later is the end when a refusal told that it was not yet: resets are rounded to the nearest…"""
RETRY_S = 0.65
"""…and who is refused once more by then knows that they are rounded down."""
FRACTION_S = 1e-6
ALONE_S = 1.5
"""Nothing was sent for so long before a window was opened: it is ours."""
SURE = 3
"""Windows that were over when they were thought to be: the next one is believed to be. Twice as many once refused."""
LEAST_UNSURE_S, LEAST_UNSURE, UNSURE_WHOLE_S, MOST_UNSURE = 0.1, 0.05, 1.5, 0.4
"""By so many seconds, and so much of a window, what is known is off at most, where resets are no whole seconds; by so
many and so much where they are."""
LONG_S = 20.0
"""Who comes so long before a rounded end disturbs nobody who is to find it."""
JITTER_S = 0.03
"""We know when a call was sent, not when it was admitted."""


class WindowEnd:
    """Starts unknown: any moment is behind the end."""

    __slots__ = (
        "_admitted", "_first", "_is_alone", "_is_by_clock", "_last", "_late_s", "_least_s", "_most_s", "_opened_at",
        "_sure_after", "_was_refused", "_wholes", "at",
        "is_found", "is_guess", "is_heard", "is_rounded", "is_tried", "longest_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.at = -INFINITE
        """As far as is known."""
        self.is_guess = False
        """No answer told of it yet."""
        self.is_heard = False
        """The window was opened by another process: its end is about right."""
        self.longest_s = 0.0
        """The longest reset that was told."""
        self.is_rounded = False
        """As far as is known, resets are whole seconds."""
        self._wholes = 0.0
        """So many resets had no fraction, and none had one."""
        self.is_tried = False
        """A call tries whether the last window is over: the others wait."""
        self.is_found = False
        """The last answer was one of a window that began unseen."""
        self._first, self._last = INFINITE, -INFINITE
        """The soonest and the latest end that this window's answers told."""
        self._opened_at: float | None = None
        """When we opened the window; None: another did, or it was open when its first answer came."""
        self._is_alone = False
        """No call shortly before can have opened it."""
        self._least_s, self._most_s = INFINITE, 0.0
        """How long such windows last, by what was told of them."""
        self._is_by_clock = False
        """It is not calls that open windows."""
        self._late_s = 0.0
        self._admitted = 0
        """So many windows in a row were opened at once, and nothing was told since that would have made it sooner."""
        self._sure_after = SURE
        self._was_refused = False

    def open(self, now: float, *, used_at: float = -INFINITE) -> None:
        """A window begins now. `used_at`: the last call's."""
        self.is_tried = self.is_rounded and self._admitted < self._sure_after
        self.at = now + (WHOLE_S if self.is_tried else self._lasts_s())
        self.is_guess, self.is_heard = True, False
        self._opened_at = now
        self._is_alone = now - used_at >= ALONE_S

    def _lasts_s(self) -> float:
        """How long windows last that calls open."""
        if not self.is_rounded or self._least_s == INFINITE:
            return self.longest_s
        most_s = self._least_s + self._late_s
        whole_s = math.floor(most_s + JITTER_S)
        return whole_s if whole_s >= self._most_s - WHOLE_S + self._late_s - JITTER_S else most_s

    def unsure_s(self, span_s: float, *, is_fixed: bool) -> float:
        """By how much the end may be off though all that was told is right. Infinite: it is a guess."""
        if is_fixed and (self.is_tried or self.is_guess):
            return INFINITE
        if is_fixed and self.is_rounded:
            return LONG_S
        whole_s = min(UNSURE_WHOLE_S, MOST_UNSURE * span_s) if self.is_rounded else 0.0
        return max(LEAST_UNSURE_S, LEAST_UNSURE * span_s, whole_s)

    def slack_s(self, reset_s: float, off_s: float) -> float:
        """How far off such a reset may be. `off_s`: what its reader knows of it."""
        if off_s:
            self.is_rounded = True
        elif self._wholes < INFINITE:
            self._wholes = self._wholes + 1 if abs(reset_s - round(reset_s)) < FRACTION_S else INFINITE
            self.is_rounded = WHOLES <= self._wholes < INFINITE
        return max(off_s, WHOLE_S) if self.is_rounded else off_s

    def is_told_by(self, end: float, tolerance_s: float) -> bool:
        """Whether that may be the end of this very window; `tolerance_s` has its slack in it."""
        if self.is_tried and self._opened_at is not None:  # it was too soon, and there was room left in the last one
            return end - self._opened_at >= self.longest_s - tolerance_s
        if self.is_rounded and not self.is_guess and self._first <= self._last:
            return self._last - tolerance_s <= end <= self._first + tolerance_s
        return abs(end - self.at) <= tolerance_s

    def tell(self, sent_at: float, reset_s: float, *, is_same: bool, is_heard: bool) -> None:
        """An answer told of the end. `is_same`: by `is_told_by`. `is_heard`: another process' answer."""
        end = sent_at + reset_s
        self.longest_s = max(self.longest_s, reset_s)
        self.is_found = not is_same and end > self.at
        is_first = self.is_guess or self.is_heard or not is_same
        if self.is_guess and not is_heard:
            self._admitted, self.is_tried = self._admitted + is_same, False
        if not is_same:
            self._opened_at = None
        if is_first:
            self._first, self._last = end, end
            self.is_guess, self.is_heard = False, is_heard
        elif not is_heard:
            self._first, self._last = min(self._first, end), max(self._last, end)
        if self.is_rounded:
            if self._opened_at is not None and self._is_alone and not is_heard:
                self._note_span(end - self._opened_at)
            self.at = self._rounded()
        elif is_first:
            self.at = end
        elif not is_heard:
            # It was admitted a little after it was sent, so the window ends a little later: who knows best says latest.
            self.at = max(self.at, end)

    def _note_span(self, lasts_s: float) -> None:
        before_s = self._lasts_s()
        self._least_s, self._most_s = min(self._least_s, lasts_s), max(self._most_s, lasts_s)
        self._is_by_clock |= self._most_s - self._least_s > WHOLE_S + STEP_S / 2
        if self._lasts_s() < before_s - JITTER_S:
            self._admitted = 0

    def _rounded(self) -> float:
        if self._is_by_clock:  # who is late loses nothing
            return self._last + max(self._late_s, STEP_S)
        if self._opened_at is None:
            return self._first + self._late_s
        latest = self._first + self._late_s
        return min(max(self._opened_at + self._lasts_s(), self._last - WHOLE_S + self._late_s), latest)

    def refuse(self, sent_at: float) -> bool:
        """A call was refused that was to open a window: the last one had not ended. Whether that is so."""
        if not (self.is_rounded and self.is_guess and self._opened_at is not None):
            return False
        self._is_by_clock = self._is_by_clock or self._late_s == WHOLE_S
        is_down = self._is_by_clock or (self._late_s > 0 and self._was_refused)
        self._late_s = WHOLE_S if is_down else max(self._late_s, STEP_S)
        self._sure_after *= 2
        self._was_refused = True
        self.at = self._first = self._last = sent_at + RETRY_S
        self._opened_at, self.is_guess, self.is_tried, self._admitted = None, False, False, 0
        return True
