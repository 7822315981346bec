"""What a process took of a limit, and when: a sliding window gives it back a period later.

Mutable; one per level. Amounts are calls or tokens.
"""

from collections import deque
from collections.abc import Iterable

SOONEST_S = 0.0005
"""Shorter waits are none: a sleep is no more exact, and the time that is left is a rounding of floats. Who is let go so
little before a window ends counts as of the next one: else any number would go in that moment."""
SLOTS = 256
"""A period is remembered in so many slots once it has half as many takings."""

Taking = tuple[float, float]
"""When, and how much."""


class Takings:
    """Starts with none."""

    __slots__ = ("log", "total")

    def __init__(self) -> None:
        self.log: deque[Taking] = deque()
        """The oldest first."""
        self.total = 0.0

    def add(self, amount: float, now: float, period_s: float) -> None:
        log = self.log
        self.total += amount
        if len(log) >= 2 * SLOTS:
            self.total -= log.popleft()[1]
        if log and period_s and now - log[-1][0] < period_s / SLOTS and len(log) >= SLOTS / 2:
            log[-1] = (now, log[-1][1] + amount)
        else:
            log.append((now, amount))

    def take_back(self, at: float) -> float:
        """The last one of that moment was none: how much it was; 0.0 = nothing is known of it."""
        log = self.log
        for index in range(len(log) - 1, -1, -1):
            if log[index][0] <= at:
                if log[index][0] < at:
                    break
                amount = log[index][1]
                self.total -= amount
                del log[index]
                return amount
        return 0.0

    def drop_oldest(self) -> Taking:
        taking = self.log.popleft()
        self.total -= taking[1]
        return taking


def when_taken(takings: Iterable[Taking], amount: float) -> float | None:
    """When the last of the oldest takings was that are so much together. None: all are less."""
    for at, taken in takings:
        amount -= taken
        if amount <= 0:
            return at
    return None
