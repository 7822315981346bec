"""When neighbours take what is nearly used up: each in a time of its own, which the clock that they share gives them.

Rules of this file:
- of what another takes nobody hears at once, so that two may take the same. Who takes in its own time alone, and leaves
  the rest of that time to be heard, meets nobody;
- while much of a window is left each may take its part of that at any moment. What it took so is heard first before
  it takes of the last half: others may have done the same.

Mutable; one per level. Amounts are tokens.
"""

from collections import deque

from gateway.core.takings import Taking

OPEN_S, LONGEST_OPEN_S, OPEN = 0.008, 0.04, 1 / 400
"""Of the time until all have heard of a call this long is open for calls, and more where a window lasts long."""
ROOMY = 0.5
"""Of a window: with more of it left nobody waits for his time."""


def open_s(window_s: float) -> float:
    """How long a time of a process' own is open for calls."""
    return min(max(OPEN_S, OPEN * window_s), LONGEST_OPEN_S)


def next_slice(at: float, began: float, every_s: float, lasts_s: float) -> float:
    """`at`, or the next moment in a time of one's own. `began`: any moment at which one began, of those `every_s`."""
    passed_s = (at - began) % every_s
    return at if passed_s < lasts_s else at + every_s - passed_s


class Slices:
    """Starts with nothing taken."""

    __slots__ = ("_recent", "_roomy_at")

    def __init__(self) -> None:
        self._recent: deque[Taking] = deque()
        """What this process took and others may not have heard of."""
        self._roomy_at = float("-inf")
        """When it took last while much was left."""

    def take(self, amount: float, now: float, *, is_roomy: bool) -> None:
        """So much is sent now. `is_roomy`: while much was left."""
        self._recent.append((now, amount))
        if is_roomy:
            self._roomy_at = now

    def unheard(self, now: float, heard_s: float) -> float:
        """What it took that others may not have heard of. `heard_s`: they hear so much later."""
        while self._recent and self._recent[0][0] <= now - heard_s:
            self._recent.popleft()
        return sum([amount for _, amount in self._recent])

    def heard_at(self, heard_s: float) -> float:
        """When all is heard of that others took while this process took and much was left."""
        return self._roomy_at + heard_s
