"""A stream of events on its way to the caller, after the commit.

    next_piece: pass on ──▶ the end, whole
                   └─ it breaks ──▶ the answer begins anew elsewhere and repeats itself: its rest goes on
                                └─▶ it does not: an error event, never a clean end after a truncation

Rules of this file: how often a stream begins anew is `Restart`'s to say; of an answer that differs the caller reads
nothing (`wire/splice`), and none follows it; usage and chunks are those of the attempt that ended the answer.
"""

from collections.abc import Awaitable, Callable

from gateway.core.errors import GatewayError
from gateway.core.hints import OPENAI_NAMES
from gateway.core.ids import AccountId
from gateway.core.outcome import ErrorBody, Outcome, OutcomeKind
from gateway.relay.headrooms import note_produced
from gateway.relay.lease import Books
from gateway.relay.metering import Progress
from gateway.relay.ports import Clock
from gateway.relay.source import Break, EventSource
from gateway.telemetry.events import CallEnd
from gateway.wire.sent import Continued, Sent
from gateway.wire.sse import KEEP_ALIVE

Restart = Callable[[AccountId, Outcome], Awaitable["StreamingBody | None"]]
"""Another account's answer to the same call, once that account came to that outcome; None: there is none."""


class StreamingBody:
    """Fits `answer.ComingBody`."""

    def __init__(self, *, source: EventSource, board: Books, clock: Clock, progress: Progress) -> None:
        self._source = source
        self._board = board
        self._clock = clock
        self._progress = progress
        self._sent: Sent | None = None
        self._restart: Restart | None = None
        self._splicer: Continued | None = None
        """Set while another answer is passed on."""
        self._last_break: Break | None = None
        self._end: OutcomeKind | CallEnd | None = None
        self._code: str | None = None
        progress.is_stream = True
        self.is_cut = False

    def begin_anew_by(self, restart: Restart, sent: Sent) -> None:
        """What to do when it breaks, and where to keep what was sent. Without it, a break is the end."""
        self._restart, self._sent = restart, sent

    @property
    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    @property
    def sent_bytes(self) -> int:
        return self._progress.body_bytes

    async def next_piece(self) -> bytes:
        """The next events; b"" at the end."""
        while self._end is None:
            events = await self._source.next_piece()
            piece = self._passed(events) if events else await self._over()
            if self._end is None and self._source.is_whole:
                self._end = OutcomeKind.OK
            if piece:
                return self._out(piece)
        return b""

    def _passed(self, events: bytes) -> bytes:
        """What goes on of events that came."""
        if self._splicer is None:
            if self._sent is not None:
                self._sent.add(events)
            return events
        rest = self._splicer.feed(events)
        if rest is None and self._last_break is not None:
            return self._fail(self._last_break.error)
        if rest and self._sent is not None:
            self._sent.add(rest)
        return rest or b""

    async def _over(self) -> bytes:
        """No more events come. What tells the caller so; nothing after a whole answer, or when another goes on."""
        broke = self._source.broke
        if broke is None:
            return b""
        self._board.observe(self._source.lease, broke.outcome, self._clock.now())
        self._progress.stream_broke(broke.outcome)
        if await self._begins_anew(broke):
            return b""
        return self._fail(broke.error)

    async def _begins_anew(self, broke: Break) -> bool:
        """Whether another account's answer takes the place of this one. The broken one is let go first."""
        self._last_break = broke
        source = self._source
        if self._restart is None or self._sent is None or source.reader.is_finished:
            return False
        splicer = self._sent.splicer()
        if splicer is None:
            return False
        source.cut()
        another = await self._restart(source.lease.member.account_id, broke.outcome)
        if another is None:
            return False
        self._source, self._splicer = another._source, splicer  # noqa: SLF001  # its own kind: it takes it over whole
        return True

    def _fail(self, error: GatewayError | ErrorBody) -> bytes:
        self._end = CallEnd.BROKEN
        self._code = error.code
        event = self._source.reader.write_error(error)
        return event if self._splicer is None else self._splicer.renumbered(event)

    def _out(self, piece: bytes) -> bytes:
        progress = self._progress
        if progress.first_byte is None:
            progress.first_byte = self._clock.now()
        progress.body_bytes += len(piece)
        return piece

    def last_words(self, error: GatewayError) -> bytes:
        """The error event that ends the stream when the worker cannot wait for it."""
        return self._source.reader.write_error(error)

    async def close(self) -> None:
        """Frees the account first; then gives the connection the moment it needs to be used again."""
        source, progress = self._source, self._progress
        source.lease.release()
        progress.usage = source.reader.usage
        if source.lease.member.destination.limit_names is not OPENAI_NAMES:
            note_produced(source.lease, progress.usage, self._clock.now())
        progress.chunks = source.reader.events
        end = self._end or OutcomeKind.CANCELLED
        progress.is_spliced = end is OutcomeKind.OK and self._splicer is not None
        progress.finish(end, source.status, code=self._code, is_complete=end is OutcomeKind.OK)
        if end is OutcomeKind.OK:
            await source.finish()
        else:
            source.cut()
