"""What the relay needs from the outside, as Protocols; `upstream`, `store` and `notify` fit them by shape."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from gateway.core.affinity import Binding
from gateway.core.ids import AccountId, Instant
from gateway.core.outcome import Fault, Scope
from gateway.core.parks import Park
from gateway.core.snapshot import Account
from gateway.providers.base import Headers, UpstreamRequest
from gateway.providers.oauth import AccessToken
from gateway.wire.sockets import Closed, Message


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


class Socket(Protocol):
    """One end of a WebSocket session: the caller's or the upstream's. The network never raises."""

    async def receive(self) -> Message | Closed:
        """The next message, whole; `Closed` once there is none any more. Cancelling it loses nothing."""
        ...

    async def send(self, message: Message) -> bool:
        """Waits while the other side reads slowly. False: it has closed or is gone, and the message is lost."""
        ...

    async def finish(self, code: int, reason: str) -> None:
        """Says why and ends the connection: an orderly end gets a moment, then it is cut. Idempotent."""
        ...


@runtime_checkable
class UpstreamSocket(Socket, UpstreamAnswer, Protocol):
    """An upgrade that was accepted: its answer's status is 101, and `close` cuts the connection at once."""


class TokenStore(Protocol):
    """Access tokens that all processes share. Never raises, never takes long: without it each fetches for itself."""

    async def load(self, account: Account) -> AccessToken | None:
        """One that was bought with the account's very credential and still lasts."""
        ...

    async def claim(self, account_id: AccountId, seconds: float) -> bool:
        """Whether this process may fetch; the others leave it alone for so long. True where nobody can say."""
        ...

    async def save(self, account: Account, token: AccessToken) -> bool:
        """Shares it, and ends the claim. False: not now."""
        ...

    async def release(self, account_id: AccountId) -> None:
        """Ends the claim: the fetch failed."""
        ...


class Announcer(Protocol):
    """Outgoing news. Never blocks a call, never raises: what cannot be sent now is coalesced and sent later."""

    def announce(self, park: Park) -> None:
        """A scope was parked here: tell the other processes, and keep it in the table when it is long enough."""
        ...

    def announce_recovery(self, scope: Scope) -> None:
        """A scope that was announced serves again before its time (a probe passed, an operator cleared it)."""
        ...


class IdStore(Protocol):
    """Where bindings of stateful ids outlive the process, for all replicas. Never raises: None is "away"."""

    async def find(self, ids: Collection[str]) -> list[Binding] | None:
        """Those of `ids` that are known."""
        ...

    async def save(self, bindings: Sequence[Binding], forgotten: Sequence[str]) -> frozenset[str] | None:
        """Adds the ones, but takes none from its owner; removes the others. Gives those that are another owner's."""
        ...

    async def one_of_each_account(self, owner: str | None, kind: str) -> list[Binding] | None:
        """One object of that owner and kind from every account that has any."""
        ...

    async def cursor(
        self, kind: str, accounts: Collection[AccountId], at: datetime, *, is_newest_first: bool
    ) -> str | None:
        """The id after which the accounts' list of that kind has come to `at`; None: at its beginning, or away."""
        ...

    async def has_account(self, account_id: AccountId) -> bool | None:
        """Whether that account is still in the registry, active or not."""
        ...
