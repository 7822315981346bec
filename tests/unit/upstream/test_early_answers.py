import asyncio

import httpcore2
import pytest

from gateway.upstream.early_answers import MOST_HINTS_BYTES, UNHEARD_WRITES, ListeningStream
from tests.waits import PATIENCE_S

HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"


class Stuck(httpcore2.AsyncNetworkStream):
    """Takes a head and a first piece, then nothing more; says the same for ever."""

    def __init__(self) -> None:
        self.writes = 0
        self.said = 0

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore2's
        self.writes += 1
        if self.writes > UNHEARD_WRITES:
            await asyncio.Event().wait()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # as above
        self.said += len(HINT)
        return HINT


async def test_an_upstream_that_sends_no_end_of_hints_fills_no_memory() -> None:
    upstream = Stuck()
    stream = ListeningStream(upstream)
    for _ in range(UNHEARD_WRITES):
        await stream.write(b"piece")

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"piece")

    assert upstream.said <= MOST_HINTS_BYTES + 2 * len(HINT)
