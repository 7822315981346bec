"""The client of `websockets`, as we need it: no redirects, no proxy but ours, limits of our own, faults as values.

Imported by the first upgrade of a worker: see `upstream/websocket`.
"""

import asyncio
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    ProxyError,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.typing import Subprotocol

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Origin, UpstreamRequest
from gateway.upstream import faults
from gateway.upstream.dial import open_socket
from gateway.upstream.websocket import FINISH_S, Refusal, read_headers

__all__ = ["Connection", "ConnectionClosed", "opened"]

QUEUE_FRAMES = 4
"""That wait for a slow caller before reading pauses; each may be as large as a message."""
WRITE_BYTES = 65_536
"""Unsent bytes beyond which a sender waits."""
OFFER = b"sec-websocket-protocol"


class Connection(ClientConnection):
    """Ends soon after the other side has closed: some servers leave the connection to the client (RFC 6455 §7.1.1)."""

    is_heard = False
    """Something came since it was set to False."""

    def data_received(self, data: bytes) -> None:
        self.is_heard = True
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
            self.loop.call_later(FINISH_S, self.transport.abort)


class _ConnectTimeout(Exception):
    """No connection within its limit; TLS and the proxy's CONNECT belong to it."""


class _Connect(connect):
    connect_s: float
    origin: Origin
    is_connected = False

    async def open_tcp_connection(self) -> ClientConnection:
        try:
            async with asyncio.timeout(self.connect_s):
                return await self._open()
        except TimeoutError as error:
            if error.errno is not None:  # the system's own ETIMEDOUT
                raise
            raise _ConnectTimeout from error

    async def _open(self) -> ClientConnection:
        if self.proxy is not None:  # it looks the name up, and connects
            return await super().open_tcp_connection()
        sock = await open_socket(asyncio.get_running_loop(), self.origin.host, self.origin.port)
        self.is_connected = True
        self.create_connection_kwargs["sock"] = sock
        try:
            return await super().open_tcp_connection()
        except BaseException:
            sock.close()
            raise

    def process_redirect(self, exc: Exception) -> Exception | str:
        """An upstream that moved is a matter of `base_url`: nobody gets a credential because a header named him."""
        return exc


async def opened(  # noqa: PLR0911  # one line for each way in which it can go wrong
    request: UpstreamRequest, *, tls: ssl.SSLContext | None, max_bytes: int
) -> Connection | Refusal | Fault:
    """Dials, agrees upon TLS, upgrades."""
    limits, is_tls = request.limits, request.origin.scheme == "https"
    dialling = _dialling(request, tls=tls if is_tls else None, max_bytes=max_bytes)
    try:
        connection = await dialling
    except InvalidStatus as error:
        response = error.response
        return Refusal(response.status_code, read_headers(response.headers), bytes(response.body or b""))
    except _ConnectTimeout:
        return faults.connect_timeout(limits.connect_s)
    except TimeoutError as error:
        if error.errno is None:
            return faults.headers_timeout(limits.headers_s)
        return faults.connect_fault(error, is_tls=is_tls and dialling.is_connected)
    except (InvalidProxy, InvalidHandshake) as error:
        return _handshake_fault(error)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no resolver can be asked for
        return faults.connect_fault(error, is_tls=is_tls and dialling.is_connected)
    assert isinstance(connection, Connection)  # noqa: S101  # what `create_connection` names
    return connection


def _handshake_fault(error: InvalidProxy | InvalidHandshake) -> Fault:
    """Why there is no WebSocket although somebody answered. By the error's name: its words may quote headers."""
    match error:
        case InvalidProxy() | ProxyError():
            return Fault(FaultKind.CONNECT, f"the proxy refused: {type(error).__name__}")
        case InvalidMessage() if isinstance(error.__cause__, EOFError):
            return faults.reset_before_head(None)
        case InvalidMessage():
            return faults.garbage("the answer to the upgrade was not HTTP")
        case _:
            return faults.garbage(f"the upgrade was answered wrongly: {type(error).__name__}")


def _dialling(request: UpstreamRequest, *, tls: ssl.SSLContext | None, max_bytes: int) -> _Connect:
    origin, via = request.origin, request.via
    offered = [Subprotocol(value.decode("latin-1")) for name, value in request.headers if name == OFFER]
    options: dict[str, Any] = {}
    if tls is not None:
        options |= {"ssl": tls, "server_hostname": origin.host}
    if via is not None and via.proxy is not None and via.proxy.reveal().startswith("https:"):
        options["proxy_ssl"] = tls or True
    dialling = _Connect(
        _uri(request),
        subprotocols=offered or None,
        compression=None,  # sound does not get smaller, and each connection would hold a window for it
        additional_headers=[
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers if name != OFFER
        ],
        user_agent_header=None,
        proxy=via.proxy.reveal() if via is not None and via.proxy is not None else None,
        open_timeout=request.limits.headers_s,
        ping_interval=None,  # `OpenSocket` has its own, which knows who is slow
        close_timeout=FINISH_S,
        max_size=max_bytes,
        max_queue=QUEUE_FRAMES,
        write_limit=WRITE_BYTES,
        create_connection=Connection,
        **options,
    )
    dialling.connect_s, dialling.origin = request.limits.connect_s, origin
    return dialling


def _uri(request: UpstreamRequest) -> str:
    origin = request.origin
    scheme = "wss" if origin.scheme == "https" else "ws"
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{scheme}://{host}:{origin.port}{request.target.decode('latin-1')}"
