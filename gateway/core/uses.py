"""What is sent on a scope, and what processes tell each other of one that they share."""

from enum import IntEnum

import msgspec

from gateway.core.ids import Instant
from gateway.core.outcome import Scope


class Audience(IntEnum):
    """Whom a process tells of its calls, by how soon they hear of them."""

    NEIGHBOURS = 0
    """Workers of the same service."""
    REPLICAS = 1
    """Those of others, over Postgres."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A scope's totals at some moment."""

    until: float
    """Calls that are sent by then may be admitted before those that were sent at that moment."""
    requests: int
    tokens: int


OUTPUT = "output_tokens"
"""The dimension that is charged by answers, not at admission."""
CHARGED_TOKENS = frozenset({"tokens", "project_tokens"})
NO_MARK = Mark(float("-inf"), 0, 0)


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A call's place in the order of sending: the scope's totals, the call itself included.

    What other processes told of is in them as well.
    """

    at: Instant
    requests: int
    tokens: int
    freed: tuple[float, ...] = ()
    """What every sliding window of the scope had given back by then."""
    produced: int = 0
    charged: int = 0
    """Tokens of this call alone."""
    mark: "Mark" = NO_MARK
    """What had been sent when nothing that is on its way could be admitted after it any more."""


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


class Calls(msgspec.Struct, frozen=True, array_like=True):
    """What became of a process' calls since it told last. Milliseconds of its clock; the others before `told_ms`."""

    told_ms: int
    sent: tuple[int, ...] = ()
    admitted: tuple[int, ...] = ()
    refused: tuple[tuple[int, float | None], ...] = ()
    """With the seconds after which one fits again, if the upstream said it."""


class Belief(msgspec.Struct, frozen=True, array_like=True):
    """What a process believes of a limit that no header names."""

    rate: float
    """Calls a second."""
    limit: int = 0
    """Of a window; 0: it is none."""
    period_s: float = 0.0
    is_bucket: bool = False
    is_guess: bool = False
    """It follows from a refusal that nothing explains, and grows."""


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
    calls: Calls | None = None
    """Where no headers tell of the limit…"""
    belief: Belief | None = None
    """…and what is made of them."""
    doubted_s: float = 0.0
    """Headers are not believed for so long…"""
    ignored: tuple[str, ...] = ()
    """…in what they tell of these dimensions."""

    @property
    def tells_a_first_refusal(self) -> bool:
        """One of which no more came than a pace, as of the first: neither a window nor a bucket."""
        belief = self.belief
        is_vague = belief is not None and not (belief.limit or belief.is_bucket)
        return is_vague and self.calls is not None and bool(self.calls.refused)
