"""One attempt of a call on one account: lease, prepare, send, read, classify, observe.

Gives an `Answer` once it is safe to commit to it, else `Failed`. What an attempt holds (the lease, the connection) is
freed here, or by the answer's coming body when there is one.
"""

from collections.abc import Mapping

import msgspec

from gateway.core.call import Call, StreamKind
from gateway.core.classify import classify, classify_fault, classify_stream_error
from gateway.core.errors import AllOverloaded, GatewayError, UpstreamFailed, UpstreamTimedOut
from gateway.core.ids import Instant
from gateway.core.masking import masked_body
from gateway.core.outcome import Fault, Outcome, OutcomeKind
from gateway.providers.base import Headers, Limits, UpstreamRequest
from gateway.providers.limits import limits_for
from gateway.relay.answer import Answer
from gateway.relay.board import Board, Lease
from gateway.relay.job import Job
from gateway.relay.metering import Progress
from gateway.relay.passing import PassingBody
from gateway.relay.pool import Member, Pool
from gateway.relay.ports import Clock, Upstream, UpstreamAnswer
from gateway.relay.streaming import StreamingBody
from gateway.wire.headers import answer_headers
from gateway.wire.stream import StreamReader
from gateway.wire.usage import read_usage

MAX_ERROR_BYTES = 1024 * 1024
"""Of an error body; what is longer is cut off by the upstream's own limits long before."""
MAX_JSON_BYTES = 64 * 1024 * 1024
"""Of a JSON answer that is read whole. Images as base64 are the largest: 10 of 4 MB."""

OK = Outcome(OutcomeKind.OK)


class Failed(msgspec.Struct, frozen=True):
    """An attempt that gave no answer."""

    outcome: Outcome
    refusal: Answer | GatewayError
    """For the caller, if no other account does better."""


class Attempts:
    """Makes attempts. One per worker."""

    def __init__(self, *, board: Board, upstream: Upstream, clock: Clock) -> None:
        self._board = board
        self._upstream = upstream
        self._clock = clock

    async def attempt(self, pool: Pool, member: Member, job: Job, deadline: Instant) -> Answer | Failed:
        """One try on `member`, which must have been a candidate at this very moment."""
        started = self._clock.now()
        lease = self._board.take(member, started)
        limits = limits_for(pool.provider, pool.model, is_stream=job.call.is_stream)
        request = pool.kind.prepare(
            job.call, member.destination, headers=job.headers, body=job.body, limits=within(limits, deadline - started)
        )
        try:
            result = await self._upstream.attempt(request)
            if isinstance(result, Fault):
                failed = _fault_failed(result)
            else:
                trial = Trial(self, pool, lease, job, result, limits)
        ...
