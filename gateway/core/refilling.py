"""How one limit frees again: in which of three ways, how fast, and how much later than calls were sent.

Rules of this file:
- three ways of freeing are told apart by what stays true from one answer to the next (`core/way`);
- `remaining` is whole: a rate follows only as an interval, (used − 1) ÷ reset to used ÷ reset, which every answer
  narrows. The slow end is used: who sends too late learns so from the next `remaining`, who sends too soon by a 429.

Mutable. Amounts are calls or tokens, as we estimate what they cost.
"""

from gateway.core.alike import Alike, AlikeOf
from gateway.core.freeing import BUCKET, FIXED, SLIDING
from gateway.core.guard import Guard
from gateway.core.ids import Instant
from gateway.core.way import Way

LONGEST_SPAN_S = 10.0


class Refilling:
    """Starts unknown: `limit` is that of the first answer."""

    __slots__ = (
        "__weakref__", "_alike_of", "_guard", "_is_of_tokens", "_period_s", "_watched_at", "_way", "_window",
        "factor", "kind", "limit", "rate", "told_limit",
    )  # fmt: skip

    def __init__(  # what its creator knows of it
        self, limit: float, now: Instant, *, is_of_tokens: bool = True, factor: float = 1.0, alike_of: AlikeOf = Alike
    ) -> None:
        """`alike_of`: what is known of those that free alike; as a rule nothing."""
        self._alike_of = alike_of
        self._is_of_tokens = is_of_tokens
        self.factor = factor
        """So many units the upstream charges for one of ours, as far as this level has heard."""
        self._guard = Guard()
        self._watched_at: float = now
        """Since then it is of its kind."""
        self.limit_to(limit)

    def limit_to(self, told_limit: float) -> None:
        """Headers tell of this limit: how one of another size frees is not known."""
        self.told_limit, self.limit = told_limit, told_limit / self.factor
        """As headers have it, and as we estimate what calls cost."""
        self._way = Way(self._alike_of(), self, is_of_tokens=self._is_of_tokens)
        self._window = self._way.window
        self._period_s = 0.0
        """A sliding window's."""
        self.kind, self.rate = BUCKET, 0.0
        """Units a second over a long time; 0.0 = unknown."""

    @property
    def window_s(self) -> float:
        """How long a window holds what was taken; 0.0 for a bucket."""
        if self.kind is BUCKET:
            return 0.0
        return self._period_s if self.kind is SLIDING else self._window.longest_s

    @property
    def span_s(self) -> float:
        """How long what is taken from it is missing, or so."""
        if self.kind is not BUCKET:
            return self.window_s
        return min(max(self.limit / self.rate, 1.0), LONGEST_SPAN_S) if self.rate else LONGEST_SPAN_S

    @property
    def unsure_s(self) -> float:
        """Who is to wait no longer may be let in though all that headers told is right. Infinite: nothing is sure."""
        return self._window.unsure_s(self.span_s, is_fixed=self.kind is FIXED)

    @property
    def clarity(self) -> float:
        """How sure it is how it frees, as `Way` has it; less than 0.0: it is not."""
        return self._way.clarity

    def forget_refusals(self) -> None:
        """Others used it of whom nobody knew: they were no matter of time."""
        self._guard = Guard()

    def look_again(self, at: float) -> None:
        """Others that free alike found out how, by an answer to a call that was sent then."""
        self._way.decide(at)
        if self.kind is not self._way.kind:
            self._adopt(at)

    def _adopt(self, at: float) -> None:
        """It frees in the way that is believed in."""
        if self.kind is not self._way.kind:
            self._watched_at = at
            self._forget_answers()
        self.kind, self._period_s = self._way.kind, self._way.period_s
        self.rate = self._rate()

    def _rate(self) -> float:
        if self.kind is not BUCKET:
            return self.limit / self.window_s if self.window_s else 0.0
        return self._way.bucket_rate / self.factor

    def _forget_answers(self) -> None:
        """What single answers told of a window holds no more."""
