"""Hears an upstream's answer while a body is still being sent: httpcore2 by itself reads when the last byte has left.

    write, write, write …    from the third on (the head and a first piece are gone) one read runs beside
          └─ an answer came ─▶ WriteError, which httpcore2 takes for an upstream that has closed: it reads the answer

Rules of this file: HTTP/2 reads and writes by itself, and is left alone; 1xx heads are none, unless they have no end;
what was heard early is read first. A connection whose body was left off is not used again: httpcore2 sees to it.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2

READ_BYTES = 65_536
MOST_HINTS_BYTES = 8192
"""Of 1xx heads while a body is sent; who says more is not listened to for ever."""
UNHEARD_WRITES = 2
"""A head and a piece fit into the sockets' buffers: small calls pay for no second task."""
INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")
STATUS_BYTES = len(INFORMATIONAL[0])


class ListeningBackend(httpcore2.AsyncNetworkBackend):
    """Connects as the other backend does."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return ListeningStream(
            await self._backend.connect_tcp(host, port, timeout, local_address, socket_options=socket_options)
        )

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class ListeningStream(httpcore2.AsyncNetworkStream):
    """One connection of HTTP/1.1, or the tunnel to one."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._writes = 0
        """Since the last answer."""
        self._listening: asyncio.Task[bytes] | None = None
        self._heard = b""
        """And not read yet."""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as above
        """Raises WriteError once the upstream has answered, or closed: `read` tells which."""
        self._writes += bool(buffer)
        if self._writes <= UNHEARD_WRITES or not buffer:
            await self._stream.write(buffer, timeout)
            return
        writing = asyncio.create_task(self._stream.write(buffer, timeout))
        try:
            while not writing.done():  # what was written whole may have been all of it
                if self._is_answered():
                    raise httpcore2.WriteError("answered before the body's end")
                if self._listening is None:
                    self._listening = asyncio.create_task(self._stream.read(READ_BYTES))
                await asyncio.wait({writing, self._listening}, return_when=asyncio.FIRST_COMPLETED)
            await writing
        finally:
            await _ended(writing)

    def _is_answered(self) -> bool:
        listening = self._listening
        if listening is None or not listening.done():
            return False
        if listening.exception() is not None or not listening.result():
            return True
        self._heard, self._listening = self._heard + listening.result(), None
        return _is_final(self._heard) or len(self._heard) > MOST_HINTS_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # as above
        self._writes = 0
        if not self._heard and self._listening is None:
            return await self._stream.read(max_bytes, timeout)
        if not self._heard and self._listening is not None:
            done, _ = await asyncio.wait({self._listening}, timeout=timeout)
            if not done:
                raise httpcore2.ReadTimeout
            listening, self._listening = self._listening, None
            self._heard = listening.result()
        piece, self._heard = self._heard[:max_bytes], self._heard[max_bytes:]
        return piece

    async def aclose(self) -> None:
        if self._listening is not None:
            await _ended(self._listening)
            self._listening = None
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # as above
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        spoken = stream.get_extra_info("ssl_object").selected_alpn_protocol()
        return stream if spoken == "h2" else ListeningStream(stream)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  # as above
        return self._stream.get_extra_info(info)


async def _ended(task: "asyncio.Task[Any]") -> None:
    """Cancels what still runs; how it ended is no matter."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _is_final(heard: bytes) -> bool:
    """Whether it begins an answer; 1xx heads before it tell nothing yet."""
    while heard.startswith(INFORMATIONAL):
        _, end, heard = heard.partition(b"\r\n\r\n")
        if not end:
            return False
    return len(heard) >= STATUS_BYTES
