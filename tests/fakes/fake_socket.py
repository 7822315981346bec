"""`FakeSocket`: one end of a session in memory. Fits `relay.ports.UpstreamSocket`, and so `Socket`."""

import asyncio

from gateway.core.outcome import Fault
from gateway.providers.base import Headers
from gateway.wire.sockets import Closed, Message


class FakeSocket:
    status = 101
    headers: Headers = ()

    def __init__(self, *said: Message | Closed) -> None:
        """`said`: what it says at once."""
        self.said: asyncio.Queue[Message | Closed] = asyncio.Queue()
        for message in said:
            self.said.put_nowait(message)
        self.heard: list[Message] = []
        self.takes = asyncio.Event()
        """Cleared: it reads nothing."""
        self.takes.set()
        self.is_open = True
        """Set to False it refuses what is sent."""
        self.finished: list[tuple[int, str]] = []
        self.closings = 0

    def say(self, *messages: Message | Closed) -> None:
        for message in messages:
            self.said.put_nowait(message)

    async def receive(self) -> Message | Closed:
        return await self.said.get()

    async def send(self, message: Message) -> bool:
        await self.takes.wait()
        if self.is_open:
            self.heard.append(message)
        return self.is_open

    async def finish(self, code: int, reason: str) -> None:
        self.finished.append((code, reason))

    def close(self) -> None:
        self.closings += 1

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:
        return b""

    async def read_all(self, max_bytes: int) -> bytes | Fault:
        return b""
