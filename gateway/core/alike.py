"""What limits that are alike tell each other of how they free: those of one provider, model and dimension.

Rules of this file: how a limit frees is the upstream's doing, whatever its size, so what one account's answers speak
against they speak against for all. One alone needs a window's refusals to find out, and eight who begin together would
each need them.
"""

from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from gateway.core.freeing import KINDS
from gateway.core.period import Period

MOST_MISSES = 16.0


class Believer(Protocol):
    """A limit that frees alike."""

    def look_again(self, at: float) -> None:
        """Something else is likeliest now, by an answer to a call that was sent then."""
        ...


class Alike:
    """Starts unknown. Mutable; one for all levels that are alike."""

    __slots__ = ("believers", "misses", "period")

    def __init__(self) -> None:
        self.misses = [0.0] * (len(KINDS) + 1)
        """Of each kind, and of a sliding window whose reset is its oldest call's."""
        self.period = Period()
        """Of such a window."""
        self.believers: WeakSet[Believer] = WeakSet()
        """Who is told when something else is likeliest."""

    def weigh(self, fits: tuple[bool, ...], at: float) -> None:
        """What the answer fits to a call that was sent then."""
        before = [not miss for miss in self.misses]
        weigh(self.misses, fits)
        if before != [not miss for miss in self.misses]:
            for believer in list(self.believers):
                believer.look_again(at)


AlikeOf = Callable[[], Alike]


def weigh(misses: list[float], fits: tuple[bool, ...]) -> None:
    """Answers speak against what they do not fit, if there is something that they fit.

    How much more than against another counts: what one answer cannot tell apart it leaves as far apart as before.
    """
    if False in fits and True in fits:
        for index, is_fit in enumerate(fits):
            if not is_fit:
                misses[index] += 1
        least = min(misses)
        if least or max(misses) > MOST_MISSES:
            misses[:] = [min(miss - least, MOST_MISSES) for miss in misses]
