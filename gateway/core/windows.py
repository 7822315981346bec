"""A limit that no header names, as one scope believes in it: a window of N calls a period, or a bucket's step.

Rules of this file: what is believed follows from refusals (`core/evidence`), the scope's own before all, and those that
others tell of (`core/hearsay`). A window that is believed in is kept as a sliding one, whatever it is: that is admitted
by both. Where its period is known between bounds alone a shorter one is tried; now and then one call more is, since
limits rise. What a refusal means is seen a little later, when it is known what came of the calls sent with it.
"""

from collections import deque
from itertools import takewhile

import msgspec

from gateway.core.clock_windows import clock_told, fits_clock, period_around
from gateway.core.evidence import (
    ENOUGH,
    INFINITE,
    NOTHING,
    OVERTAKES_S,
    SLACK_S,
    Refused,
    Span,
    bucket_admits,
    fits_window,
    meet,
    steady_told,
    step_told,
    steps_told,
    window_told,
)
from gateway.core.hearsay import Hearsay, Window
from gateway.core.ids import Instant
from gateway.core.trials import GUARD, GUARD_S, MOST_TRIED, Trial
from gateway.core.uses import Belief

REMEMBERED, SURELY_KEPT, KEPT_S = MOST_TRIED + 32, 288, 180.0
"""Calls; beyond so many those of so long alone: that many scopes take little memory."""
KEPT = 6
"""A scope's own last refusals that have a say."""
LATE_S, LATE = 0.04, 0.01
"""A call that is refused so little before its window would have room was not sent too soon: it was fast."""
VAGUE_STEP, SLIVER = 1.1, 1.015
"""A bucket's step that is known no better says less than a window that is as likely, and faster; unless refusals that
tell little agree on that but by a sliver, as they do by chance."""
BETTER = 1.03
"""Another window must allow so much more to be preferred to one that holds."""
SETTLES_S, LONGEST_S = 0.05, 0.25
"""So long after a refusal, or as long as it took, nothing is sent: then it is known what came of the calls before."""
SPREAD = 4.0
"""Where delays are not told exactly no window's calls go all at once, but in a fourth of it: it may begin later."""
IDLE, GAPS = 4.0, 10
"""So many times the usual time between two calls is a pause; it is that of about so many."""
FEWEST_KEPT, KEPT_UP, TELLING = 15, 5, 0.99
"""A bucket's pace was kept up by so many calls: that is seen at each fifth, and told where it is news."""
MOST_CARE, KNOWN_WELL, SAME, RISEN = 4.0, 1.05, 0.02, 0.97
"""A step whose bounds are so near is well known; the same, if it differs by no more; another, if so much shorter."""
SCOUTS = 40.0
"""A scope that goes ahead of others does so for so many calls' time at most."""


class Windows:
    """Starts unknown."""

    __slots__ = (
        "__weakref__", "_admitted", "_before", "_came", "_came_at", "_gap_s", "_heard", "_hearsay",
        "_idle_s", "_judges_at", "_lost", "_mine", "_own", "_refused", "_scouts_until", "_sent", "_step",
        "_steps_heard", "_trial", "_window", "care", "haste", "settles_s", "told",
    )  # fmt: skip

    def __init__(self, hearsay: Hearsay | None = None) -> None:
        self._hearsay = hearsay or Hearsay()
        self._heard = 0
        self._sent: deque[float] = deque(maxlen=REMEMBERED)
        """When calls were sent that were not refused; the last first."""
        self._mine: deque[float] = deque(maxlen=REMEMBERED)
        """Of these, this process'."""
        self._own: deque[Refused] = deque(maxlen=KEPT)
        self._admitted = self._refused = 0
        self._before = (0, 0.0)
        """Calls that came through before the first refusal, and in how many seconds."""
        self._gap_s = self._idle_s = 0.0
        """The usual time between two calls, and the sum of those in which a bucket may have become full."""
        self._window: Window | None = None
        self._step = NOTHING
        self._steps_heard = 0
        """How many steps others had told of when they were last weighed."""
        self._came, self._came_at = 0, 0.0
        """Calls sent since the last refusal that came through, and when the last of them was sent."""
        self.haste, self._scouts_until = 1, 0.0
        """So many times faster than others it goes from what is sure to what may be; and until when."""
        self.care = 1.0
        """So many times slower it goes on beyond what a bucket may give back: refusals told nothing new of its step."""
        self._judges_at = INFINITE
        """When it is seen what the last refusal means."""
        self._lost = 0
        """Calls that were refused since a refusal was last judged."""
        self._trial = Trial(self._hearsay)
        self.settles_s = SETTLES_S
        self.told: Belief | None = None
        """What another process believes, which holds here, too."""

    @property
    def limit(self) -> int:
        """Calls in a period; 0: no window is believed in."""
        return self._window.limit if self._window is not None else 0

    @property
    def period_s(self) -> float:
        if self._window is None:
            return 0.0
        return self._trial.period_of(self._window)

    @property
    def is_young(self) -> bool:
        """It was refused not often enough to know much."""
        return len(self._own) < KEPT

    @property
    def was_refused(self) -> bool:
        """What is believed follows from that."""
        return bool(self._own)

    def forget_refusals(self) -> None:
        self._own.clear()
        self._trial.end(self._window)
        self._window, self._step = None, NOTHING
        self._judges_at = INFINITE
        self._hearsay.take_back(self)

    @property
    def size(self) -> int:
        """Calls that are sent in a period; 0: any number. No more than fit surely once one was refused."""
        if self.told is not None:
            return self.told.limit
        limit = 0 if self._window is None else self._window.limit
        return limit + self._trial.extra if self._judges_at == INFINITE else limit

    @property
    def kept_s(self) -> float:
        """That period."""
        return self.period_s if self.told is None else self.told.period_s

    def adopt(self, belief: Belief) -> None:
        """Goes on from what another process found."""
        self._trial.end(self._window)
        self._window, self._step = None, NOTHING
        if belief.limit:
            self._window = self._hearsay.window_of(Span(belief.period_s, belief.period_s, 1.0, belief.limit))
            self._heard = self._hearsay.version
        elif belief.is_bucket:
            self._step = Span(1 / belief.rate, 1 / belief.rate, 1.0)

    @property
    def bucket_s(self) -> float:
        """The time in which one call surely comes back; 0.0: no bucket is believed in."""
        return 0.0 if self._step is NOTHING else max(self._step.low_s, self._step.high_s)

    @property
    def shortest_bucket_s(self) -> float:
        """The time in which it may come back."""
        return self._step.low_s

    # -- calls ---------------------------------------------------------------------------------------------------

    def take(self, now: Instant, *, is_mine: bool = True) -> None:
        if now >= self._judges_at:
            self._judge()
        if self.told is None and self._heard != self._hearsay.version and self._own:
            self._join()
        if self.told is None and self._window is not None and self._judges_at == INFINITE:
            self._count(self._window, now)
        if self.told is None and self._step is not NOTHING:
            self._follow(now)
        self._note_gap(now)
        self._sent.appendleft(now)
        if is_mine:
            self._mine.appendleft(now)
        self._admitted += 1
        while len(self._sent) > SURELY_KEPT and self._sent[-1] < now - KEPT_S:
            self._sent.pop()

    def _note_gap(self, now: Instant) -> None:
        gap_s = now - self._sent[0] if self._sent else 0.0
        if self._gap_s and gap_s > IDLE * self._gap_s:
            self._idle_s += gap_s
            gap_s = IDLE * self._gap_s
        self._gap_s += (gap_s - self._gap_s) / GAPS if self._gap_s else gap_s

    def _count(self, window: Window, now: Instant) -> None:
        size = window.limit + self._trial.extra
        took_s = now - self._sent[size - 1] if len(self._sent) >= size else INFINITE
        is_more = size > window.limit <= len(self._sent) and now - self._sent[window.limit - 1] < window.period_s
        believed = self._trial.count(window, took_s, now, is_more=is_more)
        if believed is not window:
            self._window = believed  # None: even steps go on

    def admit(self, sent_at: Instant) -> None:
        """A call that was sent then came through."""
        if self._own:
            last = self._own[-1]
            last.admit(sent_at)
            if sent_at > last.at:
                self._came += 1
                self._came_at = max(self._came_at, sent_at)
                if self._step is not NOTHING and self._came >= FEWEST_KEPT and self._came % KEPT_UP == 0:
                    self._keep_up(last)

    def _keep_up(self, last: Refused) -> None:
        """The bucket gave back all calls but one since the last refusal."""
        told = (0.0, (self._came_at - last.earliest + SLACK_S) / (self._came - 1))
        if told[1] < self._step.low_s * RISEN:
            self.care = 1.0
        if told[1] < self._step.low_s * TELLING:  # earlier refusals misled: they were no bucket's
            self._own = deque([last], maxlen=KEPT)
        if told[1] < self._step.high_s * TELLING:
            self._step = msgspec.structs.replace(self._step, low_s=min(self._step.low_s, told[1]), high_s=told[1])
            self._hearsay.tell_step(self, told)

    def _follow(self, now: Instant) -> None:
        """Others may have found out more of a bucket's step; or it is this one's turn to find out."""
        hearsay, lasts_s = self._hearsay, SCOUTS * self.bucket_s
        if now >= self._scouts_until:
            self.haste = 1
            if hearsay.scout(self, now, lasts_s):
                self.haste, self._scouts_until = hearsay.haste, now + lasts_s
        if self._steps_heard == hearsay.told:
            return
        told = hearsay.steps_after(self._steps_heard, self)
        self._steps_heard = hearsay.told
        low_s, high_s, met = meet(self._step.low_s, self._step.high_s, told, 0.0)
        if met:
            self._step = msgspec.structs.replace(self._step, low_s=low_s, high_s=high_s)

    def hear(self, sent_at: Instant) -> None:
        """Another process sent a call then, perhaps before what was sent here last."""
        if self._sent and sent_at < self._sent[0]:
            self.note(sent_at)
            return
        self.take(sent_at, is_mine=False)
        for told in self._own:
            told.note(sent_at)

    def note(self, sent_at: Instant) -> None:
        """A call that was sent before anything was noted here came through."""
        self._admitted += 1
        newest_first = sorted([*self._sent, sent_at], reverse=True)
        self._sent = deque(newest_first[:REMEMBERED], maxlen=REMEMBERED)  # a deque would keep the last, the oldest
        for told in self._own:
            told.note(sent_at)

    def untake(self, sent_at: Instant) -> None:
        """The call that was sent then was refused."""
        self._lost += 1
        if sent_at in self._sent:
            self._sent.remove(sent_at)
            self._admitted -= 1
        if sent_at in self._mine:
            self._mine.remove(sent_at)
        if self._own:
            self._own[-1].untake(sent_at)

    # -- refusals ------------------------------------------------------------------------------------------------

    def refuse(self, now: Instant, sent_at: Instant, fits_in_s: float | None) -> None:
        """A call that was sent then was refused, and may come again `fits_in_s` later; None: nobody said."""
        sent = [sent for sent in self._sent if sent <= sent_at + OVERTAKES_S]
        if not self._own:
            self._before = (len(sent), sent_at - sent[-1] if sent else 0.0)
        admitted = self._admitted - (len(self._sent) - len(sent))
        told = Refused(
            sent_at, fits_in_s, sent[:REMEMBERED], admitted=admitted, refused=self._refused, idle_s=self._idle_s
        )
        if self._own and self._own[-1].admitted == admitted:
            self._own[-1].last(sent_at)
        self._refused += 1
        self._came, self._came_at = 0, sent_at
        self._end_scouting()
        self._own.append(told)
        self._hearsay.tell(self, told)
        self._judges_at = now + min(max(self.settles_s, now - sent_at), LONGEST_S)

    def _judge(self) -> None:
        self._judges_at = INFINITE
        if self.told is not None:
            return
        own, others = list(self._own), self._hearsay.refusals(self)
        found = window_told(own, others)
        if not self._is_expected(own[-1]) or self._is_better(found.rate):
            self._trial.end(self._window)
            by_clock = clock_told(own, others)
            self._believe(by_clock if by_clock.share > found.share else found)
        elif self._trial.extra:
            self._explore(window_told(own, others, is_hopeful=True))
        self._trial.end(self._window)
        self._lost = 0

    def _is_better(self, rate: float) -> bool:
        return self._window is not None and rate > self._window.rate * BETTER

    def _explore(self, found: Span) -> None:
        """More than the window allows was refused. Perhaps it is another one, which allows more: trials will show."""
        if found.share and self._is_better(found.hope):
            self._window = self._hearsay.window_of(found)
            self._heard = self._hearsay.version

    def _is_expected(self, told: Refused) -> bool:
        """The window that is believed in explains it: more was tried, or a call was a little longer on its way."""
        window = self._window
        if window is None or len(told.sent) < window.limit:
            return False
        if self._trial.extra:
            window.asked_too_much()
        elif told.at - told.sent[window.limit - 1] < window.low_s * (1 - LATE) - LATE_S:
            return True  # it was full: another process took the last call at the same moment
        low_s, high_s = told.period(window.limit)
        if window.is_by_clock:
            high_s = period_around(told, window.limit)[1]
        if low_s > window.period_s + LATE_S + LATE * low_s or high_s < window.low_s - SLACK_S:
            return False
        if self._trial.extra:
            return True
        if self._trial.is_of_period:
            window.low_s = max(window.low_s, min(low_s, window.high_s))
            return True
        is_vague = not told.is_exact and self._was_filled(window.limit)
        return window.slip(low_s, self._lost, is_vague=is_vague)

    def _was_filled(self, limit: int) -> bool:
        """So many calls came through between the last two refusals: other limits refuse sooner."""
        return len(self._own) < ENOUGH or self._own[-1].admitted - self._own[-2].admitted >= limit

    def _believe(self, found: Span) -> None:
        hearsay, own = self._hearsay, list(self._own)
        step = step_told(own, hearsay.steps(self), self._before)
        for told in steps_told(own[-2:], self._before[0] * step.low_s - self._before[1]):
            if told[1] < INFINITE or (told[0] > 0.0 and own[-1].is_exact):
                hearsay.tell_step(self, told)
        is_doubtful = found.share > 0 and (_is_likelier(found, step) or not bucket_admits(own, step.low_s))
        before_s, self._window, self._step = self.bucket_s, None, NOTHING
        steady = steady_told(own)
        if steady is not None and (found.share < steady.share or not found.share):
            self._step = steady
        elif step.share and step.share >= found.share and not is_doubtful:
            self._step = step
        elif found.share:
            self._window, self._heard = hearsay.window_of(found), hearsay.version
        else:
            self._join()
        is_known = self._step.high_s <= self._step.low_s * KNOWN_WELL
        is_same = is_known and abs(self.bucket_s - before_s) <= SAME * before_s
        self.care = min(2 * self.care, MOST_CARE) if is_same else 1.0

    def _join(self) -> None:
        """Believes in what others found, where that is more and nothing speaks against it."""
        self._heard = self._hearsay.version
        for window in self._hearsay.windows:
            is_better = self._window is None or window.rate > self._window.rate * BETTER
            fits = fits_clock if window.is_by_clock else fits_window
            if is_better and fits(self._own, window.limit, window.low_s, window.high_s):
                self._trial.end(self._window)
                self._window, self._step = window, NOTHING

    def _end_scouting(self) -> None:
        if self.haste > 1:
            self._hearsay.return_scout(self)
            self.haste, self._scouts_until = 1, 0.0

    def sent_here(self, now: Instant) -> int:
        """By this process, within the last period."""
        since = now - self.kept_s
        return sum(1 for _ in takewhile(lambda at: at > since, self._mine))

    def room_at(self, calls: int, now: Instant) -> float:
        """When so many more calls fit into the window."""
        if self._judges_at != INFINITE:
            if now < self._judges_at:
                return self._judges_at
            self._judge()
        return self.fits_at(calls, now)

    def fits_at(self, calls: int, now: Instant) -> float:
        """The same by what is believed now, whatever the last refusal meant."""
        size, sent = self.size, self._sent
        if not size:
            return -INFINITE
        if calls > size:
            return INFINITE
        if len(sent) < size - calls + 1:
            return -INFINITE
        first_at, period_s = sent[size - calls], self.kept_s
        room_at = first_at + period_s * (1 + GUARD) + GUARD_S
        if self._own and not self._own[-1].is_exact and now - first_at < 2 * period_s:
            room_at = max(room_at, sent[0] + period_s / (SPREAD * size))
        return room_at


def _is_likelier(window: Span, step: Span) -> bool:
    """Refusals agree on both."""
    is_vague = step.high_s > VAGUE_STEP * step.low_s and window.high_s > SLIVER * window.low_s
    return is_vague and not window.is_by_clock and window.share >= step.share and window.rate > step.rate
