"""A stream of events on its way to the caller.

    open: hold events until one has content ──▶ commit ──▶ next_piece: pass on, watch ──▶ end
             └─ an error, silence, an early end: Failed, and another account may try, unseen

After the commit a failure ends the stream with an error event: never with a clean end after a truncation.
"""

import asyncio

from gateway.core.classify import classify_fault, classify_stream_error
from gateway.core.errors import GatewayError, UpstreamFailed, UpstreamTimedOut
from gateway.core.ids import Instant
from gateway.core.outcome import ErrorBody, Fault, Outcome, OutcomeKind
from gateway.relay.board import Board
from gateway.relay.lease import Lease
from gateway.relay.metering import Progress
from gateway.relay.ports import Clock, UpstreamAnswer
from gateway.telemetry.events import CallEnd
from gateway.wire.stream import StreamReader, write_error_event

HOLD_S = 2.0
"""How long events without content wait for one with content before the head goes out without it (SPEC §5)."""
END_WAIT_S = 0.1
"""How long the connection waits for the last bytes of its framing after the answer's end, to be used again."""

BROKEN = Outcome(OutcomeKind.UPSTREAM_ERROR, message="the stream ended before its end")
GARBLED = Outcome(OutcomeKind.UPSTREAM_ERROR, message="an event of the stream was not JSON")


class StreamingBody:
    """Fits `answer.ComingBody`. Holds the lease and the connection until `close`."""

    def __init__(  # noqa: PLR0913  # the parts it works with, by name
        self,
        *,
        answer: UpstreamAnswer,
        reader: StreamReader,
        lease: Lease,
        board: Board,
        clock: Clock,
        progress: Progress,
        stall_s: float,
    ) -> None:
        self._answer = answer
        self._reader = reader
        self._lease = lease
        self._board = board
        self._clock = clock
        self._progress = progress
        self._stall_s = stall_s
        self._held: list[bytes] = []
        self._held_since: Instant | None = None
        self._patience_s = stall_s
        """What is left of the stall limit: spent by waiting alone, given back by an event. Comments give nothing."""
        self._events = 0
        self._pending: asyncio.Task[bytes | Fault] | None = None
        """A read that the hold did not wait for."""
        self._is_over = False
        self._end: OutcomeKind | CallEnd | None = None
        self._code: str | None = None
        self.is_cut = False

    # -- before the commit ---------------------------------------------------------------------------------------

    async def open(self, deadline: Instant) -> Outcome | None:
        """Reads up to the first content. None: commit to this answer; else why not. `deadline`: for the first event."""
        while True:
            chunk = await self._read_opening(deadline)
            if chunk is None:
                return None  # held long enough: what came goes out, the rest follows
            if isinstance(chunk, Fault):
                return classify_fault(chunk)
            if not chunk:
                return self._ended_early()
            sent = self._reader.feed(chunk)
            if sent:
                self._held.append(sent)
            if self._reader.error is not None:
                return classify_stream_error(self._reader.error)
            if self._reader.is_broken:
                return GARBLED
            if self._reader.has_content or self._reader.is_done:
                return None

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
        added = self._reader.finish()
        if self._reader.error is not None:
            return classify_stream_error(self._reader.error)
        if added is None:
            return BROKEN
        self._held.append(added)
        self._is_over = True
        self._end = OutcomeKind.OK
        return None

    def error_of_opening(self) -> ErrorBody | None:
        """What the upstream said in place of content."""
        return self._reader.error

    # -- after the commit ----------------------------------------------------------------------------------------

    async def next_piece(self) -> bytes:
        """The next events; b"" at the end."""
        if self._held:
            return self._opening_piece()
        while not self._is_over:
            began = self._clock.now()
            chunk = await self._next_chunk()
            if isinstance(chunk, Fault):
                return self._sent(self._failed(classify_fault(chunk), _error_of(chunk)))
            if not chunk:
                return self._sent(self._ended())
            piece = self._reader.feed(chunk)
            if self._reader.is_over:
                piece += self._over()
            elif self._reader.events != self._events:
                self._events = self._reader.events
                self._patience_s = self._stall_s
            else:
                self._patience_s -= self._clock.now() - began
            if piece:
                return self._sent(piece)
        return b""

    def _opening_piece(self) -> bytes:
        piece = b"".join(self._held)
        self._held.clear()
        self._progress.first_byte = self._clock.now()
        self._events = self._reader.events
        if self._reader.is_over:
            piece += self._over()
        return self._sent(piece)

    async def _next_chunk(self) -> bytes | Fault:
        pending = self._pending
        if pending is None:
            return await self._answer.next_chunk(max(self._patience_s, 0.001))
        try:
            return await pending
        finally:
            pending.cancel()
            self._pending = None

    def _over(self) -> bytes:
        """The reader saw the end: `[DONE]`, an error event, or an event that cannot be read."""
        self._is_over = True
        reader = self._reader
        if reader.error is not None:
            return self._failed(classify_stream_error(reader.error), reader.error)
        if reader.is_broken:
            return self._failed(GARBLED, UpstreamFailed("The upstream sent an event that is not JSON."))
        self._end = OutcomeKind.OK
        return b""

    def _ended(self) -> bytes:
        """The body's clean end, with no `[DONE]` before it."""
        added = self._reader.finish()
        if added is None:
            error = self._reader.error
            if error is not None:
                return self._failed(classify_stream_error(error), error)
            return self._failed(BROKEN, UpstreamFailed("The upstream ended the stream before the answer was whole."))
        self._is_over = True
        self._end = OutcomeKind.OK
        return added

    def _failed(self, outcome: Outcome, error: GatewayError | ErrorBody) -> bytes:
        self._is_over = True
        self._end = CallEnd.BROKEN
        self._code = error.code
        self._board.observe(self._lease, outcome, self._clock.now())
        return write_error_event(error)

    def _sent(self, piece: bytes) -> bytes:
        self._progress.body_bytes += len(piece)
        return piece

    def last_words(self, error: GatewayError) -> bytes:
        """The error event that ends the stream when the worker cannot wait for it."""
        return write_error_event(error)

    async def close(self) -> None:
        """Frees the account first; then gives the connection the moment it needs to be used again."""
        self._lease.release()
        reader, progress = self._reader, self._progress
        progress.usage = reader.usage
        progress.chunks = reader.events
        end = self._end or OutcomeKind.CANCELLED
        progress.finish(end, self._answer.status, code=self._code, is_complete=end is OutcomeKind.OK)
        try:
            if self._pending is not None:
                self._pending.cancel()
            elif end is OutcomeKind.OK:
                await self._answer.next_chunk(END_WAIT_S)
        finally:
            self._answer.close()


def _error_of(fault: Fault) -> GatewayError:
    if classify_fault(fault).kind is OutcomeKind.TIMED_OUT:
        return UpstreamTimedOut("The upstream fell silent in the middle of the answer.")
    return UpstreamFailed("The connection to the upstream broke in the middle of the answer.")
