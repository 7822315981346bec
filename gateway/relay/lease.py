"""A slot on an account."""

from typing import Protocol

from gateway.core.ids import CallId, Instant
from gateway.core.outcome import Outcome, Scope
from gateway.core.uses import Sent
from gateway.relay.member import Member
from gateway.relay.pool import Pool


class Keeper(Protocol):
    """Who gave the slot and takes it back."""

    def released(self, lease: "Lease") -> None: ...


class Books(Keeper, Protocol):
    """Where attempts are written down: the board, or nowhere for callers who bring a key of their own."""

    def take(self, pool: Pool, member: Member, now: Instant, tokens: int = 0, call_id: CallId | None = None) -> "Lease":
        """A slot on the member's account."""
        ...

    def observe(self, lease: "Lease", outcome: Outcome, now: Instant) -> None:
        """What the attempt came to."""
        ...


class Lease:
    """A slot on an account, from the attempt's start to the answer's last byte. Released exactly once."""

    __slots__ = ("_is_released", "_keeper", "call_id", "is_told", "member", "probes", "sent", "started", "tokens")

    def __init__(
        self, keeper: Keeper, member: Member, started: Instant, tokens: int = 0, call_id: CallId | None = None
    ) -> None:
        self._keeper = keeper
        self._is_released = False
        self.call_id = call_id
        """Whose attempt it is, for the log."""
        self.member = member
        self.started = started
        self.tokens = tokens
        """What the call is charged, as estimated."""
        self.sent: list[Sent] = [headroom.take(tokens, started) for headroom in member.headrooms]
        """Its place in the order of sending, in each of the member's headrooms."""
        self.is_told = False
        """Its answer's head told of the limits."""
        self.probes: tuple[Scope, ...] = ()
        """Scopes for which this attempt is the probe."""

    def release(self) -> None:
        """Idempotent. A probe that came to no verdict makes room for the next."""
        if not self._is_released:
            self._is_released = True
            self._keeper.released(self)
