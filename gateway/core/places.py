"""A call's place among all that is sent on a scope: what was surely admitted before it, and what surely after it.

Rules of this file: calls that are sent within `BURST_S` of each other are admitted in any order; one is admitted
`LATEST_S` after it was sent, at most.
"""

from bisect import bisect_right
from typing import NamedTuple

from gateway.core.ids import Instant
from gateway.core.uses import NO_MARK, Mark

BURST_S = 0.05
LATEST_S = 0.02
KEPT = 512
"""So many moments at least are remembered."""


class Place(NamedTuple):
    """In calls, tokens, or tokens of answers."""

    at: int = 0
    """What had been sent with it."""
    charged: int = 0
    """Of that, its own."""
    mark: int = 0
    """What had been sent when nothing was on its way that could be admitted after it any more."""
    near: int = 0
    """What had been sent when all that was sent later was surely admitted after it."""
    sent: int = 0
    """What has been sent by now."""

    @property
    def since(self) -> int:
        """What was sent after it."""
        return self.sent - self.at

    @property
    def beside(self) -> int:
        """What was sent so shortly before it that its answer may not know of it."""
        return self.at - self.charged - self.mark


class Places:
    """What a scope had sent at some moments. Starts with none."""

    __slots__ = ("_mark", "_moments", "_tokens", "before", "until")

    def __init__(self) -> None:
        self._mark = self.before = NO_MARK
        """Calls that were sent since `before` may yet overtake each other."""
        self.until = NO_MARK.until
        """A call that is sent later is to be noted first."""
        self._moments: list[float] = []
        self._tokens: list[int] = []

    def note(self, now: Instant, requests: int, tokens: int) -> None:
        """A call is sent now, after so many."""
        last, self._mark = self._mark, Mark(now + BURST_S, requests, tokens)
        self.before = last if now - last.until < BURST_S else self._mark
        self.until = self._mark.until
        if len(self._moments) == 2 * KEPT:
            del self._moments[:KEPT], self._tokens[:KEPT]
        self._moments.append(now)
        self._tokens.append(tokens)

    def near(self, sent_at: Instant, sent: int, heard_s: float = 0.0) -> int:
        """Tokens that had been sent when all that came later was admitted after the call that was sent then. `sent`:
        those sent by now. `heard_s`: of what others sent we heard so late.
        """
        index = bisect_right(self._moments, sent_at + LATEST_S + heard_s)
        return self._tokens[index] if index < len(self._tokens) else sent
