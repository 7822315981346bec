"""The upstream's side of a realtime session: the opened socket, and what its events tell of limits, usage, errors."""

from gateway.core.call import Usage
from gateway.core.classify import classify_fault, classify_stream_error
from gateway.core.ids import Instant
from gateway.core.outcome import ErrorBody, Outcome, OutcomeKind
from gateway.relay.headrooms import note_limits
from gateway.relay.lease import Books
from gateway.relay.metering import Progress
from gateway.relay.opened import OpenedSocket
from gateway.wire.realtime import added, read_note
from gateway.wire.sockets import Closed, Message

PARKING = frozenset({OutcomeKind.RATE_LIMITED, OutcomeKind.OUT_OF_QUOTA})
"""What an event within a session says about its account, and not about what the caller wrote into it."""


class Talk:
    """Fits `session.UpstreamSide`."""

    may_end = False
    """Who speaks is not interrupted before the drain's time is over."""

    def __init__(self, opened: OpenedSocket, *, books: Books, progress: Progress) -> None:
        self._opened = opened
        self._books = books
        self._progress = progress
        self.responses = 0

    @property
    def usage(self) -> Usage | None:
        return self._progress.usage

    async def receive(self) -> Message | Closed:
        return await self._opened.receive()

    async def send(self, message: Message) -> bool:
        return await self._opened.socket.send(message)

    async def finish(self, code: int, reason: str) -> None:
        await self._opened.socket.finish(code, reason)

    async def close(self) -> None:
        await self._opened.close()

    def note(self, message: Message, now: Instant) -> None:
        note = read_note(message) if isinstance(message, str) else None
        if note is None:
            return
        self.responses += note.is_response
        self._progress.usage = added(self._progress.usage, note.usage)
        if note.limits is not None:
            note_limits(self._opened.lease, note.limits, now)
        if note.error is not None:
            self._observe(note.error, now)

    def lost(self, closed: Closed, now: Instant) -> None:
        outcome = Outcome(OutcomeKind.UPSTREAM_ERROR, message="the session was lost")
        if closed.fault is not None:
            outcome = classify_fault(closed.fault)
        self._books.observe(self._opened.lease, outcome, now)

    def _observe(self, error: ErrorBody, now: Instant) -> None:
        """The session goes on, and the next ones go to other accounts."""
        outcome = classify_stream_error(error)
        if outcome.kind in PARKING:
            self._books.observe(self._opened.lease, outcome, now)
