"""A forward proxy on the loopback: CONNECT tunnels, absolute-form requests passed on, with or without a password."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.fakes.raw_server import Peer, SeenRequest, raw_server

REFUSED = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class Proxy:
    """A running proxy, and what it was asked."""

    def __init__(self, login: str | None) -> None:
        self.address = ""
        """`127.0.0.1:port`."""
        self.seen: list[SeenRequest] = []
        self._login = None if login is None else b"Basic " + base64.b64encode(login.encode())

    async def serve(self, peer: Peer) -> None:
        request = await self._admitted(peer)
        if request is None:
            return
        is_tunnel = request.method == b"CONNECT"
        url = urlsplit(f"//{request.target.decode()}" if is_tunnel else request.target.decode())
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        try:
            if is_tunnel:
                await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
                sending = _pump(peer.reader, writer)
            else:
                sending = self._pass_on(request, peer, writer)
            await asyncio.gather(sending, _pump(reader, peer.writer))
        finally:
            writer.transport.abort()

    async def _admitted(self, peer: Peer) -> SeenRequest | None:
        """The next request, its password checked; None when there is none that may pass."""
        request = await peer.read_request()
        if request is None:
            return None
        self.seen.append(request)
        if self._login is not None and _header(request, b"proxy-authorization") != self._login:
            await peer.send(REFUSED)
            peer.close()
            return None
        return request

    async def _pass_on(self, first: SeenRequest, peer: Peer, writer: asyncio.StreamWriter) -> None:
        request: SeenRequest | None = first
        while request is not None:
            writer.write(_passed_on(request))
            request = await self._admitted(peer)
        writer.close()


@asynccontextmanager
async def forward_proxy(login: str | None = None) -> AsyncIterator[Proxy]:
    """`login`: `user:password` that it wants; None: everybody may. A connection carries one upstream's calls."""
    proxy = Proxy(login)
    async with raw_server(proxy.serve) as server:
        proxy.address = f"127.0.0.1:{server.origin.port}"
        yield proxy


def _passed_on(request: SeenRequest) -> bytes:
    url = urlsplit(request.target.decode())
    target = f"{url.path}?{url.query}" if url.query else url.path
    kept = [header for header in request.headers if not header[0].lower().startswith(b"proxy-")]
    lines = b"".join(b"%s: %s\r\n" % header for header in kept)
    return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (request.method, target.encode(), lines, request.body)


def _header(request: SeenRequest, name: bytes) -> bytes | None:
    return next((value for key, value in request.headers if key.lower() == name), None)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
    writer.close()
