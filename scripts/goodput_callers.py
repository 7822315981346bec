"""Callers at random moments, over keep-alive connections; and two plain rotations, to compare with."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from urllib.parse import urlsplit

from goodput_scenes import MODEL, Part

TRIES = 3
"""Keys that a plain rotation tries for one call."""
PATIENCE_S = 60.0

Send = Callable[["Part", bytes], Awaitable[int]]
"""Makes one call for a part, with a body; the status that its caller sees, 0: none."""


@lru_cache
def body_of(tokens: int) -> bytes:
    """With a prompt of so many, as OpenAI estimates them: four characters are one."""
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "word" * tokens}]}).encode()


@dataclass
class Tally:
    """What the callers of one part saw, of calls that came while it counted."""

    offered: int = 0
    answered: int = 0
    refused: int = 0
    """With 429."""
    failed: int = 0
    offered_tokens: int = 0
    answered_tokens: int = 0
    """Of all answers that came while it counted."""


class Connections:
    """Keep-alive connections to one address, as many as are needed at once."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self._host, self._port = url.hostname or "", url.port or 80
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def post(self, headers: dict[str, str], body: bytes) -> int:
        """The status of `POST /v1/chat/completions`. Raises OSError, EOFError and ValueError."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{head}\r\n".encode()
            + body
        )
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields[b"content-length"]))
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return int(answer.split(b" ", 2)[1])

    async def close(self) -> None:
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def through_gateways(gateways: list[Connections], rng: Random) -> Send:
    """Any of them, one as good as another."""

    async def send(part: Part, body: bytes) -> int:
        return await rng.choice(gateways).post({"x-provider": part.id}, body)

    return send


def by_turns(upstream: Connections) -> Send:
    """Plain round robin over the keys; a refused call goes to the next."""
    turns: dict[str, int] = {}

    async def send(part: Part, body: bytes) -> int:
        status = 0
        for _ in range(TRIES):
            turns[part.id] = turns.get(part.id, -1) + 1
            key = part.key(turns[part.id] % part.scene.accounts)
            status = await upstream.post({"authorization": f"Bearer {key}"}, body)
            if status != 429:
                return status
        return status

    return send


def by_chance(upstream: Connections, rng: Random) -> Send:
    """Any key; a refused call goes to any other."""

    async def send(part: Part, body: bytes) -> int:
        status = 0
        for key in rng.sample(part.keys, min(TRIES, len(part.keys))):
            status = await upstream.post({"authorization": f"Bearer {key}"}, body)
            if status != 429:
                return status
        return status

    return send


@dataclass
class Crowd:
    """The callers of one part."""

    part: Part
    send: Send
    rng: Random
    tally: Tally = field(default_factory=Tally)
    calls: list[tuple[float, int]] = field(default_factory=list)
    """When they came, by the loop's clock, and their tokens."""
    is_counting: bool = False

    async def come(self, seconds: float) -> None:
        """Calls at random moments for so long; ends when the last one is answered."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        ends = at + seconds
        async with asyncio.TaskGroup() as calls:
            while (at := at + self.rng.expovariate(self.part.rate)) < ends:
                await asyncio.sleep(max(0.0, at - loop.time()))  # noqa: TID251  # a program: nobody moves its clock
                calls.create_task(self._call())

    async def _call(self) -> None:
        is_counted, tally, tokens = self.is_counting, self.tally, self.rng.choice(self.part.scene.prompts)
        self.calls.append((asyncio.get_running_loop().time(), tokens))
        tally.offered += is_counted
        tally.offered_tokens += is_counted * tokens
        try:
            async with asyncio.timeout(PATIENCE_S):
                status = await self.send(self.part, body_of(tokens))
        except (OSError, EOFError, ValueError):
            status = 0
        tally.answered += is_counted and status == 200
        tally.answered_tokens += tokens * (self.is_counting and status == 200)
        tally.refused += is_counted and status == 429
        tally.failed += is_counted and status not in {200, 429}
