"""What a provider kind must offer, and the request it prepares: the last pure value before the wire."""

from typing import Protocol

import msgspec

from gateway.core.call import Call
from gateway.core.snapshot import Account, Provider, StreamUsage, Validation

Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, in wire order."""


class Origin(msgspec.Struct, frozen=True):
    """Where a connection goes: connections are pooled by it."""

    scheme: str
    host: str
    port: int


class Limits(msgspec.Struct, frozen=True):
    """Seconds, all of them."""

    connect_s: float = 10.0
    headers_s: float = 600.0
    """From the moment the request is sent until its whole head has come."""
    stall_s: float = 600.0
    """Between two pieces of the body."""
    keep_alive_s: float = 60.0
    max_idle: int = 256
    """Idle connections kept for this origin."""


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One HTTP request to an upstream, whole."""

    method: bytes
    origin: Origin
    target: bytes
    """Path and query as they go on the request line."""
    headers: Headers
    """Without `host`, `content-length` and `transfer-encoding`: the engine writes these."""
    body: bytes = b""
    limits: Limits = Limits()


class ProviderKind(Protocol):
    """The code for one wire format and its quirks. No I/O; one instance serves all providers of the kind."""

    name: str
    stream_usage: StreamUsage
    validation: Validation

    def prepare(
        self,
        call: Call,
        *,
        provider: Provider,
        account: Account,
        headers: Headers,
        body: bytes,
        limits: Limits,
    ) -> UpstreamRequest:
        """The request that asks `account` for `call`.

        `headers` are the caller's, already filtered; `body` has the upstream's model in it.
        """
        ...
