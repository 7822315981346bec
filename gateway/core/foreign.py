"""What others took of a window: what headers tell is used, less what was sent here.

Rules of this file: only what was used since a known moment counts, for nobody knows who used the rest. Of a fixed
window that is its begin, where an answer told of the one before it, and else the first answer; of a sliding one the
first answer, until a period later all that it holds came after that.

Mutable; one per account and model. Amounts are calls, of all processes that are known.
"""

from collections.abc import Sequence

from gateway.core.freeing import BUCKET, FIXED, Freeing
from gateway.core.headroom import Headroom
from gateway.core.hints import Quota
from gateway.core.ids import NEVER, Instant
from gateway.core.level import Level
from gateway.core.uses import Sent
from gateway.core.way import TOLERANCE_S

WHOLE_S = 1.0
"""A reset without a fraction may be off by so much."""
HALF = 0.5
"""Ends that are no further apart than so much of a window are of the same."""
LEAST_LOST, LOST = 2.0, 0.1
"""Where so many calls less are used than before, or so much less of the limit, another window has begun unseen."""
CLEAR = 3.0
"""It is no sliding window, which a new end does not empty."""
ENOUGH_OTHERS = 4
"""Calls of others: then it shows."""
MOST, LITTLE = 0.6, 0.3
"""So much of what they sent was used up of this account's limit: it is shared; so little: it is not."""


class Foreign:
    """Starts unknown."""

    __slots__ = (
        "_base_own", "_base_used", "_headroom", "_order", "_sharers", "_since", "_used", "end", "is_clean", "is_told",
        "kind", "level", "sent_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self._headroom: Headroom | None = None
        self.level: Level | None = None
        """None: no answer told of a window."""
        self.kind: Freeing = BUCKET
        self._sharers = 0
        self._used, self._order = 0.0, 0
        """By the newest answer: what is used, and how many calls had been sent by then…"""
        self.sent_at: Instant = NEVER
        """…when its call was…"""
        self.end: float = NEVER
        """…and when the window ends."""
        self._since: Instant = NEVER
        self._base_used, self._base_own = 0.0, 0.0
        """What was used at the moment since which it counts, and what had been sent."""
        self.is_clean = True
        """Nothing was refused since then."""
        self.is_told = False
        """What was taken since then has told whose the limit is."""

    def note(self, headroom: Headroom, level: Level, quota: Quota, sent: Sent, *, is_success: bool) -> None:
        """What the newest answer told of the limit."""
        if level.kind is BUCKET or quota.remaining is None or level.clarity < 0:
            self.level = None
            return
        reset_s, tally = quota.reset_s or 0.0, headroom.tally
        end, used, is_fixed = sent.at + reset_s, level.limit - quota.remaining, level.kind is FIXED
        off_s = TOLERANCE_S + (WHOLE_S if reset_s == round(reset_s) else quota.slack_s)
        is_known = level is self.level and level.kind is self.kind and headroom.company.count == self._sharers
        is_next = is_fixed and end > self.end + max(HALF * level.window_s, off_s)
        if is_known and is_next and level.clarity >= CLEAR:
            self._begin(sent, 0.0, self._order - (tally.refused - (not is_success)))
        elif is_known and not is_fixed:
            if sent.at >= self._since + level.window_s:
                self._begin(sent, 0.0, 0.0)
        elif not is_known or is_next or used < self._used - max(LEAST_LOST, LOST * level.limit):
            self._begin(sent, used, sent.requests - tally.refused if is_fixed else level.held)
        self._headroom, self.level, self.kind, self._sharers = headroom, level, level.kind, headroom.company.count
        self._used, self._order, self.sent_at, self.end = used, sent.requests, sent.at, end
        self.is_clean = self.is_clean and is_success

    def _begin(self, sent: Sent, used: float, own: float) -> None:
        """What is used counts from now on, beyond so much; what was sent, too."""
        self._since, self._base_used, self._base_own = sent.at, used, own
        self.is_clean, self.is_told = True, False

    def is_beside(self, other: "Foreign") -> bool:
        """Whether that one's limit may be the same: it is told of, frees alike and at the same time."""
        if self.level is None or other.level is None or self.kind is not other.kind:
            return False
        return self.kind is not FIXED or abs(self.end - other.end) <= HALF * self.level.window_s

    @property
    def own(self) -> float:
        """What was sent here, calls that are under way included."""
        if self._headroom is None or self.level is None:
            return 0.0
        sent = self._headroom.tally.admitted if self.kind is FIXED else self.level.held
        return max(0.0, sent - self._base_own)

    @property
    def answered(self) -> float:
        """What was sent here by the newest answer's call."""
        return max(0.0, self.own - self._unheard)

    @property
    def least(self) -> float:
        """What others took at least."""
        return self._used - self._base_used - self.own

    @property
    def most(self) -> float:
        """The same if nothing that is under way was admitted before the newest answer's call."""
        return self.least + self._unheard

    @property
    def _unheard(self) -> int:
        """Calls sent after the newest answer's."""
        return 0 if self._headroom is None else self._headroom.tally.requests - self._order

    def verdict(self, others: Sequence["Foreign"]) -> bool | None:
        """Whether what others took is what was sent on those, so that the limit is theirs, too; None: not known."""
        if self.level is None:
            return None
        unheard = self._sharers - 1  # each other process may have sent one just now
        is_much = self.least >= min(ENOUGH_OTHERS, MOST * self.level.limit) + unheard
        beside = [other for other in others if self.is_beside(other)] if is_much or self.is_clean else []
        if is_much:
            sent = sum([other.own for other in beside])
            self.is_told = 0 < MOST * sent <= self.least
        elif self.is_clean:  # who was refused did not take what he sent
            sent = sum([other.answered for other in beside if other.sent_at <= self.sent_at])
            self.is_told = sent >= ENOUGH_OTHERS and self.most <= LITTLE * sent
        return is_much if self.is_told else None
