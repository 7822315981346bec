"""How processes divide one limit: what each has a right to, and what it may take of what others leave.

Rules of this file:
- every process tells the others some times a second what it sent; until then nobody knows, so that two may take the
  same last call. Each therefore has a part of its own, and all parts together are the limit;
- who has callers waiting (*hungry*) may also take what the others will hardly use: what they take at most is known
  from what they took of late;
- room in a fixed window that is nobody's part, or that whose it is does not take, is too small for the calls that wait
  there: after a moment, in which they would have been heard of, it is anybody's. Who has taken the least goes first;
- neighbours divide no windows of tokens: parts of one would be too small for large calls. They take turns (`slices`).

Mutable; one per level. Amounts are calls or tokens.
"""

from collections import deque
from math import sqrt

import msgspec

from gateway.core.ids import FOREVER
from gateway.core.slices import ROOMY, Slices, next_slice, open_s
from gateway.core.takings import SLOTS, SOONEST_S, Taking

HEARD_S, HEARD_SOON_S = 0.15, 0.02
"""What another sent is known so much later, at most, while both are well: of replicas, and of neighbours."""
ROUNDING = 1e-9
HALF = 0.5
"""Less than half a call of another's is none."""


STEADY = 0.25
"""A bucket's level comes back to where processes keep it in about so much of the time in which it fills."""
BUSY = 0.02
"""Another that takes less of a call than this before we hear of it is not reckoned with: they seldom meet."""
SOON, SOON_IN_BUCKET = 1 / 32, 1 / 8
"""After so much of a window's time, or of that, others may have left more: it is worth another look."""


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A bucket now."""

    level: float
    limit: float
    rate: float
    span_s: float
    """In which it fills, or so."""


class Window(msgspec.Struct, frozen=True, gc=False):
    """A window, once the call in question was sent."""

    limit: float
    left: float
    to_come: float
    """The share of it that is still ahead; of a sliding one, in which others may take what nobody has heard of."""


class Fixed(msgspec.Struct, frozen=True, gc=False):
    """A fixed window now."""

    limit: float
    left: float
    """Once the call in question was sent."""
    opened: float
    """What this process took of it."""
    began: float
    ends_at: float
    longest_s: float
    is_of_tokens: bool


class Other:
    """Another process."""

    __slots__ = ("is_hungry", "log", "opened", "total")

    def __init__(self) -> None:
        self.is_hungry = True
        """Its callers wait for room, as far as we know."""
        self.opened = 0.0
        """Taken since the window began."""
        self.total = 0.0
        """Taken within the last period."""
        self.log: deque[Taking] = deque()
        """When it took so much."""

    def take(self, amount: float, now: float, period_s: float) -> None:
        """Less than nothing: some of what it took was refused."""
        self.opened += amount
        self.total += amount
        if self.log and now - self.log[-1][0] < period_s / SLOTS:
            self.log[-1] = (now, self.log[-1][1] + amount)
        else:
            self.log.append((now, amount))

    def expire(self, before: float) -> float:
        """Forgets what was taken until then; how much that was."""
        gone = 0.0
        while self.log and self.log[0][0] <= before:
            gone += self.log.popleft()[1]
        self.total = self.total - gone if self.log else 0.0
        return gone


class Shares:
    """Starts alone."""

    __slots__ = (
        "_met_at", "_mine", "_mine_at", "_slices", "count", "heard_s", "is_hungry", "others", "place", "silent",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = 1
        """Processes that use the limit, this one included."""
        self.heard_s = HEARD_S
        """What any of them sent is known so much later, at most."""
        self.is_hungry = False
        """Calls wait here."""
        self.place = 0
        """This one's among them: the first ones have one call more where the limit cannot be divided evenly."""
        self._mine = 0.0
        """What is left of this process' part of a bucket, at `_mine_at`."""
        self._mine_at = 0.0
        self._slices = Slices()
        self._met_at = 0.0
        """When the last of the others was heard of first."""
        self.others: dict[str, Other] = {}
        """Those that told what they take; others are taken to be hungry, and to take their part."""
        self.silent = 0
        """Processes of which nothing but their being is known."""

    def divide(self, count: int, place: int, *, is_hungry: bool, heard_s: float = HEARD_S) -> None:
        """So many processes use the limit from now on."""
        self.place, self.is_hungry, self.heard_s = place, is_hungry, heard_s
        if count != self.count:
            self.count = count
            self._count_silent()

    def _count_silent(self) -> None:
        self.silent = max(0, self.count - 1 - len(self.others))

    def hear(self, name: str, now: float, *, is_hungry: bool) -> Other:
        other = self.others.get(name)
        if other is None:
            other, self._met_at = Other(), now
            self.others[name] = other
            self._count_silent()
        other.is_hungry = is_hungry
        return other

    def leave(self, name: str) -> None:
        self.others.pop(name, None)
        self._count_silent()

    def open_window(self) -> None:
        """All begin anew."""
        for other in self.others.values():
            other.opened = 0.0

    def expire(self, before: float) -> float:
        gone = 0.0
        for other in self.others.values():
            if other.log and other.log[0][0] <= before:
                gone += other.expire(before)
        return gone

    def takings(self) -> list[Taking]:
        """What others took, the oldest first. Of replicas nobody knows exactly when: none."""
        if self.heard_s > HEARD_SOON_S:
            return []
        return sorted([taking for other in self.others.values() for taking in other.log])

    @property
    def total(self) -> float:
        return sum([other.total for other in self.others.values()])

    @property
    def opened(self) -> float:
        """What others took since the window began."""
        return sum([other.opened for other in self.others.values()])

    @property
    def known(self) -> float:
        """The share of all processes of which it is known what they take."""
        return 1 - self.silent / self.count

    @property
    def hungry(self) -> int:
        """Who wants all that it can get, this process included: whoever asks does."""
        return 1 + self.silent + sum([other.is_hungry for other in self.others.values()])

    def rate(self, whole: float, span_s: float) -> float:
        """Of the rate at which the limit frees, this process': who wants less than that leaves the rest to others."""
        satisfied, hungry = 0.0, 1 + self.silent
        for other in self.others.values():
            if other.is_hungry:
                hungry += 1
            else:
                satisfied += other.total
        return max(whole / self.count, (whole - satisfied / span_s) / hungry)

    def part(self, limit: float) -> float:
        """Of the limit, this process': all parts together are the limit."""
        whole, rest = divmod(limit, self.count)
        return whole + (self.place < rest)

    def fits_in_window(self, own: float, window: Window) -> bool:
        """Whether this process may have sent `own` in a fixed window."""
        part = self.part(window.limit)
        if own <= part:
            return True
        kept, claimed, theirs = 0.0, 0.0, (window.limit - part) / (self.count - 1)
        for other in self.others.values():
            unused = max(0.0, theirs - other.opened)
            if other.is_hungry:
                claimed += unused
            else:
                expected = min(unused, other.total * window.to_come)
                kept += other.opened + expected
                claimed += expected
        return self._may_borrow(own, kept, claimed + self.silent * theirs * window.to_come, window)

    def fits_in_slide(self, own: float, window: Window) -> bool:
        """The same of a sliding window: `own` is what this process sent within the last period."""
        part = self.part(window.limit)
        if own <= part:
            return True
        kept, claimed, theirs = 0.0, 0.0, (window.limit - part) / (self.count - 1)
        for other in self.others.values():
            unused = max(0.0, theirs - other.total)
            if other.is_hungry:
                claimed += unused
            else:
                kept += other.total
                claimed += min(unused, other.total * window.to_come)
        return self._may_borrow(own, kept, claimed + self.silent * theirs / 2, window)

    def wait_in_fixed_s(self, needed: float, fixed: Fixed, now: float) -> float:
        """Seconds until so much fits into a fixed window: its own part, or what others leave of it."""
        over_s = max(0.0, fixed.ends_at - now)
        is_over = over_s <= SOONEST_S
        if is_over:
            self.open_window()
        self.expire(now - fixed.longest_s)
        opened = 0.0 if is_over else fixed.opened
        to_come = 1.0 if is_over or not fixed.longest_s else over_s / fixed.longest_s
        if self.fits_in_window(opened + needed - ROUNDING, Window(fixed.limit, fixed.left, to_come)):
            return 0.0
        began, soon_s = fixed.ends_at if is_over else fixed.began, max(fixed.longest_s * SOON, self.heard_s / 2)
        left_over_at = self.left_over_in_fixed_at(opened, began) if fixed.is_of_tokens else FOREVER
        return max(0.0, min(left_over_at - now, soon_s if is_over else min(over_s, soon_s)))

    @property
    def take_turns(self) -> bool:
        """All of them are neighbours that tell what they take."""
        return self.heard_s <= HEARD_SOON_S and not self.silent

    def note(self, amount: float, left: float, limit: float, now: float) -> None:
        """So much of a window is sent now; `left`: after that."""
        self._slices.take(amount, now, is_roomy=left >= ROOMY * limit)

    def turn_at(self, needed: float, window: Window, window_s: float, at: float) -> float:
        """When this process may take so much of a window of tokens that neighbours use, and that is there then."""
        unheard = self._slices.unheard(at, self.heard_s)
        each = (window.left + needed + unheard) / self.count
        if window.left >= ROOMY * window.limit and unheard + needed <= each:
            return at
        lasts_s = open_s(window_s)
        every_s = self.heard_s + lasts_s
        settled_at = max(at, self._slices.settled_at(self.heard_s))
        return next_slice(settled_at, self.place * every_s, self.count * every_s, lasts_s)

    def left_over_in_fixed_at(self, own: float, began: float) -> float:
        """When what a fixed window has left is anybody's, if nobody takes it until then. `own`: taken here so far.

        All of it came at once, so that hardly anybody is met who takes of it late.
        """
        ahead = sum([other.is_hungry and other.opened <= own for other in self.others.values()])
        return max(began, self._met_at) + self._patience_s(ahead)

    def _patience_s(self, ahead: int) -> float:
        """In which those `ahead`, who have taken less and whose callers wait, would take room and be heard.

        Nobody knows to the moment when room came, and who looks may plan by old news: so each has a time of its own.
        """
        return float("inf") if self.silent else self.heard_s * (1 + ahead * self.count + self.place)

    def _may_borrow(self, own: float, kept: float, claimed: float, window: Window) -> bool:
        """Beyond its part. Who has no callers waiting leaves the last one: another process may take it just now."""
        least = claimed - HALF if self.is_hungry else max(claimed, 1.0)
        return own <= self._fair(window.limit - kept) and window.left >= least

    def _fair(self, whole: float) -> float:
        """This process' part of what those who are hungry may share."""
        each, rest = divmod(whole, self.hungry)
        return each + (self.place % self.hungry < rest)

    # -- of a bucket ---------------------------------------------------------------------------------------------

    def take(self, amount: float, fill: Fill, now: float) -> None:
        """So much is sent now."""
        self.expire(now - fill.span_s)
        growth = self._growth(fill, self._kept(amount, fill), self._steady_s(fill))
        grown = self._grown(amount, growth, fill, now)
        self._mine, self._mine_at = max(grown - amount, -amount), now

    def wait_in_bucket_s(self, needed: float, fill: Fill, now: float) -> float:
        """Seconds until so much fits: into what all keep for each other, or into this process' part."""
        self.expire(now - fill.span_s)
        left, kept = fill.level - needed + ROUNDING, self._kept(needed, fill)
        if left >= kept:
            return 0.0
        steady_s = self._steady_s(fill)
        growth = self._growth(fill, kept, steady_s)
        mine = self._grown(needed, growth, fill, now) - needed + ROUNDING
        if (left >= 0 and mine >= 0) or not fill.rate:
            return 0.0
        # The level rises meanwhile, and the faster the part grows: nobody has to look before this comes to enough.
        gain = fill.rate / steady_s
        slope, missing = growth + gain * max(0.0, now - self._mine_at), max(0.0, -mine)
        grows_s = (sqrt(slope * slope + 4 * gain * missing) - slope) / (2 * gain)
        return max(-left / fill.rate, min(grows_s, (kept - left) / fill.rate, fill.span_s * SOON_IN_BUCKET))

    def _kept(self, unit: float, fill: Fill) -> float:
        """Where processes keep the level: so much is taken at once at most, before they hear of each other."""
        least = BUSY * unit * fill.span_s / self.heard_s
        busy = self.silent
        for other in self.others.values():
            busy += other.is_hungry or other.total > least
        return min(unit * (1 + busy), fill.limit / 2) if busy else 0.0

    def _grown(self, unit: float, growth: float, fill: Fill, now: float) -> float:
        grown = self._mine + growth * max(0.0, now - self._mine_at)
        return min(max(fill.level / self.count, unit), grown)

    def _growth(self, fill: Fill, kept: float, steady_s: float) -> float:
        """How fast this process' part grows: more while the level is above where it is to be, less below."""
        return max(0.0, self.rate(fill.rate, fill.span_s) + (fill.level - kept) / steady_s)

    def _steady_s(self, fill: Fill) -> float:
        return self.count * fill.span_s * STEADY
