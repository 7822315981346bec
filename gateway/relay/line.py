"""Calls in the order in which they came, and by size: who may go before the first of them.

Rules of this file: sizes stand in classes, each twice the one before it, of which the first few are looked at: nobody
looks at a whole line.
"""

from collections import deque
from itertools import islice
from typing import Generic, Protocol, TypeVar

from gateway.core.ids import FOREVER

SCANNED = 32
"""So many calls of a class are looked at."""


class Sized(Protocol):
    """A call that waits."""

    @property
    def tokens(self) -> int:
        """What it is charged."""
        ...


Waiter = TypeVar("Waiter", bound=Sized)


class Line(Generic[Waiter]):
    """One of them."""

    __slots__ = ("_classes", "calls", "gap", "tokens")

    def __init__(self) -> None:
        self.calls: deque[Waiter] = deque()
        self.tokens = 0
        """Of all."""
        self.gap = float(FOREVER)
        """Behind the head nobody has room who is charged more; infinite until a head has looked."""
        self._classes: dict[int, deque[Waiter]] = {}
        """By the bits of what they are charged."""

    def add(self, call: Waiter, *, is_first: bool = False) -> None:
        same = self._classes.setdefault(call.tokens.bit_length(), deque())
        for calls in (self.calls, same):
            if is_first:
                calls.appendleft(call)
            else:
                calls.append(call)
        self.tokens += call.tokens

    def remove(self, call: Waiter) -> None:
        """It must be there."""
        size = call.tokens.bit_length()
        self.calls.remove(call)
        self._classes[size].remove(call)
        if not self._classes[size]:
            del self._classes[size]
        self.tokens -= call.tokens

    @property
    def least(self) -> int | None:
        """What the smallest is charged, or nearly the smallest; None: nobody is charged less than the head."""
        least = min([call.tokens for call in islice(self._classes[min(self._classes)], SCANNED)])
        return least if least < self.calls[0].tokens else None

    def largest(self, room: float) -> Waiter | None:
        """The first of the largest for whom that is enough, and who are charged less than the head: so the least is
        left over.
        """
        most = int(min(room, self.calls[0].tokens - 1))
        for size in sorted(self._classes, reverse=True):
            if size <= most.bit_length():
                fitting = [call for call in islice(self._classes[size], SCANNED) if call.tokens <= most]
                if fitting:
                    return max(fitting, key=_tokens)
        return None

    def average_with(self, tokens: int) -> int:
        """What the calls are charged on average, and one more of so many."""
        return (self.tokens + tokens) // (len(self.calls) + 1)


def _tokens(call: Sized) -> int:
    return call.tokens
