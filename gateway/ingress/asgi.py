"""Answers as ASGI messages, and a watch for callers who hang up. No framework here: every call pays for this path."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.providers.base import Headers
from gateway.relay.answer import ComingBody

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

WATCH_AFTER_S = 0.05
"""Most failures and every instant answer end before: for these no task is made."""


class HangUpWatch:
    """Cancels the call's task when its caller goes away. Watches only from `WATCH_AFTER_S` on; close it always."""

    __slots__ = ("_call", "_receive", "_timer", "_watcher", "is_gone")

    def __init__(self, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        self._receive = receive
        self._call = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._timer = loop.call_later(WATCH_AFTER_S, self._start)
        self.is_gone = False

    def _start(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                if self._call is not None:
                    self._call.cancel()
                return

    def close(self) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """An answer whose body is here."""
    framed = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": framed})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_coming(send: Send, status: int, headers: Headers, coming: ComingBody) -> None:
    """An answer whose body is on its way. One that is cut is left unfinished: the server then cuts the connection."""
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while piece := await coming.next_piece():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not coming.is_cut:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        await coming.close()
