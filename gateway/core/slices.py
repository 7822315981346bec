"""When neighbours take what is nearly used up: each in a time of its own, which the clock that they share gives them.

Rules of this file:
- of what another takes nobody hears at once, so that two may take the same. Who takes in its own time alone, and is
  heard before the next one's begins, meets nobody;
- while much of a window is left each may take its part of that at any moment: hundreds of calls when it opens. Before
  it takes of the last half it lets what others took then be heard, and be admitted: the next answers tell exactly what
  is left.

Mutable; one per level. Amounts are tokens.
"""

from collections import deque

from gateway.core.places import BURST_S, LATEST_S
from gateway.core.takings import Taking

OPEN_S, LONGEST_OPEN_S, OPEN = 0.008, 0.05, 1 / 200
"""A time of one's own is so long, and where windows last long such a part of one, at most the second."""
ROOMY = 0.5
"""Of a window: with more of it left nobody waits for his time."""


def open_s(window_s: float) -> float:
    """How long a time of a process' own is."""
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

    def settled_at(self, heard_s: float) -> float:
        """When all is heard of and admitted that others took while this process took and much was left."""
        return self._roomy_at + heard_s + BURST_S + LATEST_S
