"""`RawServer`: an HTTP server without manners. A script per connection says which bytes go out, and when."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from gateway.providers.base import Origin

SEGMENT_TICKS = 3
"""Turns of the event loop between two pieces, so that a client on the same loop reads each by itself."""


class SeenRequest(msgspec.Struct, frozen=True):
    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


class Peer:
    """One connection, as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        """Which connection of the server it is, from 0."""
        self.sent = 0
        self.hung_up = asyncio.Event()
        """The client's end or reset was seen by `wait_hang_up`."""

    async def read_request(self) -> SeenRequest | None:
        """The next request with its body; None when the client closed instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head[:-4].split(b"\r\n")
        method, target, _ = first.split(b" ")
        headers = tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines))
        length = int(dict(headers).get(b"content-length", b"0"))
        return SeenRequest(method, target, headers, await self.reader.readexactly(length))

    async def send(self, *pieces: bytes) -> None:
        """Each piece leaves as a segment of its own. Waits while the client does not read."""
        for piece in pieces:
            if self.writer.is_closing():
                raise ConnectionResetError  # as asyncio's drain says; uvloop raises RuntimeError from write
            self.writer.write(piece)
            await self.writer.drain()
            self.sent += len(piece)
            if len(pieces) > 1:
                await ticks(SEGMENT_TICKS)

    async def send_split(self, message: bytes) -> None:
        """Byte by byte."""
        await self.send(*[message[at : at + 1] for at in range(len(message))])

    def end(self) -> None:
        """Sends FIN; still reads."""
        self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Sends RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def wait_hang_up(self) -> None:
        """Until the client's end or reset."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass
        self.hung_up.set()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    def __init__(self, script: Script, tls: ssl.SSLContext | None) -> None:
        self.peers: list[Peer] = []
        self.seen: list[SeenRequest] = []
        self.origin = Origin("http", "127.0.0.1", 0)
        self._script = script
        self._tls = tls
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=2**20, backlog=512)
        self._listening = server
        port = server.sockets[0].getsockname()[1]
        self.origin = Origin("https" if self._tls else "http", "127.0.0.1", port)
        return server

    def stop_listening(self) -> None:
        """Refuses connections from now on; those that stand go on."""
        assert self._listening is not None
        self._listening.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        await ticks(SEGMENT_TICKS)
        if self._faults:
            raise self._faults[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, len(self.peers))
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._script(peer)
        except (asyncio.CancelledError, ConnectionError):
            pass  # the test is over, or the client left: scripts that mind say so themselves
        except Exception as error:  # noqa: BLE001  # raised again by `stop`, in the test
            self._faults.append(error)


@asynccontextmanager
async def raw_server(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serves on a free port of the loopback. A script that raises fails the test when the server stops."""
    server = RawServer(script, tls)
    listening = await server.start()
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
        await listening.wait_closed()


def answering(*answers: bytes) -> Script:
    """For every request on a connection the next of `answers`, the last one for all further ones."""

    async def script(peer: Peer) -> None:
        queue = list(answers)
        while await peer.read_request() is not None:
            await peer.send(queue.pop(0) if len(queue) > 1 else queue[0])

    return script


def ok(body: bytes = b"hello", *headers: bytes) -> bytes:
    """A keep-alive answer with a content-length."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (lines, len(body), body)


async def ticks(count: int) -> None:
    """Lets the event loop turn `count` times."""
    for _ in range(count):
        turned = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turned.set_result, None)
        await turned
