"""A body on its way that somebody looks at as it passes."""

from collections.abc import Awaitable, Callable

from gateway.core.errors import GatewayError
from gateway.relay.answer import ComingBody


class WatchedBody:
    """Fits `answer.ComingBody`: another one's. Each piece waits for whoever looks; b"" is the end."""

    def __init__(self, coming: ComingBody, look: Callable[[bytes], Awaitable[None]]) -> None:
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
        await self._look(piece)
        return piece

    def last_words(self, error: GatewayError) -> bytes:
        return self._coming.last_words(error)

    async def close(self) -> None:
        await self._coming.close()
