"""`Connection`: one socket to an upstream; writes requests, feeds the reader, waits, and notices silence and ends.

Rules of this file: one timer a connection, armed late and left alone while it is early enough (a call re-arms it only
for a nearer deadline); one future for each wait; no task. Whoever is cancelled while waiting aborts the connection.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from math import inf
from typing import Protocol

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import BodySource, UpstreamRequest
from gateway.upstream import faults
from gateway.upstream.answer_reader import AnswerReader

WHOLE_WRITE_BYTES = 65_536
"""A body up to this size leaves in one write with its head; a longer one in pieces of it, as they drain."""
MAX_UNREAD_BYTES = 262_144
"""Reading pauses above it, so at most this and one read (256 kB) wait for a slow reader."""
STALE_WITHIN_S = 2.0
"""A reused connection that dies this soon without a byte was closed before we wrote; later, the upstream broke."""
_TICK_S = 0.001
"""Event loops round timers to milliseconds and may fire one early."""


class Owner(Protocol):
    """The pool of the connection's origin."""

    def admit(self, connection: "Connection") -> None:
        """It stands now."""
        ...

    def give_back(self, connection: "Connection") -> None: ...

    def retire(self, connection: "Connection") -> None:
        """It can serve no further call: no longer idle, if it was. Idempotent."""
        ...

    def forget(self, connection: "Connection") -> None:
        """Its socket is closed."""
        ...


class Connection(asyncio.Protocol):
    __slots__ = (
        "_deadline",
        "_is_choked",
        "_is_paused",
        "_is_uploading",
        "_limit_s",
        "_loop",
        "_owner",
        "_timer",
        "_timer_at",
        "_transport",
        "_unread",
        "_waiter",
        "idle_since",
        "is_idle",
        "reader",
        "stall_s",
        "taken_at",
    )

    _transport: asyncio.Transport

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self.reader = AnswerReader()
        self.is_idle = False
        self.idle_since = 0.0
        """Loop time at which the pool got it back."""
        self.taken_at = loop.time()
        self.stall_s = 0.0
        """The stall limit of the call it serves."""
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = inf
        self._limit_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._unread = 0
        self._is_paused = False
        self._is_choked = False
        self._is_uploading = False

    # What a call does with it

    async def exchange(self, request: UpstreamRequest, head: bytes) -> Fault | None:
        """Sends the request and waits for the answer's whole head: None when it has come, `reader` holds it."""
        reader = self.reader
        reader.begin(is_head=request.method == b"HEAD")
        if self._transport.is_closing():
            return Fault(FaultKind.RESET, "connection closed before the request was sent")
        self._unread = 0
        self.stall_s = request.limits.stall_s
        body = request.body
        if not isinstance(body, bytes):
            await self._upload_source(head, body)
        elif len(body) <= WHOLE_WRITE_BYTES:
            # In the next turn: requests of one turn leave together and wake the upstream once (a tenth of a call).
            self._loop.call_soon(self._write, head + body if body else head)
        else:
            await self._upload(head, body)
        while not reader.is_head_whole:
            if reader.fault is not None:
                return reader.fault
            await self.wait(request.limits.headers_s)
        return None

    def _write(self, request: bytes) -> None:
        if not self._transport.is_closing():  # else the call has been told, or is about to be
            self._transport.write(request)

    async def wait(self, limit_s: float) -> None:
        """Returns when something has changed for the call; after `limit_s` of silence that is a fault."""
        loop = self._loop
        self._limit_s = limit_s
        self._deadline = deadline = loop.time() + limit_s
        if deadline < self._timer_at:
            self._arm(deadline)
        self._waiter = waiter = loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.abort()
            raise

    def take(self) -> bytes:
        """Everything unread, as one piece; b"" when nothing is."""
        pieces = self.reader.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._unread = 0
        if self._is_paused:
            self._resume()
        return body

    def release(self) -> None:
        """The call is done with it: back to the pool when nothing of the exchange is left over, else cut."""
        reader = self.reader
        if not (reader.is_whole and reader.may_reuse) or self._is_uploading:
            self.abort()
            return
        reader.pieces.clear()
        if self._is_paused:
            self._resume()
        self._owner.give_back(self)

    def is_stale(self, fault: Fault) -> bool:
        """Whether the upstream had closed it before it saw the request. Ask right after `fault` came."""
        is_young = self._loop.time() - self.taken_at < STALE_WITHIN_S
        return fault.kind is FaultKind.RESET and self.reader.is_untouched and is_young

    def close(self) -> None:
        """For an idle one: an orderly end."""
        self._owner.retire(self)
        self._transport.close()

    def abort(self) -> None:
        """Cuts it at once; the upstream sees the hang-up."""
        self._owner.retire(self)
        self._transport.abort()

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio gives stream protocols a Transport, typed as its base
        self._owner.admit(self)

    def data_received(self, data: bytes) -> None:
        reader = self.reader
        if self.is_idle or reader.fault is not None:
            self.abort()  # nothing was asked, or it already broke
            return
        reader.feed(data)
        waiter = self._waiter
        if waiter is not None and (reader.is_head_whole or reader.fault is not None):
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        self._unread += len(data)
        if self._unread > MAX_UNREAD_BYTES and not self._is_paused and not reader.is_whole:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """The upstream sends no more. Returning None closes our side too."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self.reader.retire()
        self._owner.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        self._is_choked = True

    def resume_writing(self) -> None:
        self._is_choked = False
        if self._is_uploading:
            self._wake()

    # Within

    async def _upload(self, head: bytes, body: bytes) -> None:
        """Sends a long body piece by piece; stops where it is when the answer's head comes or the connection breaks."""
        view = memoryview(body)
        self._is_uploading = True
        self._transport.write(head)
        for start in range(0, len(view), WHOLE_WRITE_BYTES):
            if not await self._may_write():
                return
            self._transport.write(view[start : start + WHOLE_WRITE_BYTES])
        self._is_uploading = False

    async def _upload_source(self, head: bytes, body: BodySource) -> None:
        """The same of a body that comes from elsewhere. When it cannot be had, the connection is cut."""
        self._is_uploading = True
        self._transport.write(head)
        try:
            async with aclosing(body.pieces()) as pieces:
                async for piece in pieces:
                    if not await self._may_write():
                        return
                    self._transport.write(piece)
        except BaseException:
            self.abort()
            raise
        self._is_uploading = False

    async def _may_write(self) -> bool:
        """Once there is room for more. False: the answer's head has come, or the connection broke: no more is sent."""
        reader = self.reader
        while self._is_choked and not reader.is_head_whole and reader.fault is None:
            await self.wait(self.stall_s)
        # closing: its end is told in a moment, and uvloop raises when one writes to it
        return not (reader.is_head_whole or reader.fault is not None or self._transport.is_closing())

    def _end(self, error: Exception | None) -> None:
        self._owner.retire(self)
        self.reader.end(error)
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _resume(self) -> None:
        self._is_paused = False
        self._transport.resume_reading()

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_timer)
        self._timer_at = at

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        if self._waiter is None:
            return  # nobody waits; the next wait arms it again
        if self._loop.time() + _TICK_S < self._deadline:
            if self._deadline < inf:
                self._arm(self._deadline)
            return
        self.reader.fault = self._silence()(self._limit_s)
        self.abort()
        self._wake()

    def _silence(self) -> Callable[[float], Fault]:
        if self.reader.is_head_whole:
            return faults.stall
        return faults.upload_stall if self._is_uploading else faults.headers_timeout
