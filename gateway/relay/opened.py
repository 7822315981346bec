"""A WebSocket that an upstream has opened, until a session takes it: the part of it that belongs to the attempt.

Some upstreams accept every upgrade and refuse by their first event, or by closing at once. So the first word is waited
for, for a moment: what refuses there is an attempt that failed, and the call moves on unseen.
"""

import asyncio

from gateway.core.classify import classify_fault, classify_stream_error
from gateway.core.errors import GatewayError
from gateway.core.outcome import ErrorBody, Outcome, OutcomeKind
from gateway.relay.lease import Lease
from gateway.relay.ports import UpstreamSocket
from gateway.wire.realtime import error_of_close, read_note
from gateway.wire.sockets import Closed, Message

FIRST_WORD_S = 1.0
"""OpenAI says `session.created` at once; an upstream that waits for its caller costs no more than this."""


class OpenedSocket:
    """Holds the lease and the connection until `close`. Fits `answer.ComingBody`: as an answer it has no body."""

    is_cut = False
    keep_alive = b""
    sent_bytes = 0

    def __init__(self, *, socket: UpstreamSocket, lease: Lease) -> None:
        self.socket = socket
        self.lease = lease
        self.error: ErrorBody | None = None
        """What refused it, if that could be read."""
        self._first: Message | Closed | None = None

    async def open(self) -> Outcome | None:
        """Waits for the first word; the outcome when it refuses the session in a way that is not the caller's fault."""
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                first = self._first = await self.socket.receive()
        except TimeoutError:
            return None
        if isinstance(first, Closed):
            self.error = error_of_close(first.reason)
            if first.fault is not None:
                return classify_fault(first.fault)
            outcome = classify_stream_error(self.error)
            return Outcome(OutcomeKind.UPSTREAM_ERROR, message=outcome.message) if _says_nothing(first) else outcome
        note = read_note(first) if isinstance(first, str) else None
        if note is None or note.error is None:
            return None
        self.error = note.error
        outcome = classify_stream_error(note.error)
        return None if outcome.kind is OutcomeKind.CALLER_FAULT else outcome  # the caller reads it in the session

    async def receive(self) -> Message | Closed:
        """The next message, the first word before all others."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await self.socket.receive()

    # -- as an answer --------------------------------------------------------------------------------------------

    async def next_piece(self) -> bytes:
        return b""

    def last_words(self, error: GatewayError) -> bytes:  # noqa: ARG002  # a session has a close frame for that
        return b""

    async def close(self) -> None:
        """Cuts the connection and frees the account."""
        self.socket.close()
        self.lease.release()


def _says_nothing(closed: Closed) -> bool:
    """It closed without a word of why: that is no refusal of the call."""
    return not closed.reason
