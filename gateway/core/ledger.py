"""What a sliding window holds of what was sent, by whom, and when it gives that back.

Rules of this file:
- we know when a call was sent, the upstream when it was admitted: what it frees is counted a guard's time later;
- of what is given back shortly after a call was sent nobody knows whether the upstream had freed it when the call was
  admitted;
- refused calls may count for a period, too. Who goes as soon as one call fits then, and is refused, fills the window
  again each time: so they are counted until an answer tells of something left.

Mutable; one per level. Amounts are calls or tokens, as we estimate them; moments are `Instant`s.
"""

from collections import deque
from collections.abc import Iterable
from heapq import merge

from gateway.core.places import LATEST_S
from gateway.core.shares import Shares
from gateway.core.takings import SOONEST_S, Taking, Takings, when_taken

REMEMBERED = 64
"""Of what was given back so much at least is remembered."""


class Ledger:
    """Starts empty. `lasts_s`: a window's period, and the guard's time."""

    __slots__ = ("_gone", "_refused", "freed", "own")

    def __init__(self) -> None:
        self.own = Takings()
        """What this process sent."""
        self._refused = Takings()
        """What was sent in vain: some upstreams count that as well, which shows only while something is left."""
        self.freed = 0.0
        """All that was ever given back: whoever learns counts what it did while the answer was coming."""
        self._gone: deque[Taking] = deque(maxlen=REMEMBERED)

    def expire(self, lasts_s: float, shares: Shares | None, now: float) -> float:
        """Gives back what is due by now: how much that is."""
        before = self.freed
        for takings in (self.own, self._refused):
            log = takings.log
            while log and log[0][0] + lasts_s - now <= SOONEST_S:  # as `free_in_s` says it
                sent_at, amount = takings.drop_oldest()
                self._free(amount, sent_at + lasts_s)
        if shares is not None:
            amount = shares.expire(now - lasts_s + SOONEST_S)
            if amount:
                self._free(amount, now)
        return self.freed - before

    def _free(self, amount: float, at: float) -> None:
        self.freed += amount
        self._gone.append((at, amount))

    def refuse(self, sent_at: float) -> None:
        """The call that was sent then was not admitted."""
        amount = self.own.take_back(sent_at)
        if amount:
            self._refused.add(amount, sent_at, 0.0)

    def hear_refused(self, sent_at: float) -> None:
        """Nor was one of another process."""
        self._refused.add(1.0, sent_at, 0.0)

    def held(self, shares: Shares | None) -> float:
        """By all that is known of what was taken."""
        return self.own.total + (0.0 if shares is None else shares.total)

    def told_to_be(self, shares: Shares | None, *, is_full: bool) -> float:
        """The same, once an answer told whether nothing is left: if so refused calls may count, and nobody knows."""
        if not is_full:
            self._refused = Takings()
        return self.held(shares) + self._refused.total

    def vague_after(self, sent_at: float, guard_s: float) -> float:
        """What was given back so shortly after that moment that the upstream may have freed it before."""
        by = sent_at + LATEST_S + guard_s
        return sum([amount for at, amount in self._gone if sent_at < at <= by])

    def due_by(self, at: float, lasts_s: float) -> float:
        """Of what this process sent, what will have been given back then."""
        return sum([amount for sent_at, amount in self.own.log if sent_at + lasts_s - at <= SOONEST_S])

    def free_in_s(self, missing: float, lasts_s: float, now: float, shares: Shares | None = None) -> float | None:
        """Seconds until so much more is free, of what is known; None: all of that is less."""
        takings: Iterable[Taking] = self.own.log
        if shares is not None or self._refused.log:
            takings = merge(self.own.log, self._refused.log, () if shares is None else shares.takings())
        at = when_taken(takings, missing)
        return None if at is None else max(0.0, at + lasts_s - now)
