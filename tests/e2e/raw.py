"""A client that speaks HTTP by hand: for what no well-behaved client sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from tests.waits import PATIENCE_S


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """Status line and headers of the next answer."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer, whichever framing it has."""
        head = (await self.head()).lower()
        status = int(head.split(b" ", 2)[1])
        async with asyncio.timeout(PATIENCE_S):
            if b"transfer-encoding: chunked" in head:
                return status, await self._chunked()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            return status, await self.reader.readexactly(length)

    async def _chunked(self) -> bytes:
        body = b""
        while size := int((await self.reader.readline()).strip(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readline()
        return body

    async def until(self, words: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(words)

    async def rest_of_stream(self) -> bytes:
        """The last events of a chunked answer that ends with `[DONE]`, whatever came before."""
        async with asyncio.timeout(PATIENCE_S):
            last = b""
            while not last.endswith(b"0\r\n\r\n"):
                piece = await self.reader.read(2**20)
                assert piece, "the server closed in the middle of the answer"
                last = (last + piece)[-200:]
        return last.removesuffix(b"\r\n0\r\n\r\n")

    async def rest(self) -> bytes:
        """All until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@asynccontextmanager
async def raw(port: int, *, buffer_bytes: int = 2**16) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=buffer_bytes)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def post(body: object, *lines: str, path: str = "/v1/chat/completions") -> bytes:
    """A whole request; `body` is bytes, or a value that becomes JSON. `lines`: further headers."""
    raw_body = body if isinstance(body, bytes) else msgspec.json.encode(body)
    head = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {len(raw_body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + raw_body


def chat(content: str = "hi", **fields: object) -> dict[str, object]:
    return {"model": "gpt-4", "messages": [{"role": "user", "content": content}], **fields}
