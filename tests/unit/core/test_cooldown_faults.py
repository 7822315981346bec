"""Faults of the upstream in a row: they park nobody, but who meets them is asked last for a while."""

from dataclasses import dataclass

import pytest

from gateway.core.cooldown import (
    AVOID_S,
    AVOIDED_AFTER,
    AVOIDED_FOR,
    BLANK,
    NEVER,
    STALE_WITNESS_S,
    Health,
    Phase,
    after,
    is_stale,
    told,
)
from gateway.core.ids import Instant
from gateway.core.outcome import Outcome, OutcomeKind

OK = Outcome(OutcomeKind.OK)
T0 = 1000.0
FAULT = OutcomeKind.UPSTREAM_ERROR


@dataclass
class Scope:
    """One scope's health, a second between what its attempts come to."""

    health: Health = BLANK
    now: float = T0

    def meets(self, *kinds):
        for kind in kinds:
            self.now += 1.0
            now = Instant(self.now)
            self.health = after(self.health, Outcome(kind), started=Instant(now - 0.001), now=now, jitter=0.0)
        return self.health


@pytest.mark.parametrize("kind", sorted(AVOIDED_FOR))
def test_who_meets_three_faults_in_a_row_is_avoided_for_ten_seconds_and_parked_never(kind):
    scope = Scope()

    assert scope.meets(*[kind] * (AVOIDED_AFTER - 1)).avoided_until == NEVER
    health = scope.meets(kind)

    assert (health.phase, health.avoided_until) == (Phase.READY, scope.now + AVOID_S)


def test_one_more_fault_suffices_until_a_success():
    scope = Scope()
    scope.meets(FAULT, FAULT, FAULT)
    scope.now += 2 * AVOID_S

    assert scope.meets(FAULT).avoided_until == scope.now + AVOID_S
    assert scope.meets(OutcomeKind.OK).avoided_until == NEVER
    assert scope.meets(FAULT, FAULT).avoided_until == NEVER


def test_what_others_tell_of_a_scope_does_not_end_it():
    health = Scope().meets(FAULT, FAULT, FAULT)
    heard = Health(Phase.COOLING, 1, until=Instant(T0 + 60), probe_at=Instant(T0 + 60), reason=OutcomeKind.OVERLOADED)

    both = told(health, heard)

    assert (both.phase, both.faults, both.avoided_until) == (Phase.COOLING, 3, health.avoided_until)


def test_faults_are_forgotten_some_time_after_the_last():
    health = Scope().meets(FAULT, FAULT, FAULT)

    assert not is_stale(health, Instant(health.avoided_until + STALE_WITNESS_S))
    assert is_stale(health, Instant(health.avoided_until + STALE_WITNESS_S + 1))
