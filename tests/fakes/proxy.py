"""A forward proxy on the loopback: CONNECT tunnels, absolute-form requests passed on, with or without a password."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.fakes.raw_server import Peer, SeenRequest, raw_server

REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"


class Proxy:
    """A running proxy, and what it was asked."""

    def __init__(self, login: str | None) -> None:
        self.address = ""
        """`127.0.0.1:port`."""
        self.seen: list[SeenRequest] = []
        self._login = None if login is None else b"Basic " + base64.b64encode(login.encode())

    async def serve(self, peer: Peer) -> None:
        request = await peer.read_request()
        if request is None:
            return
        self.seen.append(request)
        if self._login is not None and _header(request, b"proxy-authorization") != self._login:
            await peer.send(REFUSED)
            return
        is_tunnel = request.method == b"CONNECT"
        url = urlsplit(f"//{request.target.decode()}" if is_tunnel else request.target.decode())
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        try:
            if is_tunnel:
                await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                writer.write(_passed_on(request, f"{url.path}?{url.query}"))
            await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))
        finally:
            writer.transport.abort()


@asynccontextmanager
async def forward_proxy(login: str | None = None) -> AsyncIterator[Proxy]:
    """`login`: `user:password` that it wants; None: everybody may. A connection carries one upstream's calls."""
    proxy = Proxy(login)
    async with raw_server(proxy.serve) as server:
        proxy.address = f"127.0.0.1:{server.origin.port}"
        yield proxy


def _passed_on(request: SeenRequest, target: str) -> bytes:
    kept = [header for header in request.headers if not header[0].lower().startswith(b"proxy-")]
    lines = b"".join(b"%s: %s\r\n" % header for header in kept)
    return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (request.method, target.encode(), lines, request.body)


def _header(request: SeenRequest, name: bytes) -> bytes | None:
    return next((value for key, value in request.headers if key.lower() == name), None)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
    writer.close()
