"""Streams that break are asked for again: on another account, then along the fallbacks (SPEC §5).

Rules of this file: only answers that nothing refers to later (over a WebSocket the next one may), only within the
call's own deadline, never again on an account that broke the stream, and as often as attempts of a call may fail.
Whether another answer is the first one told again is `wire/splice`'s to say.
"""

from typing import Any

import msgspec

from gateway.core.attempts import after_commit
from gateway.core.call import CHUNKS, Schema, StreamKind
from gateway.core.errors import GatewayError
from gateway.core.ids import AccountId, Instant
from gateway.core.outcome import Outcome
from gateway.relay.answer import Answer
from gateway.relay.fallbacks import FallbackRelay
from gateway.relay.job import Job
from gateway.relay.ports import Clock
from gateway.relay.streaming import StreamingBody
from gateway.wire.sent import Sent
from gateway.wire.splice import ToldChunks
from gateway.wire.splice_messages import ToldMessage
from gateway.wire.splice_response import ToldResponse

PATIENCE_S = 3.0
"""How long a caller who reads already waits for an account to recover, before the error event."""


class _Stored(msgspec.Struct):
    """Whether the upstream keeps the answer: somebody may ask for it by its id."""

    store: Any = None
    conversation: Any = None
    background: Any = None


_decode = msgspec.json.Decoder(_Stored).decode


class _Again:
    """Fits `streaming.Restart`: asks for one call's answer again, each time its stream breaks."""

    __slots__ = ("_clock", "_job", "_plan", "_relay")

    def __init__(self, relay: FallbackRelay, clock: Clock, job: Job) -> None:
        self._relay = relay
        self._clock = clock
        self._job = job
        self._plan = job.plan

    async def __call__(self, account_id: AccountId, outcome: Outcome) -> StreamingBody | None:
        """The same call's stream from elsewhere, once this account came to that outcome; None: there is none."""
        job, now = self._job, self._clock.now()
        arrived = job.progress.arrived
        self._plan = after_commit(self._plan, account_id, outcome)
        if self._plan.is_over or now >= arrived + job.pool.provider.settings.timeout_s or _is_kept(job):
            return None
        call = msgspec.structs.replace(job.call, max_wait_s=Instant(now - arrived + PATIENCE_S))
        try:
            answer = await self._relay.relay_call(msgspec.structs.replace(job, call=call, plan=self._plan))
        except GatewayError:
            return None  # the caller reads how the stream broke
        return answer.coming if isinstance(answer.coming, StreamingBody) else None


class RestartingRelay:
    """Calls in, answers out, as `FallbackRelay`, which it asks again when a stream breaks after its commit."""

    def __init__(self, *, relay: FallbackRelay, clock: Clock) -> None:
        self._relay = relay
        self._clock = clock

    async def relay_call(self, job: Job) -> Answer:
        """As `FallbackRelay.relay_call`."""
        answer = await self._relay.relay_call(job)
        if isinstance(answer.coming, StreamingBody) and (sent := _sent_of(job)) is not None:
            answer.coming.begin_anew_by(_Again(self._relay, self._clock, job), sent)
        return answer


def _sent_of(job: Job) -> Sent | None:
    """Keeps what was sent of a stream that may begin anew; None: this one never may."""
    endpoint = job.call.endpoint
    if endpoint.is_creating or job.way is not None:
        return None
    if endpoint.stream in CHUNKS:
        return Sent(ToldChunks())
    if endpoint.schema is Schema.ANTHROPIC and endpoint.stream is StreamKind.EVENTS:
        return Sent(ToldMessage())
    is_new_response = endpoint.stream is StreamKind.RESPONSES and endpoint.method == "POST"
    return Sent(ToldResponse()) if is_new_response else None


def _is_kept(job: Job) -> bool:
    """Whether the upstream keeps the answer. Responses it keeps unless it is told not to, and in a conversation."""
    if job.pool.translation is not None:
        return False  # it is not even asked to
    if not isinstance(job.body, bytes):
        return True  # a form: nobody can tell
    asked = _decode(job.body)
    if job.call.endpoint.stream is StreamKind.RESPONSES:
        return asked.store is not False or bool(asked.conversation) or bool(asked.background)
    return bool(asked.store)
