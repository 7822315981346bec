"""Model fallbacks around the loop: the model that was asked for, then those its route names, until one serves.

model asked ─▶ fallback 1 ─▶ fallback 2 ─▶ … ─▶ the rest of the caller's patience on the model asked ─▶ its own refusal
               each: another pool, maybe another provider; the body checked and named for it anew

Rules of this file: when a call goes on is `core/fallbacks`' to say; all of it happens before the commit; a broken
upstream is left at once, and what attempts remain are made when no fallback serves; when no model does, the caller
reads what the model that was asked for came to.
"""

import msgspec

from gateway.core.attempts import MAX_ATTEMPTS, UPSTREAM_FAULTS
from gateway.core.errors import CallRefused, GatewayError
from gateway.core.fallbacks import PATIENCE_S, fallback_models, falls_back
from gateway.core.ids import Instant, ModelName
from gateway.core.outcome import OutcomeKind
from gateway.relay.answer import Answer
from gateway.relay.board import Board
from gateway.relay.job import Job, body_for, charged
from gateway.relay.loop import WAITABLE, Relay
from gateway.relay.ports import Clock
from gateway.wire.query import with_model

End = Answer | GatewayError


class FallbackRelay:
    """Calls in, answers out, as `Relay`, whose loop it runs once for every model it tries."""

    def __init__(self, *, relay: Relay, board: Board, clock: Clock) -> None:
        self._relay = relay
        self._board = board
        self._clock = clock

    async def relay_call(self, job: Job) -> Answer:
        """The answer of the first model that gives one, else what the first model came to. Raises GatewayError."""
        if not job.pool.fallbacks:
            return await self._relay.relay_call(job)
        models = fallback_models(job.call.model or job.pool.model, job.pool.fallbacks, allowed=job.allowed_models)
        end = await self._walk(job, models) if models else await self._ended(job)
        if isinstance(end, GatewayError):
            raise end
        return end

    async def _walk(self, job: Job, models: tuple[ModelName, ...]) -> End:
        patient_until, before = Instant(job.progress.arrived + job.call.max_wait_s), job.progress.attempts
        first = end = await self._ended(_hurried(job, job.call.max_wait_s, is_followed=True))
        rest = _rest_of(job, first, job.progress.attempts - before)
        for number, model in enumerate(models, 1):
            if not self._goes_on(job, end):
                break
            turn = self._turn(job, model, patient_until, is_followed=number < len(models))
            if turn is None:
                continue
            end = await self._ended(turn)
            if _is_served(end):
                job.progress.served_model = model
                return end
        if rest is None or (isinstance(first, WAITABLE) and self._clock.now() >= patient_until):
            return first
        return await self._ended(rest)

    async def _ended(self, job: Job) -> End:
        job.progress.last = None
        try:
            return await self._relay.relay_call(job)
        except GatewayError as error:
            return error

    def _goes_on(self, job: Job, end: End) -> bool:
        if _is_served(end):
            return False
        error = end if isinstance(end, GatewayError) else None
        return falls_back(error, job.progress.last, is_creating=job.call.endpoint.is_creating)

    def _turn(self, job: Job, model: ModelName, patient_until: Instant, *, is_followed: bool) -> Job | None:
        """The same call for `model`; None when nobody here is configured for it, or its provider does not take it.

        Who named a provider stays there.
        """
        now = self._clock.now()
        call = msgspec.structs.replace(job.call, model=model, named_provider=None)
        try:
            pool = self._board.pools.pool_for(call)
            if job.call.named_provider is not None and pool.provider.id != job.pool.provider.id:
                return None
            if job.way is not None and not pool.kind.talks_responses(pool.provider):
                return None
            body = body_for(job, model, call, pool)
        except CallRefused:
            return None
        if pool.charges_answers is not job.pool.charges_answers and isinstance(job.written, bytes):
            call = charged(call, pool, job.written)
        if call.query:
            name = model if pool.is_model_kept else pool.model
            call = msgspec.structs.replace(call, query=with_model(call.query, name))
        turn = msgspec.structs.replace(job, call=call, pool=pool, body=body, began=now)
        return _hurried(turn, max(patient_until - now, 0.0), is_followed=is_followed)


def _hurried(job: Job, patience_s: float, *, is_followed: bool) -> Job:
    """The job, waiting no longer than is fair where another model may serve at once."""
    call = msgspec.structs.replace(job.call, max_wait_s=min(patience_s, PATIENCE_S))
    return msgspec.structs.replace(job, call=call, is_followed=is_followed)


def _rest_of(job: Job, first: End, made: int) -> Job | None:
    """What is left to the model asked for, once it came to `first` in so many attempts; None: nothing."""
    if isinstance(first, WAITABLE):
        return job
    last = job.progress.last
    if last is None or last.kind not in UPSTREAM_FAULTS or job.call.endpoint.is_creating:
        return None
    left = MAX_ATTEMPTS[OutcomeKind.UPSTREAM_ERROR] - made
    counts = {**job.plan.counts, OutcomeKind.UPSTREAM_ERROR: made}
    return msgspec.structs.replace(job, plan=msgspec.structs.replace(job.plan, counts=counts)) if left > 0 else None


def _is_served(end: End) -> bool:
    return isinstance(end, Answer) and end.outcome is OutcomeKind.OK
