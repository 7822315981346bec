"""What a scope tries of the window that it believes in: more calls than fit, since limits rise, or a shorter period.

Rules of this file: what is tried is believed once a whole window of calls in a row, each sent as soon as it might, came
through; a refusal ends it (`core/windows`). Of one window few scopes try a period, each another one.

Mutable; one per scope.
"""

from gateway.core.evidence import MOST_CALLS, Span
from gateway.core.hearsay import Hearsay, Window
from gateway.core.ids import Instant

GUARD_S, GUARD = 0.006, 0.001
"""We know when calls were sent, not when they arrived: what a window frees is used so much later."""
PROGRESS = 0.45
"""A trial counts calls that come through in so much of what it tries: turns with others keep them from all of it."""
MOST_TRIED = 2 * MOST_CALLS


class Trial:
    """Starts with nothing."""

    __slots__ = ("_given", "_hearsay", "_is_more", "_number", "_period_s", "_tight", "_took_s", "extra")

    def __init__(self, hearsay: Hearsay) -> None:
        self._hearsay = hearsay
        self.extra = 0
        """How many more than the limit are tried…"""
        self._given = 0
        """…and calls in a row of that pace…"""
        self._is_more = False
        """…one of which should not have come through, by what was believed before."""
        self._period_s: float | None = None
        self._number = 0
        """The shorter period that is tried, and which of the trials that is."""
        self._tight, self._took_s = 0, 0.0
        """Calls in a row that were sent in about that period, and what that took, in sum."""

    @property
    def is_of_period(self) -> bool:
        """A shorter one is tried."""
        return self._period_s is not None

    def period_of(self, window: Window) -> float:
        """The one that is kept."""
        return window.period_s if self._period_s is None else self._period_s

    def end(self, window: Window | None) -> None:
        """Nothing is tried any more of that window."""
        self._end_period(window)
        self.extra = 0

    def _end_period(self, window: Window | None) -> None:
        if self._period_s is not None and window is not None:
            window.end_trial(self._number)
        self._period_s = None

    def count(self, window: Window, took_s: float, now: Instant, *, is_more: bool = False) -> Window | None:
        """A call is sent, `took_s` after the one that it follows by a whole window. `is_more`: it is one more than the
        window that is believed in allows.

        What is believed in from now on; None: there are no windows so large.
        """
        size, period_s = window.limit + self.extra, self.period_of(window)
        is_tight = took_s - period_s < period_s / size
        window.count(is_tight=is_tight)
        if self._period_s is not None and not window.low_s < self._period_s < window.period_s:
            self._end_period(window)  # others have found out meanwhile
        if self._period_s is not None:
            self._try(window, self._period_s, took_s)
        elif is_tight and not self.extra:
            self._start(window, now)
        if self.extra:
            self._given = self._given + 1 if is_tight else 0
            self._is_more = is_tight and (self._is_more or is_more)
            return self._raise(window) if self._given > size and self._is_more else window
        if self._period_s is None and is_tight and window.may_ask():
            self._ask(window.asks, window.limit)
        return window

    def _start(self, window: Window, now: Instant) -> None:
        started = window.start_trial(now, self._hearsay.triers_of(window))
        if started is not None:
            self._number, self._period_s = started
            self._tight, self._took_s = 0, 0.0

    def _raise(self, window: Window) -> Window | None:
        """A whole window of more was given: believes in so many, and asks for still more."""
        limit = window.limit + self.extra
        if limit > MOST_CALLS:
            self.extra = 0
            return None
        self._ask(2 * self.extra, limit)
        return self._hearsay.window_of(Span(window.low_s, window.high_s, 1.0, limit))

    def _ask(self, extra: int, limit: int) -> None:
        self.extra, self._given, self._is_more = min(extra, MOST_TRIED - limit), 0, False

    def _try(self, window: Window, period_s: float, took_s: float) -> None:
        """One more call in the shorter period: once a whole window of them has come through it is believed."""
        took_s = (took_s - GUARD_S) / (1 + GUARD)
        if took_s > window.high_s - PROGRESS * (window.high_s - period_s):
            self._tight, self._took_s = 0, 0.0
            return
        self._tight, self._took_s = self._tight + 1, self._took_s + took_s
        if self._tight > window.limit:  # the longest that it took would count who had to wait for his turn
            window.high_s = min(window.high_s, self._took_s / self._tight)
            self._hearsay.version += 1  # it may be better now than what others believe in
            self.end(window)
