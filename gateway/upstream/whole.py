"""A body that is wanted whole, whichever engine brings it."""

from collections.abc import Awaitable, Callable

from gateway.core.outcome import Fault
from gateway.upstream import faults


async def read_whole(next_chunk: Callable[[], Awaitable[bytes | Fault]], max_bytes: int) -> bytes | Fault:
    """All pieces to the clean end, joined; the fault that ended them, or one of its own beyond `max_bytes`."""
    chunks: list[bytes] = []
    left = max_bytes
    while chunk := await next_chunk():
        if isinstance(chunk, Fault):
            return chunk
        left -= len(chunk)
        if left < 0:
            return faults.body_too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)
