"""One upstream's stream of events, from its head to its end: what of it goes on, and how it ended.

open: hold events until one has content ──▶ next_piece: pass on, watch ──▶ b"" and `broke`: None, or why
└─ an error, silence, an early end: why not
"""

import asyncio

import msgspec

from gateway.core.classify import classify_fault, classify_stream_error
from gateway.core.errors import GatewayError, UpstreamFailed, UpstreamTimedOut
from gateway.core.ids import Instant
from gateway.core.outcome import ErrorBody, Fault, Outcome, OutcomeKind
from gateway.relay.lease import Lease
from gateway.relay.ports import Clock, UpstreamAnswer
from gateway.wire.reading import EventReader

HOLD_S = 2.0
"""How long events without content wait for one with content before the head goes out without it (SPEC §5)."""
END_WAIT_S = 0.1
"""How long the connection waits for the last bytes of its framing after the answer's end, to be used again."""

BROKEN = Outcome(OutcomeKind.UPSTREAM_ERROR, message="the stream ended before its end")
GARBLED = Outcome(OutcomeKind.UPSTREAM_ERROR, message="an event of the stream was not JSON")


class Break(msgspec.Struct, frozen=True):
    """How a stream ended that did not end well."""

    outcome: Outcome
    error: GatewayError | ErrorBody
    """For the caller."""


class EventSource:
    """Holds the lease and the connection until `cut` or `finish`, one of which must be called."""

    def __init__(  # the parts it works with, by name
        self, *, answer: UpstreamAnswer, reader: EventReader, lease: Lease, clock: Clock, stall_s: float
    ) -> None:
        self.reader = reader
        self.lease = lease
        self._answer = answer
        self._clock = clock
        self._stall_s = stall_s
        self._held: list[bytes] = []
        self._held_since: Instant | None = None
        self._patience_s = stall_s
        """What is left of the stall limit: spent by waiting alone, given back by an event. Comments give nothing."""
        self._events = 0
        self._pending: asyncio.Task[bytes | Fault] | None = None
        """A read that the hold did not wait for."""
        self._is_over = False
        self._is_closed = False
        self.broke: Break | None = None

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def is_whole(self) -> bool:
        """It ended, and well."""
        return self._is_over and self.broke is None

    # -- before the commit ---------------------------------------------------------------------------------------

    async def open(self, deadline: Instant) -> Outcome | None:
        """Reads up to the first content. None: commit to this answer; else why not. `deadline`: for the first event."""
        while True:
            chunk = None if self.reader.may_be_silent else await self._read_opening(deadline)
            if chunk is None:
                return None  # held long enough: what came goes out, the rest follows
            if isinstance(chunk, Fault):
                return classify_fault(chunk)
            if not chunk:
                return self._ended_early()
            sent = self.reader.feed(chunk)
            if sent:
                self._held.append(sent)
            failed = self._failed()
            if failed is not None or self.reader.has_content or self.reader.is_done:
                return failed

    def _failed(self) -> Outcome | None:
        """Why not to commit to what has been read."""
        reader = self.reader
        if reader.error is not None:
            return classify_stream_error(reader.error)
        if reader.is_broken:
            return GARBLED
        return BROKEN if reader.is_done and not reader.events else None  # an end of nothing is no answer

    async def _read_opening(self, deadline: Instant) -> bytes | Fault | None:
        """The next chunk; None when events have been held for long enough."""
        now = self._clock.now()
        if not self._held:
            return await self._answer.next_chunk(max(deadline - now, 0.001))
        if self._held_since is None:
            self._held_since = now
        rest_s = self._held_since + HOLD_S - now
        read = asyncio.ensure_future(self._answer.next_chunk(max(deadline - now, 0.001)))
        try:
            done, _ = await asyncio.wait({read}, timeout=max(rest_s, 0.0))
        except BaseException:
            read.cancel()
            raise
        if done:
            return read.result()
        self._pending = read
        return None

    def _ended_early(self) -> Outcome | None:
        added = self.reader.finish()
        if self.reader.error is not None:
            return classify_stream_error(self.reader.error)
        if added is None:
            return BROKEN
        self._held.append(added)
        self._is_over = True
        return None

    # -- after the commit ----------------------------------------------------------------------------------------

    async def next_piece(self) -> bytes:
        """The next events, whole ones; b"" at the end."""
        if self._held:
            piece = b"".join(self._held)
            self._held.clear()
            self._events = self.reader.events
            self._look_for_end()
            return piece
        while not self._is_over:
            began = self._clock.now()
            chunk = await self._next_chunk()
            if isinstance(chunk, Fault) or not chunk:
                return self._ended(chunk or None)
            piece = self.reader.feed(chunk)
            self._look_for_end()
            if self.reader.events != self._events:
                self._events = self.reader.events
                self._patience_s = self._stall_s
            else:
                self._patience_s -= self._clock.now() - began
            if piece:
                return piece
        return b""

    async def _next_chunk(self) -> bytes | Fault:
        pending = self._pending
        if pending is None:
            return await self._answer.next_chunk(max(self._patience_s, 0.001))
        try:
            return await pending
        finally:
            pending.cancel()
            self._pending = None

    def _look_for_end(self) -> None:
        """The reader may have seen it: `[DONE]`, an error event, or an event that cannot be read."""
        reader = self.reader
        if not reader.is_over:
            return
        self._is_over = True
        if reader.error is not None:
            self.broke = Break(classify_stream_error(reader.error), reader.error)
        elif reader.is_broken:
            self.broke = Break(GARBLED, UpstreamFailed("The upstream sent an event that is not JSON."))

    def _ended(self, fault: Fault | None) -> bytes:
        """The body's end, clean or not, with no `[DONE]` before it. An answer that was finished by then is whole."""
        self._is_over = True
        reader = self.reader
        if fault is not None and not reader.is_finished:
            self.broke = Break(classify_fault(fault), _error_of(fault))
            return b""
        added = reader.finish()
        if added is not None:
            return added
        if reader.error is not None:
            self.broke = Break(classify_stream_error(reader.error), reader.error)
        else:
            self.broke = Break(BROKEN, UpstreamFailed("The upstream ended the stream before the answer was whole."))
        return b""

    # -- the end -------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Frees the account and closes the connection at once. Idempotent."""
        self.lease.release()
        if self._pending is not None:
            self._pending.cancel()
        if not self._is_closed:
            self._is_closed = True
            self._answer.close()

    async def finish(self) -> None:
        """The same after an answer that ended well: the connection gets the moment it needs to be used again."""
        self.lease.release()
        try:
            if self._pending is None and not self._is_closed:
                await self._answer.next_chunk(END_WAIT_S)
        finally:
            self.cut()


def _error_of(fault: Fault) -> GatewayError:
    if classify_fault(fault).kind is OutcomeKind.TIMED_OUT:
        return UpstreamTimedOut("The upstream fell silent in the middle of the answer.")
    return UpstreamFailed("The connection to the upstream broke in the middle of the answer.")
