"""Comments on streams that are silent: a model may think for minutes, and what stands between would cut the line.

Rules of this file: a comment goes out between two pieces, which are whole events, and never behind the last; one at
most waits for a caller who reads nothing. Comments count as nothing: they are in no figure and put off no limit.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.relay.answer import ComingBody

_Send = Callable[[Any], Awaitable[None]]

SILENCE_S = 15.0
"""How long a stream may be silent; proxies and load balancers cut idle connections after 30 to 60 s."""


class Beat:
    """One stream: sends comments while its body gives nothing."""

    __slots__ = ("_body", "_looks", "_seen", "_send", "_sending")

    def __init__(self, send: _Send, body: ComingBody) -> None:
        self._send = send
        self._body = body
        self._seen = -1
        self._looks = 0
        """Since the last piece."""
        self._sending: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Called twice in `SILENCE_S`: the first look that finds nothing new speaks, and then every other one."""
        sent = self._body.sent_bytes
        if sent != self._seen:
            self._seen, self._looks = sent, 0
            return
        self._looks += 1
        if self._looks % 2 and (self._sending is None or self._sending.done()):
            self._sending = asyncio.get_running_loop().create_task(self._speak())

    def stop(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    async def _speak(self) -> None:
        try:
            await self._send({"type": "http.response.body", "body": self._body.keep_alive, "more_body": True})
        except OSError:  # the caller is gone: the call's own task will see it
            return


class KeepAlives:
    """The streams of this worker that are on their way. One timer looks after all of them."""

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        self._every_s = silence_s / 2
        self._beats: set[Beat] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, send: _Send, body: ComingBody) -> Beat | None:
        """From now on until `remove`. None: comments have no place in this body."""
        if not body.keep_alive:
            return None
        beat = Beat(send, body)
        self._beats.add(beat)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._look)
        return beat

    def remove(self, beat: Beat) -> None:
        self._beats.discard(beat)
        beat.stop()

    def _look(self) -> None:
        self._timer = None
        for beat in self._beats:
            beat.look()
        if self._beats:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._look)
