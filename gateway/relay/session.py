"""A session: messages between a caller and the upstream's socket, both ways, until one of them ends it.

    caller ──▶ upstream      each direction is one loop: receive, send, and send waits while the other side is slow,
    caller ◀── upstream      so what is slow slows its sender and nothing piles up
    watch                    nobody spoke for too long, or the caller's key is no longer good

Rules of this file: the account's slot is held until the upstream's end; what the upstream said before it closed still
reaches the caller; whoever is left is told why, with the code and reason of the one who ended.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.core.call import Usage
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import OutcomeKind
from gateway.relay.metering import Progress
from gateway.relay.ports import Clock, Socket
from gateway.telemetry.events import CallEnd
from gateway.wire.sockets import LOST, Closed, Message, sendable

WATCH_S = 1.0
"""A revoked key ends its sessions as soon as its calls."""
SEND_S = 60.0
"""An upstream that takes nothing for so long is lost."""
LAST_WORDS_S = 5.0
"""For what an upstream had said before it closed, when the caller reads slowly."""
GOING_AWAY, POLICY, BROKEN, RESTART = 1001, 1008, 1011, 1012


class Side(msgspec.Struct):
    """What one side has said."""

    messages: int = 0
    bytes: int = 0

    def count(self, message: Message) -> None:
        self.messages += 1
        self.bytes += len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())


class End(msgspec.Struct, frozen=True):
    """How a session ended."""

    by: str
    """`caller`, `upstream` or `gateway`."""
    code: int
    """As it was received; of the gateway, as it is sent."""
    reason: str = ""
    closed: Closed | None = None
    """What was received."""


class UpstreamSide(Socket, Protocol):
    """The upstream's end of a session, and what its messages mean to us: `talk.Talk` of realtime, `Conversation`."""

    @property
    def responses(self) -> int:
        """That ended so far, for the log."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Of all of them."""
        ...

    @property
    def may_end(self) -> bool:
        """The gateway stops, and nothing is under way here that is worth waiting for."""
        ...

    def note(self, message: Message, now: Instant) -> None:
        """A message is about to go to the caller."""
        ...

    def lost(self, closed: Closed, now: Instant) -> None:
        """The connection ended without a word."""
        ...

    async def close(self) -> None:
        """Cuts the connection and frees the account. Idempotent."""
        ...


class Session:
    """One per caller. Owns the upstream's side from `run` on."""

    def __init__(  # the parts it works with, by name
        self,
        *,
        caller: Socket,
        upstream: UpstreamSide,
        clock: Clock,
        progress: Progress,
        idle_s: float,
        is_welcome: Callable[[], bool],
    ) -> None:
        """`is_welcome`: whether the caller's key is still good."""
        self._caller = caller
        self._upstream = upstream
        self._clock = clock
        self._progress = progress
        self._idle_s = idle_s
        self._is_welcome = is_welcome
        self._moved_at: Instant = clock.now()
        self._taken_by = FOREVER
        """When an upstream that takes nothing more is given up."""
        self.said = Side()
        """By the caller."""
        self.heard = Side()
        """By the upstream."""
        self.end: End | None = None

    async def run(self) -> End:
        """Until one side ends it; both have been told then, and the account is free. Cancelled: see `cut`."""
        speaking = asyncio.create_task(self._speak(), name="session.speak")
        listening = asyncio.create_task(self._listen(), name="session.listen")
        watching = asyncio.create_task(self._watch(), name="session.watch")
        try:
            end = await _first_of(speaking, listening, watching)
        finally:
            for task in (speaking, listening, watching):
                task.cancel()
            await asyncio.gather(speaking, listening, watching, return_exceptions=True)
        await self._over(end)
        return end

    async def cut(self, reason: str) -> None:
        """The gateway stops: both sides are told so."""
        await self._over(End("gateway", RESTART, reason))

    # -- the two directions --------------------------------------------------------------------------------------

    async def _speak(self) -> End | None:
        """What the caller says. None: the upstream takes no more, and what it said last may still be on its way."""
        while True:
            message = await self._caller.receive()
            if isinstance(message, Closed):
                return End("caller", message.code, message.reason, message)
            self.said.count(message)
            self._moved_at = self._clock.now()
            self._taken_by = Instant(self._moved_at + SEND_S)
            if not await self._upstream.send(message):
                self._taken_by = Instant(self._clock.now() + LAST_WORDS_S)
                return None
            self._taken_by = FOREVER

    async def _listen(self) -> End:
        """What the upstream says."""
        while True:
            message = await self._upstream.receive()
            if isinstance(message, Closed):
                return End("upstream", message.code, message.reason, message)
            self._note(message)
            if not await self._caller.send(message):
                return End("caller", LOST, closed=Closed())

    async def _watch(self) -> End:
        while True:
            await self._clock.sleep(WATCH_S)
            if not self._is_welcome():
                return End("gateway", POLICY, "The client key is revoked or has expired.")
            if self._upstream.may_end:
                return End("gateway", RESTART, "The gateway is shutting down.")
            now = self._clock.now()
            if now >= self._taken_by:
                return End("upstream", LOST, closed=Closed())
            if now - self._moved_at >= self._idle_s:
                return End("gateway", GOING_AWAY, f"No message for {self._idle_s:g} s.")

    def _note(self, message: Message) -> None:
        progress, now = self._progress, self._clock.now()
        self._moved_at = now
        self.heard.count(message)
        progress.chunks, progress.body_bytes = self.heard.messages, self.heard.bytes
        if progress.first_byte is None:
            progress.first_byte = now
        self._upstream.note(message, now)

    # -- the end -------------------------------------------------------------------------------------------------

    async def _over(self, end: End) -> None:
        """Tells who is left, the upstream first: its account is free then."""
        if self.end is not None:
            return
        self.end = end
        instead = GOING_AWAY if end.by == "caller" else BROKEN
        code, reason = sendable(end.code, end.reason, instead=instead)
        lost = end.by == "upstream" and end.code == LOST
        if lost and end.closed is not None:
            self._upstream.lost(end.closed, self._clock.now())
            reason = "The connection to the upstream was lost."
        try:
            await self._upstream.finish(code, reason)
        finally:
            await self._upstream.close()
        if end.by != "caller":
            await self._caller.finish(code, reason)
        self._settle(end)

    def _settle(self, end: End) -> None:
        is_lost = end.code == LOST
        is_faulty = end.closed is not None and end.closed.fault is not None
        if end.by == "upstream" and (is_lost or is_faulty or end.code == BROKEN):
            self._progress.finish(CallEnd.BROKEN, 101, code="upstream_error", is_complete=False)
        elif end.by == "caller" and is_lost:
            self._progress.finish(OutcomeKind.CANCELLED, 101, is_complete=False)
        elif end.code == RESTART and end.by == "gateway":
            self._progress.finish(CallEnd.SHUTTING_DOWN, 101, code="shutting_down", is_complete=False)
        else:
            self._progress.finish(OutcomeKind.OK, 101)


async def _first_of(
    speaking: "asyncio.Task[End | None]", listening: "asyncio.Task[End]", watching: "asyncio.Task[End]"
) -> End:
    """Who ends the session. An upstream that takes no more may have said something that is still to be passed on."""
    await asyncio.wait({speaking, listening, watching}, return_when=asyncio.FIRST_COMPLETED)
    if speaking.done() and (end := speaking.result()) is not None:
        return end
    if not listening.done() and not watching.done():
        await asyncio.wait({listening, watching}, return_when=asyncio.FIRST_COMPLETED)
    return listening.result() if listening.done() else watching.result()
