"""`SocketUpstream`: a server that speaks realtime as OpenAI does, and refuses, falls silent or breaks as it is told."""

import asyncio
import http
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.fakes.relay_kit import error_json

CREATED = '{"type":"session.created","event_id":"e1","session":{"id":"sess_1"}}'


class Seen(msgspec.Struct):
    """One upgrade, and what went through it."""

    path: str
    """With the query."""
    headers: dict[str, str]
    """Names in lower case."""
    received: list[str | bytes] = []
    close_code: int | None = None
    close_reason: str = ""
    ended: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class Refusal(msgspec.Struct, frozen=True):
    """An upgrade that is answered with HTTP."""

    status: int
    body: bytes = error_json("no")
    headers: dict[str, str] = {}


Script = Callable[[ServerConnection, Seen], Awaitable[None]]

RATE_LIMITED = Refusal(
    429,
    error_json("Rate limit reached for gpt-realtime", type_="requests", code="rate_limit_exceeded"),
    {"retry-after": "30"},
)
REJECTED = Refusal(401, error_json("Incorrect API key provided: sk-a.", code="invalid_api_key"))
OVERLOADED = Refusal(503, error_json("The engine is overloaded", type_="server_error", code="server_is_overloaded"))


async def echo(socket: ServerConnection, seen: Seen) -> None:
    """Greets, then says again whatever comes."""
    await socket.send(CREATED)
    async for message in socket:
        seen.received.append(message)
        await socket.send(message)


class SocketUpstream:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.requests: list[str] = []
        """Paths that were asked for without an upgrade, but for lists of models."""
        self.sockets: list[ServerConnection] = []
        """Of accepted upgrades."""
        self.refusals: dict[str, Refusal] = {}
        """By key."""
        self.refuses: Callable[[ServerConnection, Request], Refusal | None] = lambda _socket, _request: None
        """Asked where no key is named in `refusals`."""
        self.script: Script = echo
        self.port = 0
        self.scheme = "http"
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    def keys(self) -> list[str]:
        return [each.key for each in self.seen]

    def _refused(self, socket: ServerConnection, request: Request) -> Response | None:
        if "websocket" not in request.headers.get("upgrade", "").lower():
            self.requests += [] if request.path.startswith("/v1/models") else [request.path]
            return socket.respond(http.HTTPStatus.NOT_FOUND, "")  # the gateway asks for lists of models
        seen = Seen(request.path, {name.lower(): value for name, value in request.headers.raw_items()})
        self.seen.append(seen)
        socket.seen = seen
        refusal = self.refusals.get(seen.key) or self.refuses(socket, request)
        if refusal is None:
            return None
        headers = Headers({"content-type": "application/json", "content-length": str(len(refusal.body))})
        headers.update(refusal.headers)
        return Response(refusal.status, http.HTTPStatus(refusal.status).phrase, headers, refusal.body)

    async def _serve(self, socket: ServerConnection) -> None:
        seen: Seen = socket.seen
        self.sockets.append(socket)
        try:
            await self.script(socket, seen)
        except ConnectionClosed:
            pass
        finally:
            await socket.close()
            if socket.protocol.close_rcvd is not None:
                seen.close_code, seen.close_reason = socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason
            seen.ended.set()

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["SocketUpstream"]:
        self.scheme = "https" if tls else "http"
        async with serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._refused,
            subprotocols=[Subprotocol("realtime")],
            select_subprotocol=lambda _socket, offered: Subprotocol("realtime") if "realtime" in offered else None,
            compression=None,
            max_size=None,
            max_queue=2,
            close_timeout=1,
            ssl=tls,
        ) as server:
            self._server = server
            self.port = server.sockets[0].getsockname()[1]
            yield self
