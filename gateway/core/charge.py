"""What an upstream charges for what we estimate that a call costs.

Rules of this file:
- estimates are counted, headers tell charges. What a window's answers say is used, compared with what was sent in it,
  tells the factor between them; of a bucket what it lost from one answer to another does. Some upstreams count the
  tokens of prompts otherwise, others none of the answers';
- a factor is one for all accounts of a provider that have a model; one odd comparison changes it little;
- single calls differ from the average: refusals tell by how much room is to be kept for that. So they do while too few
  comparisons are there: of a window that is overdrawn nothing can be compared.

Mutable. Tokens are as we estimate them, but for what is called raw: that is as headers have it.
"""

from collections import deque
from math import sqrt
from statistics import median

from gateway.core.answered import Answered
from gateway.core.places import Place

LEAST, MOST = 0.2, 4.0
"""No factor beyond these is believed."""
EXACT, UNSURE, SAME = 0.01, 9.0, 0.001
"""A factor that differs from 1 by less is 1, or by less than so many times what comparisons differ from each other ÷ √
their number. One that differs from what it was by less than the third, or by half of what they differ, is that."""
MORE, LESS, MOST_MORE = 0.05, 1 / 256, 0.5
"""So much more a call may be charged than the factor says after each refusal, such a part of that less after each
answer; and at most."""
FEW, KEPT = 3, 15
"""So many comparisons are enough; the median of the last so many counts: odd calls, other users of the same key."""
VARIES = 0.004
"""Where comparisons differ by less every call is charged alike, and refusals have other reasons: other processes, calls
that are long on their way. The first few differ for other reasons as well: it is not yet known how the limit frees."""
NEAR = 2.0
"""A call is refused for its tokens when less than so many times its own were left."""
ENOUGH = 1 / 8
"""Of a limit must have been used before it is compared…"""
UNSEEN, DOUBT = 1 / 128, 1 / 32
"""…and of so much of that, of a window and of a bucket, it may be unknown whether an answer knew of it."""
NEWS = 1 / 10
"""…and so much of it sent since the last comparison."""


class Factor:
    """Starts with what SPEC §4 says: upstreams charge what is estimated."""

    __slots__ = ("_ratios", "margin", "value", "varies")

    def __init__(self) -> None:
        self.value = 1.0
        """So many of its tokens the upstream charges for one of ours, on average…"""
        self.margin = 1.0
        """…and so many times more some calls are charged."""
        self._ratios: deque[float] = deque(maxlen=KEPT)
        self.varies = False
        """Calls are charged now more, now less, as far as that shows in what many are charged together."""

    def learn(self, ratio: float) -> None:
        """One account was charged so much for one of our tokens."""
        self._ratios.append(min(max(ratio, LEAST), MOST))
        if len(self._ratios) < FEW:
            return
        learned = median(self._ratios)
        spread = median([abs(one - learned) for one in self._ratios])
        self.varies = 2 * len(self._ratios) > KEPT and spread > VARIES * learned
        if not self.varies:
            self.margin = 1.0
        is_exact = abs(learned - 1.0) <= EXACT + UNSURE * spread / sqrt(len(self._ratios))
        value = 1.0 if is_exact else learned
        if abs(value / self.value - 1) > max(SAME, spread / 2):
            self.value = value

    def admit(self) -> None:
        """A call came through."""
        self.margin -= (self.margin - 1.0) * LESS

    def refuse(self) -> None:
        """A call that was to fit was refused for its tokens."""
        if self.varies or len(self._ratios) < FEW:
            self.margin = min(1 + MOST_MORE, self.margin + MORE)


class Charge:
    """What one limit tells of the factor. Starts with nothing to compare."""

    __slots__ = ("_compared", "_raw_used", "_refused_by", "_since", "_used_at", "answered", "shared")

    def __init__(self, shared: Factor) -> None:
        self.shared = shared
        self.answered = Answered()
        """Of the window, where it is one."""
        self._refused_by = 0
        """The scope's tokens when a call was refused last: which of these were charged nobody knows."""
        self._compared = 0
        """The scope's tokens when it was compared last."""
        self._raw_used, self._used_at, self._since = -1.0, 0.0, 0
        """What a bucket had lost, when, and what had been sent by then. Below 0: it may have been full since."""

    def note(self, place: Place, raw_left: float, *, is_success: bool) -> None:
        """A call came through, or did not, and so much was left."""
        if is_success:
            self.shared.admit()
            return
        self._refused_by, self._raw_used = place.sent, -1.0
        if raw_left < NEAR * self.shared.value * place.charged:
            self.shared.refuse()

    def compare(self, held: float, freed: float, limit: float, factor: float, place: Place) -> None:
        """A window holds so much, and has given back so much, by all that is known of what was taken. `factor`: with
        which all these were told. `place`: of the call that was answered.
        """
        answered = self.answered
        if answered.is_empty or place.at <= self._refused_by:
            return
        by = place.near if place.at >= answered.newest else place.sent
        held, used = held - (place.sent - by), limit - answered.left(freed)
        doubt = answered.unanswered(by) + answered.vague
        is_new = place.at >= self._compared + NEWS * limit
        if is_new and used >= ENOUGH * limit and held > 0 and 0 <= doubt <= UNSEEN * held:
            self._compared = place.at
            self.shared.learn(factor * used / held)

    def surely_left(self, freed: float, place: Place) -> float:
        """What the window has left when all that was sent has reached it, whatever that is charged."""
        return self.answered.left(freed) - self.answered.unanswered(place.sent) * self.shared.margin

    def lose(self, raw_used: float, raw_rate: float, at: float, raw_limit: float, place: Place) -> None:
        """A bucket has lost so much by then, and fills so fast."""
        refilled = raw_rate * (at - self._used_at)
        if not raw_rate or raw_used <= ENOUGH * raw_limit or self._raw_used <= refilled:
            self._raw_used, self._used_at, self._since = raw_used, at, place.at
            return
        asked, beside = place.at - self._since, place.beside
        if asked * self.shared.value < 2 * ENOUGH * raw_limit or beside > 2 * DOUBT * asked:
            return
        lost = raw_used - self._raw_used + refilled
        self._raw_used, self._used_at, self._since = raw_used, at, place.at
        self.shared.learn(lost / asked)
