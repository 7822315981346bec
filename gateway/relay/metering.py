"""What a call did, collected while it runs, and told once at its end: one log line, counters, usage."""

from typing import Protocol

import msgspec

from gateway.core.call import Call, Usage
from gateway.core.ids import AccountId, CallId, Instant, ModelName, ProviderId
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.core.owed_usage import OwedUsage
from gateway.relay.ports import Clock
from gateway.telemetry.events import AttemptRecord, CallEnd, CallRecord

_OK = OutcomeKind.OK  # bound: Python 3.11 takes as long to find a member as to call a function
MAX_TRAIL = 20
CLIENT_GONE = 499
"""nginx's status for a caller that hung up before the head."""


class Meter(Protocol):
    """Where finished calls and attempts are counted. `app.Meters` fits it."""

    @property
    def worker(self) -> str:
        """Which process of the service this is, for the log."""
        ...

    @property
    def is_debug(self) -> bool:
        """Whether `attempt_failed` wants to be told."""
        ...

    def call_started(self) -> None: ...

    def attempt_failed(
        self,
        call_id: CallId,
        provider_id: ProviderId,
        account_id: AccountId | None,
        outcome: Outcome,
        duration_s: float,
    ) -> None: ...

    def attempt_finished(
        self, provider_id: ProviderId, model: str, kind: OutcomeKind, duration_s: float, *, is_served: bool
    ) -> None: ...

    def call_finished(self, record: CallRecord) -> None: ...


class Progress:
    """One call on its way. Mutable, owned by the call's task; `finish` tells the meter exactly once."""

    __slots__ = (
        "_attempts", "_clock", "_is_finished", "_meter", "_settled", "_trail", "account_id", "arrived", "body_bytes",
        "call", "chunks", "first_byte", "is_spliced", "is_stream", "last", "provider_id", "served_model", "usage",
        "waited_s",
    )  # fmt: skip

    def __init__(self, call: Call, meter: Meter, clock: Clock, arrived: Instant) -> None:
        self.call = call
        """Replaced once the request was read."""
        self._meter = meter
        self._clock = clock
        self._is_finished = False
        self._settled: tuple[Usage | None, OwedUsage | None] | None = None
        self._trail: list[AttemptRecord] = []
        self._attempts = 0
        self.arrived = arrived
        self.first_byte: Instant | None = None
        self.provider_id: ProviderId | None = None
        self.account_id: AccountId | None = None
        self.last: Outcome | None = None
        """What the last attempt came to."""
        self.served_model: ModelName | None = None
        """The fallback that served; None: the model that was asked for, or none."""
        self.usage: Usage | None = None
        self.is_stream = False
        """The answer came as events, whether or not the request could tell so."""
        self.is_spliced = False
        """Its stream broke, and another account's answer went on where it had ended."""
        self.chunks = 0
        self.body_bytes = 0
        self.waited_s = 0.0

    @property
    def attempts(self) -> int:
        return self._attempts

    def attempted(
        self, provider_id: ProviderId, account_id: AccountId | None, model: str, outcome: Outcome, duration_s: float
    ) -> None:
        """An attempt came to its verdict: a success at its head or first content, a failure when it was known.

        `account_id`: None for a caller's own key.
        """
        self._attempts += 1
        self.provider_id = provider_id
        self.account_id = account_id
        self.last = outcome
        kind = outcome.kind
        if len(self._trail) < MAX_TRAIL:
            record = AttemptRecord(account_id, provider_id, kind, outcome.status, duration_s, outcome.code)
            if model and model != self.call.model:
                record = msgspec.structs.replace(record, model=model)
            self._trail.append(record)
        is_served = kind is _OK
        self._meter.attempt_finished(provider_id, model, kind, duration_s, is_served=is_served)
        if not is_served and self._meter.is_debug:
            self._meter.attempt_failed(self.call.id, provider_id, account_id, outcome, duration_s)

    def stream_broke(self, outcome: Outcome) -> None:
        """The stream of the last attempt, which was a success at its first content, came to this."""
        if self._trail and self._attempts <= MAX_TRAIL:
            self._trail[-1] = msgspec.structs.replace(self._trail[-1], broke=outcome.kind)

    def settle(self, usage: Usage | None, owed: OwedUsage | None) -> None:
        """What is counted with this call, whatever its answer tells. `owed`: for what another call has made."""
        self._settled = (usage, owed)

    def sent_whole(self, body_bytes: int) -> None:
        """The whole answer went out at once."""
        self.body_bytes = body_bytes
        if self.first_byte is None:
            self.first_byte = self._clock.now()

    def finish(
        self, outcome: OutcomeKind | CallEnd, status: int, *, code: str | None = None, is_complete: bool = True
    ) -> None:
        """Idempotent: the first to say how the call ended is right."""
        if self._is_finished:
            return
        self._is_finished = True
        call, usage, first_byte = self.call, self.usage, self.first_byte
        owed = None
        if self._settled is not None:
            usage, owed = self._settled
        self._meter.call_finished(
            CallRecord(
                at=self._clock.wall_now(),
                call_id=call.id,
                endpoint=call.endpoint.name,
                worker=self._meter.worker,
                outcome=outcome,
                status=status,
                total_s=self._clock.now() - self.arrived,
                model=call.model,
                served_model=self.served_model,
                provider=self.provider_id,
                account_id=self.account_id,
                client_key_id=call.key_id,
                attempts=self._attempts,
                trail=tuple(self._trail),
                code=code,
                first_byte_s=None if first_byte is None else first_byte - self.arrived,
                waited_s=self.waited_s,
                input_tokens=usage.input_tokens if usage else 0,
                output_tokens=usage.output_tokens if usage else 0,
                cached_tokens=usage.cached_tokens if usage else 0,
                usage=usage if usage is not None and usage.has_more else msgspec.UNSET,
                usage_of=msgspec.UNSET if owed is None else owed,
                is_stream=call.is_stream or self.is_stream,
                chunks=self.chunks,
                bytes=self.body_bytes,
                is_complete=is_complete,
                is_spliced=self.is_spliced,
            )
        )
