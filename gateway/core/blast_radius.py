"""The blast radius: refusals so alike that no account can be at fault (SPEC §4, decision 0012).

    one call, refused alike by three scopes            ─▶ the request is at fault
    two calls and more, and nobody served for 5 s      ─▶ the provider, or our own address, is at fault

Rules of this file: a rate limit and an empty purse are always the account's own and never count; a 401 and a missing
permission count only when every account agrees, for any other account may well be let in.
"""

from collections.abc import Collection, Iterable

import msgspec

from gateway.core.cooldown import ScopeNames, scope_hit
from gateway.core.ids import CallId, Instant, ProviderId
from gateway.core.outcome import Outcome, OutcomeKind, Scope

MANY = 3
"""Scopes that agree, or all where there are fewer. One alone agrees with nobody."""
WINDOW_S = 5.0
"""How close refusals of several calls must be, and how long nobody was served."""
DOUBT_S = 900.0
"""How long, with no success at a provider, its accounts are given the benefit of the doubt. After it parks stand."""
MAX_KEPT = 256
"""Refusals that are remembered of one provider."""

COUNTED = frozenset(
    {
        OutcomeKind.CREDENTIAL_REJECTED,
        OutcomeKind.MISSING_PERMISSION,
        OutcomeKind.NO_ACCESS_TO_MODEL,
        OutcomeKind.FORBIDDEN,
    }
)
ON_ALL = frozenset({OutcomeKind.CREDENTIAL_REJECTED, OutcomeKind.MISSING_PERMISSION})
"""Every healthy account is tried before a call fails for these, so three prove nothing."""
OF_PROVIDER = COUNTED - {OutcomeKind.NO_ACCESS_TO_MODEL}
"""A model that nobody has is no sign of a wall before all models."""


class Refusal(msgspec.Struct, frozen=True):
    """One account's refusal of one call."""

    kind: OutcomeKind
    status: int | None
    code: str | None
    holder: str
    """Who refused: the quota group, or the account where it has none."""
    scope: Scope
    """What it parked."""
    call_id: CallId
    at: Instant

    def is_like(self, other: "Refusal") -> bool:
        return (self.kind, self.status, self.code) == (other.kind, other.status, other.code)


Refusals = tuple[Refusal, ...]


class Lifted(msgspec.Struct, frozen=True):
    """News: parks that no account was to blame for were lifted."""

    provider_id: ProviderId
    reason: OutcomeKind
    count: int
    call_id: CallId


def refusal_of(outcome: Outcome, names: ScopeNames, call_id: CallId, now: Instant) -> Refusal | None:
    """None: this outcome never counts."""
    if outcome.kind not in COUNTED or outcome.status == 429:
        return None
    scope = scope_hit(outcome, names)
    if scope is None:  # pragma: no cover  # every counted kind has a scope
        return None
    return Refusal(outcome.kind, outcome.status, outcome.code, names.holder, scope, call_id, now)


def kept(refusals: Refusals, new: Refusal) -> Refusals:
    """A provider's refusals with one more: those of the last 5 s, the newest alone where there are too many."""
    return (*(refusal for refusal in refusals if refusal.at > new.at - WINDOW_S), new)[-MAX_KEPT:]


def agree(refusals: Iterable[Refusal], last: Refusal, holders: Collection[str]) -> Refusals:
    """The refusals like `last`, where they are of enough scopes; else none. `holders`: all that could have refused."""
    alike = tuple(refusal for refusal in refusals if refusal.is_like(last))
    refused = {refusal.holder for refusal in alike}
    if len(refused) < 2:
        return ()
    enough = refused.issuperset(holders) if last.kind in ON_ALL else len(refused) >= min(MANY, len(set(holders)))
    return alike if enough else ()


def is_provider_at_fault(alike: Refusals, *, served_at: Instant) -> bool:
    """Whether refusals that `agree` speak of the provider. `served_at`: when it last served anybody."""
    if not alike or alike[-1].kind not in OF_PROVIDER or alike[-1].at - served_at < WINDOW_S:
        return False
    return len({refusal.call_id for refusal in alike}) >= 2
