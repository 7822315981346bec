"""The least of an HTTP client: what was sent arrives as bytes, up to the end or the reset."""

import asyncio
import json

import msgspec

from tests.waits import PATIENCE_S

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there you"}]}
STREAM = {**CHAT, "stream": True}


class Received(msgspec.Struct):
    """All that came on one connection."""

    data: bytes
    was_reset: bool

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        head = self.data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in head)

    @property
    def body(self) -> bytes:
        """Without its head; still chunked."""
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def events(self) -> int:
        return self.data.count(b"data: ")

    @property
    def is_finished(self) -> bool:
        """Whether a chunked body came to its last chunk."""
        return self.data.endswith(b"0\r\n\r\n")

    @property
    def error(self) -> dict[str, object]:
        found = json.loads(self.body)["error"]
        assert isinstance(found, dict)
        return found


def written(body: object, *, key: str = "sk-a", path: str = "/v1/chat/completions", extra: str = "") -> bytes:
    """A request's bytes; a `body` of bytes is sent as it is."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    content = b"" if body is None else content
    head = f"{method} {path} HTTP/1.1\r\nhost: sandbox\r\nauthorization: Bearer {key}\r\n{extra}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def ask(url: str, body: object, *, key: str = "sk-a", path: str = "/v1/chat/completions") -> Received:
    """One request on a connection of its own."""
    reader, writer = await connect(url)
    writer.write(written(body, key=key, path=path, extra="connection: close\r\n"))
    try:
        return await receive(reader)
    finally:
        writer.close()


async def receive(reader: asyncio.StreamReader, timeout_s: float = PATIENCE_S) -> Received:
    """Reads to the end or the reset. Raises TimeoutError."""
    data = bytearray()
    async with asyncio.timeout(timeout_s):
        try:
            while piece := await reader.read(65536):
                data += piece
        except ConnectionResetError:
            return Received(bytes(data), was_reset=True)
    return Received(bytes(data), was_reset=False)
