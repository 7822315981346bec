"""Rests as others see them, processes and people: monotonic instants here, wall time there."""

from datetime import datetime, timedelta

import msgspec

from gateway.core.cooldown import DAY, Health, Phase
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.relay.ports import Clock


class ScopeStatus(msgspec.Struct, frozen=True):
    """One scope of an account as people see it."""

    kind: ScopeKind
    what: str
    """Model or endpoint; "" for all."""
    state: Phase
    reason: OutcomeKind | None
    strikes: int
    until_at: datetime | None
    """None: until a check, an edit or an operator."""
    probe_at: datetime | None
    last_error: str
    """What the upstream said when the rest began, or at its last fault, identifiers masked."""
    faults: int = 0
    """Faults of the upstream in a row."""
    avoided_until_at: datetime | None = None
    """It may be tried, but others go first until then. None: they do not."""


def wall_at(instant: Instant, clock: Clock) -> datetime:
    """The wall time of an instant that is not FOREVER."""
    return clock.wall_now() + timedelta(seconds=instant - clock.now())


def status_of(scope: Scope, health: Health, last_error: str, clock: Clock) -> ScopeStatus:
    """What people are shown."""
    is_resting, is_avoided = health.phase is Phase.COOLING, health.avoided_until > clock.now()
    return ScopeStatus(
        kind=scope.kind,
        what=scope.what,
        state=health.phase,
        reason=health.reason,
        strikes=health.strikes,
        until_at=wall_at(health.until, clock) if is_resting else None,
        probe_at=wall_at(health.probe_at, clock) if is_resting else None,
        last_error=last_error,
        faults=health.faults,
        avoided_until_at=wall_at(health.avoided_until, clock) if is_avoided else None,
    )


def park_of(scope: Scope, health: Health, clock: Clock, *, mark: str | None = None) -> Park:
    """What the others are told. A rejection has no end: it is given a day, and `is_rejected` says the rest.

    `mark`: of the credential that met it, where the scope is one account's.
    """
    is_rejected = health.phase is Phase.REJECTED
    tomorrow = Instant(clock.now() + DAY)
    return Park(
        scope=scope,
        reason=health.reason or OutcomeKind.RATE_LIMITED,
        strikes=health.strikes,
        since_at=wall_at(health.since, clock),
        until_at=wall_at(tomorrow if is_rejected else health.until, clock),
        probe_at=wall_at(tomorrow if is_rejected else health.probe_at, clock),
        is_rejected=is_rejected,
        credential_mark=mark,
    )


def health_of(park: Park, clock: Clock) -> Health:
    """What was heard, as a health of ours."""
    return Health(
        phase=Phase.REJECTED if park.is_rejected else Phase.COOLING,
        strikes=park.strikes,
        since=_instant(park.since_at, clock),
        until=FOREVER if park.is_rejected else _instant(park.until_at, clock),
        probe_at=FOREVER if park.is_rejected else _instant(park.probe_at, clock),
        reason=park.reason,
    )


def _instant(at: datetime, clock: Clock) -> Instant:
    return Instant(clock.now() + (at - clock.wall_now()).total_seconds())
