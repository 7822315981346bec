"""Who else uses a bucket, though nobody told of them: other gateways, scripts with the same key.

Rules of this file: only refusals raise the suspicion; what was used up beyond one's own calls, while the bucket was
neither full nor unknown, tells how many there are. When no more is missing there are none.
"""

from gateway.core.freeing import Freeing
from gateway.core.ids import Instant
from gateway.core.level import Level

ENOUGH_CALLS = 8
"""Own calls that came through before something is made of them…"""
ENOUGH_REFUSALS = 3
"""…and refusals among them before anybody is suspected."""
DOUBT = 0.35
"""So much of another process is taken for a whole one."""
REFUSED_COST = 0.5
"""A refused call takes what little is left."""
MOST = 16
FORGOTTEN_S = 20.0


class Strangers:
    """Of one scope."""

    __slots__ = ("_at", "_judged_at", "_own", "_refused", "_total", "_used", "count")

    def __init__(self) -> None:
        self.count = 0
        self._used = -1.0
        self._at = 0.0
        self._own = self._refused = 0
        self._total = 0.0
        self._judged_at = float("-inf")

    def note(self, level: Level, remaining: int, sent_at: Instant, *, is_success: bool) -> None:
        """What the newest answer told of requests."""
        used, before, passed_s = level.limit - remaining, self._used, sent_at - self._at
        self._used, self._at = used, sent_at
        self._own += is_success
        self._refused += not is_success
        if level.kind is not Freeing.BUCKET or before <= 1 or used <= 1 or not level.rate:
            self._own = self._refused = 0
            self._total = 0.0
            return
        self._total += used - before + level.rate * passed_s
        if self._own + self._refused >= ENOUGH_CALLS:
            self._judge(sent_at)

    def _judge(self, now: Instant) -> None:
        total = self._total - self._refused * REFUSED_COST
        others = int(total / max(self._own, 1) - 1 + DOUBT)
        if self._refused >= ENOUGH_REFUSALS or others < self.count:
            self.count = max(0, min(others, self.count + 2, MOST))
        self._own = self._refused = 0
        self._total, self._judged_at = 0.0, now

    def counted(self, now: Instant) -> int:
        """How many there seem to be."""
        return self.count if now - self._judged_at < FORGOTTEN_S else 0
