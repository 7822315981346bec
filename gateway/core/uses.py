"""What processes tell each other of a scope that they share."""

import msgspec

from gateway.core.outcome import Scope


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """All that a process ever sent on a scope and that was not refused.

    Who hears it takes the difference to what it heard before.
    """

    requests: int = 0
    tokens: int = 0
    produced: int = 0
    """Tokens of answers."""

    def plus(self, other: "Totals") -> "Totals":
        return Totals(self.requests + other.requests, self.tokens + other.tokens, self.produced + other.produced)

    def since(self, before: "Totals") -> "Totals":
        return Totals(self.requests - before.requests, self.tokens - before.tokens, self.produced - before.produced)


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """What the headers of an answer told of one dimension of the scope's limits."""

    dimension: str
    limit: float
    remaining: float
    reset_s: float
    age_s: float
    """Before this was said the answer's call was sent."""
    is_success: bool
    slack_s: float = 0.0
    """`reset_s` may be off by so much."""


class Use(msgspec.Struct, frozen=True):
    """One process uses the scope now, near its limits."""

    scope: Scope
    sent: Totals = Totals()
    age_s: float = 0.0
    """How long ago the last call of it was sent."""
    is_hungry: bool = False
    """Calls wait there for room."""
    readings: tuple[Reading, ...] = ()
    """The newest of its answers; those that were told before are left out."""
