"""Values the telemetry tests share."""

from datetime import UTC, datetime

import msgspec

from gateway.core.ids import Instant
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.events import AttemptRecord, CallRecord


class HandClock:
    """Moves only by hand."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.seconds = now

    def now(self) -> Instant:
        return Instant(self.seconds)

    def wall_now(self) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + self.seconds, UTC)


_SERVED = CallRecord(
    at=datetime(2026, 11, 21, tzinfo=UTC),
    call_id="call-1",
    endpoint="chat.completions",
    outcome=OutcomeKind.OK,
    status=200,
    total_s=0.2,
    model="gpt-4",
    provider="openai",
    account_id="account-1",
    attempts=1,
    trail=(AttemptRecord("account-1", "openai", OutcomeKind.OK, 200, 0.19),),
    first_byte_s=0.19,
)


def record(**changes: object) -> CallRecord:
    """A served call, with `changes`."""
    return msgspec.structs.replace(_SERVED, **changes)
