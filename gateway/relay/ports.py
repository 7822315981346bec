"""What the relay needs from the outside, as Protocols; `upstream`, `store` and `notify` fit them by shape."""

from datetime import datetime
from typing import Protocol

from gateway.core.ids import Instant
from gateway.core.outcome import Fault, Scope
from gateway.core.parks import Park
from gateway.providers.base import Headers, UpstreamRequest


class Clock(Protocol):
    """The only source of time. Tests move theirs by hand."""

    def now(self) -> Instant:
        """Monotonic seconds."""
        ...

    def wall_now(self) -> datetime:
        """Aware UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class UpstreamAnswer(Protocol):
    """A head that has come, and the body behind it. `close` must be called exactly once, however it went."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """Names in lower case, in wire order; hop-by-hop headers and framing are still in it."""
        ...

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:
        """The next piece as it came off the wire (transfer coding removed); b"" at the clean end.

        Waits `timeout_s`, or the request's stall limit when None; then Fault(STALL). A Fault is final.
        """
        ...

    async def read_all(self, max_bytes: int) -> bytes | Fault:
        """The whole body, joined; Fault(GARBAGE) when it is larger than `max_bytes`."""
        ...

    def close(self) -> None:
        """Gives the connection back when the answer was read to its end, else cuts it at once. Idempotent."""
        ...


class Upstream(Protocol):
    """One attempt: sends the request, gives the final head (1xx are skipped) or the fault. The network never raises."""

    async def attempt(self, request: UpstreamRequest) -> UpstreamAnswer | Fault: ...


class Announcer(Protocol):
    """Outgoing news. Never blocks a call, never raises: what cannot be sent now is coalesced and sent later."""

    def announce(self, park: Park) -> None:
        """A scope was parked here: tell the other processes, and keep it in the table when it is long enough."""
        ...

    def announce_recovery(self, scope: Scope) -> None:
        """A scope that was announced serves again before its time (a probe passed, an operator cleared it)."""
        ...
