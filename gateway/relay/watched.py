"""A body on its way that somebody looks at as it passes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gateway.core.errors import GatewayError
from gateway.relay.answer import ComingBody

Work = Coroutine[Any, Any, None]
T = TypeVar("T")


class WatchedBody:
    """Fits `answer.ComingBody`: another one's. Whoever looks may ask for time before the piece goes on; b"" is the end.

    A caller that has all bytes may hang up before the end: what was begun is done all the same.
    """

    def __init__(self, coming: ComingBody, look: Callable[[bytes], Work | None]) -> None:
        self._coming = coming
        self._look = look

    @property
    def is_cut(self) -> bool:
        return self._coming.is_cut

    @property
    def keep_alive(self) -> bytes:
        return self._coming.keep_alive

    @property
    def sent_bytes(self) -> int:
        return self._coming.sent_bytes

    async def next_piece(self) -> bytes:
        piece = await self._coming.next_piece()
        work = self._look(piece)
        if work is not None:
            await uninterrupted(work)
        return piece

    def last_words(self, error: GatewayError) -> bytes:
        return self._coming.last_words(error)

    async def close(self) -> None:
        await self._coming.close()


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Does `work`, which never takes long, to its end: whoever cancels waits so long."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
