"""`WebSocketEngine`: the way out for upgrades. A refused one is an answer like any other, an accepted one a socket.

Rules of this file: nothing of `websockets` is imported before the first upgrade, for most workers never see one.
"""

import asyncio
import ssl
from typing import Any

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Headers, UpstreamRequest
from gateway.upstream import faults
from gateway.upstream.tls import client_context
from gateway.wire.sockets import LOST, NO_CODE, Closed, Message

PING_S = 20.0
"""Between two pings: middleboxes forget connections that are silent for a minute."""
PONG_S = 20.0
"""What a living upstream needs at most to answer one."""
FINISH_S = 0.5
"""For the closing handshake; then the connection is cut: a caller that hung up must not hold its upstream."""


class Refusal:
    """An upgrade that was answered with anything but 101. Fits `relay.ports.UpstreamAnswer`."""

    __slots__ = ("_body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:  # noqa: ARG002  # it is all here
        chunk, self._body = self._body, b""
        return chunk

    async def read_all(self, max_bytes: int) -> bytes | Fault:
        return faults.body_too_large(max_bytes) if len(self._body) > max_bytes else await self.next_chunk()

    def close(self) -> None:
        """Its connection is closed already."""


class OpenSocket:
    """An upgrade that was accepted. Fits `relay.ports.UpstreamSocket`."""

    status = 101

    def __init__(self, connection: Any, headers: Headers, closed: type[Exception]) -> None:  # noqa: ANN401  # `websocket_client.Connection`, whose module is not imported here
        """`closed`: what the library raises for a connection that has ended."""
        self.headers = headers
        self._connection = connection
        self._closed = closed
        self._waits_since: float | None = None
        """Loop time since when somebody waits for a message, and all that came was read."""
        self._is_dead = False
        pings = asyncio.get_running_loop().create_task(self._keep_alive(), name="websocket.pings")
        self._keeping_alive: asyncio.Task[None] | None = pings

    # -- as a socket ---------------------------------------------------------------------------------------------

    async def receive(self) -> Message | Closed:
        self._waits_since = asyncio.get_running_loop().time()
        try:
            message: Message = await self._connection.recv()
        except self._closed as error:
            return self._how_it_ended(error)
        finally:
            self._waits_since = None
        return message

    async def send(self, message: Message) -> bool:
        try:
            await self._connection.send(message)
        except self._closed:
            return False
        return True

    async def finish(self, code: int, reason: str) -> None:
        """The library gives the other side `FINISH_S`, then it cuts."""
        self._rest()
        await self._connection.close(code, reason)
        self.close()

    def close(self) -> None:
        self._rest()
        self._connection.transport.abort()

    def _rest(self) -> None:
        """No more pings. The task's end has a traceback, which leads back here: it is let go."""
        if self._keeping_alive is not None:
            self._keeping_alive.cancel()
            self._keeping_alive = None

    def _how_it_ended(self, error: Any) -> Closed:  # noqa: ANN401  # the library's `ConnectionClosed`
        if error.rcvd is not None:
            return Closed(error.rcvd.code, error.rcvd.reason)
        if error.sent is not None and not self._is_dead and error.sent.code not in {LOST, NO_CODE}:
            # We failed the connection: what came was no WebSocket, no UTF-8, or too large.
            return Closed(error.sent.code, error.sent.reason, Fault(FaultKind.GARBAGE, error.sent.reason or "garbage"))
        return Closed(LOST, "", faults.reset_in_body(0, None, error.__cause__))

    # -- as an answer --------------------------------------------------------------------------------------------

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:  # noqa: ARG002  # it has no body
        return b""

    async def read_all(self, max_bytes: int) -> bytes | Fault:  # noqa: ARG002  # as above
        return b""

    # -- keeping alive -------------------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        """Pings. Silence is death only while we read: a pong may stand behind messages that nobody takes yet."""
        connection, time = self._connection, asyncio.get_running_loop().time
        ended = connection.connection_lost_waiter
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=PING_S)
                pinged_at, connection.is_heard = time(), False
                pong = await connection.ping()
                await asyncio.wait({pong, ended}, timeout=PONG_S)
                if not connection.is_heard and self._waits_since is not None and self._waits_since <= pinged_at:
                    self._is_dead = True
                    connection.transport.abort()
        except self._closed:
            return


class WebSocketEngine:
    """Fits `relay.ports.Upstream`. One for each worker; use it on one event loop."""

    def __init__(self, *, max_bytes: int, ca_file: str | None = None) -> None:
        """`max_bytes`: of a message that comes; `ca_file`: PEM file of the only authorities to trust."""
        self._max_bytes = max_bytes
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None

    async def attempt(self, request: UpstreamRequest) -> OpenSocket | Refusal | Fault:
        """A header `sec-websocket-protocol` of the request is what is offered."""
        from gateway.upstream.websocket_client import ConnectionClosed, opened  # noqa: PLC0415  # rule of this file

        if request.origin.scheme == "https" and self._tls is None:
            self._tls = client_context(self._ca_file)
        connection = await opened(request, tls=self._tls, max_bytes=self._max_bytes)
        if isinstance(connection, Refusal | Fault):
            return connection
        headers = connection.response.headers if connection.response is not None else None
        return OpenSocket(connection, read_headers(headers), ConnectionClosed)


def read_headers(headers: Any) -> Headers:  # noqa: ANN401  # the library's `Headers`
    """The library's headers as ours are."""
    pairs = () if headers is None else headers.raw_items()
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in pairs)
