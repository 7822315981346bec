"""A body that is passed on as it comes, unread: audio, images, whatever is neither JSON nor events."""

from gateway.core.classify import classify_fault
from gateway.core.errors import GatewayError
from gateway.core.outcome import Fault, OutcomeKind
from gateway.relay.lease import Books, Lease
from gateway.relay.metering import Progress
from gateway.relay.ports import Clock, UpstreamAnswer
from gateway.telemetry.events import CallEnd


class PassingBody:
    """Fits `answer.ComingBody`. Holds the lease and the connection until `close`."""

    def __init__(
        self, *, answer: UpstreamAnswer, lease: Lease, board: Books, clock: Clock, progress: Progress, stall_s: float
    ) -> None:
        self._answer = answer
        self._lease = lease
        self._board = board
        self._clock = clock
        self._progress = progress
        self._stall_s = stall_s
        self._is_whole = False
        self.is_cut = False

    @property
    def keep_alive(self) -> bytes:
        return b""

    @property
    def sent_bytes(self) -> int:
        return self._progress.body_bytes

    async def next_piece(self) -> bytes:
        chunk = await self._answer.next_chunk(self._stall_s)
        if isinstance(chunk, Fault):
            self.is_cut = True
            self._board.observe(self._lease, classify_fault(chunk), self._clock.now())
            return b""
        progress = self._progress
        if chunk:
            if progress.first_byte is None:
                progress.first_byte = self._clock.now()
            progress.chunks += 1
            progress.body_bytes += len(chunk)
        else:
            self._is_whole = True
        return chunk

    def last_words(self, error: GatewayError) -> bytes:  # noqa: ARG002  # no form to say it in
        self.is_cut = True
        return b""

    async def close(self) -> None:
        self._answer.close()
        self._lease.release()
        status = self._answer.status
        if self._is_whole:
            self._progress.finish(OutcomeKind.OK, status)
        elif self.is_cut:
            self._progress.finish(CallEnd.BROKEN, status, is_complete=False)
        else:
            self._progress.finish(OutcomeKind.CANCELLED, status, is_complete=False)
