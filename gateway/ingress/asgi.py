"""Answers as ASGI messages, and a watch for callers who hang up. No framework here: every call pays for this path."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.ingress.keep_alive import KeepAlives
from gateway.providers.base import Headers
from gateway.relay.answer import ComingBody

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

WATCH_EVERY_S = 0.05
"""Most failures and every quick answer end before a look comes: for these no task and no timer is made."""


class HangUp:
    """A call whose caller may go away; `is_gone` once it has, and then the call's task is cancelled."""

    __slots__ = ("is_gone", "receive", "task", "watcher")

    def __init__(self, task: asyncio.Task[object], receive: Receive) -> None:
        self.task = task
        self.receive = receive
        self.watcher: asyncio.Task[None] | None = None
        self.is_gone = False

    async def watch(self) -> None:
        """Reads on behind the request: all that can come is the end of the connection."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                self.task.cancel()
                return


class HangUpWatch:
    """Watches the callers of all calls of this worker that are not over at the next look. One timer for all of them."""

    def __init__(self) -> None:
        self._calls: set[HangUp] = set()
        self._new: list[HangUp] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, hang_up: HangUp) -> None:
        """From now on until `remove`; the request's body must have been read."""
        self._calls.add(hang_up)
        self._new.append(hang_up)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_EVERY_S, self._look)

    def remove(self, hang_up: HangUp) -> None:
        self._calls.discard(hang_up)
        if hang_up.watcher is not None:
            hang_up.watcher.cancel()
            hang_up.watcher = None  # its end has a traceback, which leads back here

    def _look(self) -> None:
        self._timer = None
        new, self._new = self._new, []
        for hang_up in new:
            if hang_up in self._calls:
                hang_up.watcher = asyncio.get_running_loop().create_task(hang_up.watch())


AT_ONCE = "gateway.send_at_once"
"""Key of an ASGI scope whose server takes whole answers: `(scope, status, headers, body) -> whether it did`."""
BODILESS = frozenset({204, 304})
"""Statuses of answers that have no body and tell no length (RFC 9110 §8.6)."""


async def send_whole(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    """An answer whose body is here."""
    framed = headers if status in BODILESS else (*headers, (b"content-length", b"%d" % len(body)))
    at_once = scope.get(AT_ONCE)
    if at_once is not None and at_once(scope, status, framed, body):
        return
    await send({"type": "http.response.start", "status": status, "headers": framed})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_coming(send: Send, status: int, headers: Headers, coming: ComingBody, keep_alives: KeepAlives) -> None:
    """An answer whose body is on its way. One that is cut is left unfinished: the server then cuts the connection."""
    beat = None
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        beat = keep_alives.add(send, coming)
        while piece := await coming.next_piece():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if beat is not None:
            beat.stop()
        if not coming.is_cut:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if beat is not None:
            keep_alives.remove(beat)
        await coming.close()
