"""What a refusal tells of a limit that no header names, and what several refusals tell together.

Rules of this file: nothing is believed that would not have admitted what came through. A refusal at t is an interval,
the moments at which there may have been room again: from what it said, else from t to the next call that came through.
If N calls fit in a period, the period is that moment less the one when the N-th last call before it was sent. Only the
true N gives periods that overlap again and again; of a bucket the time between two refusals, divided by the calls that
came through meanwhile, is the same again and again.

    refusal 1:  N=1 → 0.1-1.1 s, N=2 → 0.6-1.6 s, … N=10 → 3.4-4.4 s, N=11 → 3.8-4.8 s …
    refusal 2:  N=1 → 0.5-1.5 s, N=2 → 0.7-1.7 s, … N=10 → 3.9-4.9 s, N=11 → 4.9-5.9 s …
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from operator import neg

import msgspec

INFINITE = float("inf")
MOST_CALLS = 640
"""Larger windows are not looked for: beyond it a step too soon costs little, and even steps do as well."""
SLACK_S, SLACK = 0.008, 0.004
"""Calls are now more, now less time on their way: intervals that miss each other by so much still overlap."""
OVERTAKES_S = 0.03
"""Calls sent so soon after each other may arrive in another order."""
JUST = 0.6
"""…of that: they agree no more than half."""
AGREEING = 0.75
"""Of a scope's own refusals: so many must agree on what is believed."""
THEIRS = 0.2
"""What the agreement of all others weighs, that of all own being 1."""
NEARLY_ALL, FEW_WRONG = 0.95, 0.05
"""So much of its period lies between two fillings of a window, but for so many calls of those that came through."""
ENOUGH = 3
"""Refusals in all, at least: two agree on something by chance."""
STEADY, STEADY_S = 0.005, 0.0012
"""Delays that differ by so little are the same."""
SHORTEST_PERIOD_S = 0.5
"""No limit is of a shorter time: refusals that agree on one are of a bucket."""
SHORTEST_S = 0.005
"""Shorter delays are no bucket's step."""


def is_exact(fits_in_s: float | None) -> bool:
    """Whether a delay was named, and not rounded to whole seconds."""
    return bool(fits_in_s) and fits_in_s != round(fits_in_s or 0)


class Refused:
    """One refusal. Mutable: what was under way when it came becomes known later."""

    __slots__ = ("admitted", "at", "earliest", "idle_s", "is_exact", "latest", "refused", "sent")

    def __init__(
        self, at: float, fits_in_s: float | None, sent: list[float], *, admitted: int, refused: int, idle_s: float = 0.0
    ) -> None:
        """`at`: when its call was sent. `sent`: calls that were not refused, and sent before it or so little later
        that they may have overtaken it; the last first.

        `admitted`, `refused`: how many calls were refused by then, of one burst one, and how many others were sent.
        """
        self.at = at
        self.sent = sent
        self.admitted = admitted
        self.refused = refused
        self.idle_s = idle_s
        self.earliest, self.latest = at, INFINITE
        self.is_exact = is_exact(fits_in_s)
        """It said to the millisecond when there would be room; whole seconds were rounded up, most likely."""
        if fits_in_s:
            self.earliest = at + (fits_in_s if self.is_exact else fits_in_s - 1)
            self.latest = at + fits_in_s

    def period(self, limit: int) -> tuple[float, float]:
        """What it tells of a window of so many calls."""
        sent_at = self.sent[limit - 1]
        return self.earliest - sent_at, self.latest - sent_at

    def untake(self, sent_at: float) -> None:
        """A call that was under way was refused as well."""
        if sent_at in self.sent:
            self.sent.remove(sent_at)
            self.admitted -= 1

    def last(self, until: float) -> None:
        """A call that was sent then was refused, and none had come through."""
        self.earliest, self.latest = max(self.earliest, until), max(self.latest, until)

    def note(self, sent_at: float) -> None:
        """A call of which nothing was known came through."""
        if sent_at <= self.at + OVERTAKES_S and sent_at not in self.sent:
            insort(self.sent, sent_at, key=neg)
            self.admitted += 1

    def admit(self, sent_at: float) -> None:
        """A call that was sent then came through: there was room."""
        if self.at + OVERTAKES_S < sent_at < self.latest:
            self.latest = sent_at
            self.earliest = min(self.earliest, sent_at)


class Span(msgspec.Struct, frozen=True, gc=False):
    """Seconds, and how well the refusals agree on them."""

    low_s: float
    high_s: float
    share: float = 0.0
    limit: int = 1
    is_by_clock: bool = False
    """Its windows begin whoever calls (`core/clock_windows`)."""

    @property
    def rate(self) -> float:
        """Calls a second that it may well allow."""
        return rate_between(self.limit, self.low_s, self.high_s)

    @property
    def hope(self) -> float:
        """Calls a second that it allows at the most."""
        return self.limit / self.low_s if self.low_s > 0 else 0.0


def rate_between(limit: int, low_s: float, high_s: float) -> float:
    """Calls a second of a limit whose period is about in the middle of these."""
    return limit / max((low_s + high_s) / 2, low_s)


NOTHING = Span(0.0, INFINITE)


def meet(
    low_s: float, high_s: float, told: Iterable[tuple[float, float]], least_s: float = SLACK_S
) -> tuple[float, float, float]:
    """What is left of an interval when it meets others, and with how many of them it overlaps; only just: half."""
    met = 0.0
    for low, high in told:
        apart_s, near_s = max(low - high_s, low_s - high), least_s + SLACK * low
        if apart_s <= near_s:
            met += 1.0 if apart_s <= near_s * JUST else 0.5
            low_s, high_s = max(low_s, low), min(high_s, high)
    return low_s, high_s, met


def agreement(mine: float, own: int, theirs: float, others: int) -> float:
    """How well refusals agree, up to 1.0. The scope's own go before: limits of others may differ."""
    return (mine / own + THEIRS * (theirs / others if others else 1.0)) / (1 + THEIRS)


def window_told(own: Sequence[Refused], others: Sequence[Refused], *, is_hopeful: bool = False) -> Span:
    """The window on which most refusals agree, the fastest of equals: what is too fast is found out at once, what is
    too slow never. `own`: the scope's, the newest last; `others`: of scopes whose limit may be the same.

    `is_hopeful`: the fastest by what may be, which a trial must show; else by what is likely.
    """
    newest, older = own[-1], own[-2::-1]
    found: list[Span] = []
    for index, sent_at in enumerate(newest.sent[:MOST_CALLS]):
        low, high = newest.earliest - sent_at, newest.latest - sent_at
        low, high, mine = meet(low, high, _periods(older, index))
        if mine + 1 < AGREEING * len(own):
            continue
        low, high, theirs = meet(low, high, _periods(others, index))
        if SHORTEST_PERIOD_S <= high < INFINITE and mine + theirs + 1 >= ENOUGH:
            found.append(Span(low, high, agreement(mine + 1, len(own), theirs, len(others)), index + 1))
    found.sort(key=lambda span: (-span.share, -span.hope if is_hopeful else -span.rate))
    return next((span for span in found if _admits(own, span.limit, max(span.low_s, span.high_s))), NOTHING)


def _admits(own: Sequence[Refused], limit: int, period_s: float) -> bool:
    """Whether a window, sliding or opened by its first call, admits all but few of the calls that came through."""
    sent = own[-1].sent
    most, least_s = FEW_WRONG * len(sent), period_s * NEARLY_ALL - OVERTAKES_S
    if _too_soon(sent, limit, least_s) <= most:
        return True
    firsts = [one.sent[limit - 1] for one in own if len(one.sent) >= limit]
    opened = next((first for first in firsts if first >= sent[-1]), INFINITE)
    return max(_too_soon(sent, 2 * limit, least_s), _too_many(sent, limit, opened, period_s, least_s)) <= most


def _too_soon(sent: Sequence[float], limit: int, least_s: float) -> int:
    """Calls that came through so soon after the last so many."""
    return sum([sent[index] - sent[index + limit] < least_s for index in range(len(sent) - limit)])


def _too_many(sent: Sequence[float], limit: int, opened: float, period_s: float, least_s: float) -> int:
    """Calls that came through a window, opened by its first call, that was full. `opened`: when one began."""
    wrong = count = 0
    for at in reversed(sent):
        if at < opened:
            continue
        count += 1
        if count > limit and at - opened < least_s:
            wrong += 1
        elif count > limit or at - opened >= period_s:
            opened, count = at, 1
    return wrong


def fits_window(own: Iterable[Refused], limit: int, low_s: float, high_s: float) -> bool:
    """Whether nothing that the scope met speaks against this window."""
    told = list(own)
    if not _admits(told, limit, max(low_s, high_s)):
        return False
    return meet(low_s, high_s, _periods(told, limit - 1))[2] >= len(told) - 0.5


def _periods(refusals: Iterable[Refused], index: int) -> list[tuple[float, float]]:
    return [(one.earliest - one.sent[index], one.latest - one.sent[index]) for one in refusals if index < len(one.sent)]


def steps_told(own: Sequence[Refused], saves_s: float = 0.0) -> list[tuple[float, float]]:
    """The time in which one call comes back, by the newest refusal and each before it.

    A refused call may have cost what little there was: up to one call each. Of a bucket there is room again one step
    after a refusal at the latest, whatever was said. `saves_s`: in a pause of so long it does not become full.
    """
    newest, found, paused_s = own[-1], [], 0.0
    for one, next_one in zip(own[-2::-1], own[:0:-1], strict=True):
        calls, refused = newest.admitted - one.admitted, newest.refused - one.refused
        paused_s = max(paused_s, next_one.idle_s - one.idle_s)
        lost_s = SLACK_S
        if paused_s > saves_s:  # it was empty at first, and filled before anything was lost
            lost_s += newest.idle_s - one.idle_s - max(0.0, saves_s)
        low = max(
            (newest.earliest - one.latest - lost_s) / (calls + refused),
            (newest.earliest - one.at - lost_s) / (calls + refused + 1),
        )
        high = INFINITE
        if calls > 1:
            high = (newest.at - one.earliest + SLACK_S) / (calls - 1)
        if calls:
            high = min(high, (newest.latest - one.earliest + SLACK_S) / calls)
        found.append((max(0.0, low), high))
    return found


def bucket_admits(own: Sequence[Refused], step_s: float) -> bool:
    """Whether a bucket of this step, which was empty when it refused, admits what came through since."""
    least_s = step_s * (1 - SLACK)
    for one in own[:-1]:
        came = [at for at in reversed(own[-1].sent) if at > one.at + OVERTAKES_S]
        if any(at - one.at + SLACK_S < number * least_s for number, at in enumerate(came)):
            return False
    return True


def step_told(own: Sequence[Refused], others: Iterable[tuple[float, float]], before: tuple[int, float]) -> Span:
    """The bucket's step on which most refusals agree.

    `before`: how many calls came through before the first refusal, and in what time. They tell how much it saves.
    """
    others = list(others)
    known, most, _ = meet(0.0, INFINITE, [*steps_told(own), *others], 0.0)
    known = (known + most) / 2 if most < INFINITE else known  # the low bound alone would keep itself low
    steps = steps_told(own, before[0] * known - before[1])
    low, high, mine = meet(0.0, INFINITE, steps, 0.0)
    if high == INFINITE or mine + 1 < AGREEING * len(own):  # nothing came through between its own
        return NOTHING
    low, high, theirs = meet(low, high, others, 0.0)
    waited_s = max((one.earliest - one.at) / (1 if one.is_exact else 2) for one in own)  # one refused may cost a step
    if mine + theirs + 1 < ENOUGH or waited_s > max(low, high) * (1 + SLACK) + SLACK_S:
        return NOTHING
    return Span(low, high, agreement(mine + 1, len(own), theirs, len(others)))


def steady_told(own: Sequence[Refused]) -> Span | None:
    """A bucket that refusals empty says the same each time."""
    waits = [one.earliest - one.at for one in own if one.is_exact]
    if len(waits) < 2 or waits[-1] < SHORTEST_S or not own[-1].is_exact:
        return None
    fits_in_s = waits[-1]
    alike = [wait for wait in waits if abs(wait - fits_in_s) <= STEADY * fits_in_s + STEADY_S]
    step_s = sum(alike) / len(alike)
    if len(alike) < max(2, AGREEING * len(waits)) or not bucket_admits(own, step_s):
        return None
    return Span(step_s, step_s, len(alike) / len(waits))
