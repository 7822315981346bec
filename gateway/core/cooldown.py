"""Health of one scope and all its transitions: when it rests, how long, and how it comes back.

Rules of this file:
- one burst of failures is one strike: what was already in flight when a rest began adds none;
- the later deadline wins; an attempt older than the last rest neither heals nor, once that is over, harms;
- after a rest one probe goes first (`may_probe`); if it passes the scope is ready; a success ends its strikes;
- faults of the upstream park nobody, but who meets them in a row while others serve is asked last for a while.

    ready ──park──▶ cooling ──until──▶ due ──probe passes──▶ ready
      ▲                ▲                │
      └── success      └──probe refused─┘     three spaced rejections ──▶ rejected
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from gateway.core.ids import FOREVER, NEVER, CallId, Instant
from gateway.core.outcome import LimitSpan, Outcome, OutcomeKind, Scope, ScopeKind


class Phase(StrEnum):
    """READY serves; COOLING rests until a probe; REJECTED waits for a check, an edit or an operator."""

    READY = "ready"
    COOLING = "cooling"
    REJECTED = "rejected"


class Health(msgspec.Struct, frozen=True):
    """State of one scope. The default value is a scope that nothing is known against."""

    phase: Phase = Phase.READY
    strikes: int = 0
    """Rests in a row for the same reason with no success between; each doubles the next guess."""
    suspicions: int = 0
    """Failures in a row that park only when they repeat (403 walls, overloads)."""
    since: Instant = NEVER
    """When the last rest began."""
    until: Instant = NEVER
    """When the scope is believed to serve again."""
    probe_at: Instant = NEVER
    """When one probe may go; before `until` for limits named per day."""
    dimmed_until: Instant = NEVER
    """Until then its weight counts half."""
    reason: OutcomeKind | None = None
    faults: int = 0
    """Faults of the upstream in a row."""
    avoided_until: Instant = NEVER
    """Until then it is asked last, after those of every tier."""

    def may_probe(self, now: Instant) -> bool:
        """Rests, but its time has come: one call may try."""
        return self.phase is Phase.COOLING and now >= self.probe_at


BLANK = Health()


class Witness(msgspec.Struct, frozen=True):
    """The attempt that saw a rest begin."""

    call_id: CallId | None
    is_probe: bool
    """It was to find out whether the scope is back."""


class Rest(msgspec.Struct, frozen=True):
    """How long a kind of trouble rests, in seconds."""

    base_s: float
    """The first guess; doubles with every strike."""
    cap_s: float
    named_floor_s: float = 0.0
    """A delay that the upstream names is lifted to this: no quota comes back in the 20 s of a generic header."""
    named_cap_s: float = 0.0
    """…and cut to this; 0 means `cap_s`."""
    suspicions: int = 0
    """How many failures in a row pass before one parks."""
    is_sure_when_named: bool = False
    """A failure that names a delay parks at once."""
    rejects_after: int = 0
    """Strikes after which the scope is rejected; 0: never."""


MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

RESTS: Mapping[OutcomeKind, Rest] = {  # SPEC §4, column "How long"
    OutcomeKind.RATE_LIMITED: Rest(1.0, MINUTE, named_cap_s=15 * MINUTE),
    OutcomeKind.OUT_OF_QUOTA: Rest(5 * MINUTE, 6 * HOUR, named_floor_s=5 * MINUTE),
    OutcomeKind.CREDENTIAL_REJECTED: Rest(MINUTE, HOUR, named_floor_s=MINUTE, rejects_after=3),
    OutcomeKind.NO_TOKEN: Rest(1.0, MINUTE),
    OutcomeKind.MISSING_PERMISSION: Rest(10 * MINUTE, 6 * HOUR, named_floor_s=10 * MINUTE),
    OutcomeKind.NO_ACCESS_TO_MODEL: Rest(10 * MINUTE, 6 * HOUR, named_floor_s=10 * MINUTE),
    OutcomeKind.FORBIDDEN: Rest(MINUTE, HOUR, named_floor_s=MINUTE, suspicions=1),
    OutcomeKind.OVERLOADED: Rest(1.0, 30.0, suspicions=2, is_sure_when_named=True),
}
NEVER_SERVED_REST = Rest(MINUTE, MINUTE)
"""No access to a model that nobody ever served: most likely a typing mistake, so it is forgotten soon."""

SCOPES: Mapping[OutcomeKind, ScopeKind] = {  # SPEC §4, column "Parks"
    OutcomeKind.RATE_LIMITED: ScopeKind.HOLDER_MODEL,
    OutcomeKind.OUT_OF_QUOTA: ScopeKind.HOLDER,
    OutcomeKind.CREDENTIAL_REJECTED: ScopeKind.ACCOUNT,
    OutcomeKind.NO_TOKEN: ScopeKind.ACCOUNT,
    OutcomeKind.MISSING_PERMISSION: ScopeKind.ACCOUNT_ENDPOINT,
    OutcomeKind.NO_ACCESS_TO_MODEL: ScopeKind.ACCOUNT_MODEL,
    OutcomeKind.FORBIDDEN: ScopeKind.ACCOUNT,
    OutcomeKind.OVERLOADED: ScopeKind.ACCOUNT_MODEL,
    OutcomeKind.TIMED_OUT: ScopeKind.ACCOUNT_MODEL,
    OutcomeKind.UPSTREAM_ERROR: ScopeKind.ACCOUNT_MODEL,
    OutcomeKind.UNREACHABLE: ScopeKind.ACCOUNT_MODEL,
}

OF_ONE_PROJECT = frozenset({"project_spend_limit_exceeded"})
"""Codes that speak of the key's own project: others of its quota group or organisation may have another one, and an
account that has not costs one more try."""

DIMS = frozenset({OutcomeKind.OVERLOADED, OutcomeKind.TIMED_OUT})
DIM_S = 10.0
AVOIDED_FOR = frozenset({OutcomeKind.UPSTREAM_ERROR, OutcomeKind.UNREACHABLE, OutcomeKind.TIMED_OUT})
AVOIDED_AFTER = 3
"""Faults in a row. Who fails at once has nothing in flight: the least loaded of all, it would be every call's first."""
AVOID_S = 10.0

LONGEST_DAY_LIMIT_S = DAY
DAY_LIMIT_PROBE_S = HOUR

STALE_WITNESS_S = 15 * MINUTE
"""How long a healed scope remembers when its last rest began: longer than any attempt takes."""
FORGET_S = 6 * HOUR
"""How long strikes outlive the end of a rest that nobody probed."""


class ScopeNames(msgspec.Struct, frozen=True):
    """The texts of one target from which its scopes are made."""

    account: str
    holder: str
    model: str
    """Lower case; `endpoint:<name>` when the call has none."""
    endpoint: str

    def scope(self, kind: ScopeKind, *, limit: str | None = None) -> Scope:
        """`limit`: the model or family that a rate limit named, in place of the target's own model."""
        match kind:
            case ScopeKind.ACCOUNT:
                return Scope(kind, self.account)
            case ScopeKind.HOLDER:
                return Scope(kind, self.holder)
            case ScopeKind.HOLDER_MODEL:
                return Scope(kind, self.holder, limit or self.model)
            case ScopeKind.ACCOUNT_MODEL:
                return Scope(kind, self.account, self.model)
            case ScopeKind.ACCOUNT_ENDPOINT:  # pragma: no branch  # there is no other
                return Scope(kind, self.account, self.endpoint)


def scope_hit(outcome: Outcome, names: ScopeNames) -> Scope | None:
    """The scope that suffers from `outcome`; None when no account is to blame."""
    kind = SCOPES.get(outcome.kind)
    if kind is ScopeKind.HOLDER and outcome.code in OF_ONE_PROJECT:
        return Scope(kind, names.account)
    return None if kind is None else names.scope(kind, limit=outcome.limit_name)


def after(
    health: Health, outcome: Outcome, *, started: Instant, now: Instant, jitter: float, is_model_known: bool = True
) -> Health:
    """Health of the scope that `outcome` hit (for OK: of any scope of the target), the attempt having `started` then.

    `jitter` in [0, 1) stretches a rest that we guessed by up to a half, so that replicas do not wake together; a rest
    that the upstream named is lengthened by a tenth, 1 s at most. `is_model_known`: the model was served once.
    """
    if outcome.kind is OutcomeKind.OK:
        return healed(health) if started > health.since else health  # a stale witness does not heal
    rest = RESTS.get(outcome.kind)
    if outcome.kind is OutcomeKind.NO_ACCESS_TO_MODEL and not is_model_known:
        rest = NEVER_SERVED_REST
    if outcome.kind in DIMS:
        health = msgspec.structs.replace(health, dimmed_until=Instant(max(health.dimmed_until, now + DIM_S)))
    if outcome.kind in AVOIDED_FOR:
        health = _one_fault_more(health, now)
    if rest is None or health.phase is Phase.REJECTED:
        return health
    if health.phase is Phase.READY and started < health.since:
        return health  # nor does it harm: it speaks of a credential or a limit of before
    is_sure = rest.is_sure_when_named and bool(outcome.retry_after_s)
    if health.suspicions < rest.suspicions and health.phase is Phase.READY and not is_sure:
        return msgspec.structs.replace(health, suspicions=health.suspicions + 1)
    return _parked(health, outcome, rest, started=started, now=now, jitter=jitter)


def _one_fault_more(health: Health, now: Instant) -> Health:
    faults = health.faults + 1
    avoided_until = Instant(now + AVOID_S) if faults >= AVOIDED_AFTER else health.avoided_until
    return msgspec.structs.replace(health, faults=faults, avoided_until=avoided_until)


def _parked(health: Health, outcome: Outcome, rest: Rest, *, started: Instant, now: Instant, jitter: float) -> Health:
    is_new = started > health.since  # what was in flight when the rest began belongs to the same burst
    alike = health.strikes if health.reason is outcome.kind else 0
    strikes = alike + 1 if is_new else max(health.strikes, 1)
    if is_new and rest.rejects_after and strikes >= rest.rejects_after:
        return Health(Phase.REJECTED, strikes, 0, now, FOREVER, FOREVER, health.dimmed_until, outcome.kind)
    own_until = now + rest_s(outcome, rest, strikes, jitter)
    own_probe_at = min(own_until, now + DAY_LIMIT_PROBE_S) if outcome.span is LimitSpan.DAY else own_until
    until = Instant(max(health.until, own_until))
    probe_at = Instant(max(health.probe_at, own_probe_at))
    since = now if is_new or health.phase is Phase.READY else health.since
    reason = outcome.kind if until > health.until or health.reason is None else health.reason
    return Health(Phase.COOLING, strikes, 0, since, until, probe_at, health.dimmed_until, reason)


def rest_s(outcome: Outcome, rest: Rest, strikes: int, jitter: float) -> float:
    """Seconds of rest: what the upstream named, else what its headers let us estimate, else our own doubling guess."""
    named = outcome.retry_after_s or outcome.estimated_rest_s
    if named is not None and named > 0:
        cap = LONGEST_DAY_LIMIT_S if outcome.span is LimitSpan.DAY else rest.named_cap_s or rest.cap_s
        clamped = min(max(named, rest.named_floor_s), cap)
        return clamped + min(clamped / 10, 1.0)
    guess: float = min(rest.base_s * 2.0 ** min(strikes - 1, 30), rest.cap_s)
    return guess * (1 + jitter / 2)


def healed(health: Health) -> Health:
    """After a success: nothing is held against it but the halved weight, and the moment before which nothing counts."""
    if health.phase is Phase.READY and not health.strikes and not health.suspicions and not health.faults:
        return health
    return Health(since=health.since, dimmed_until=health.dimmed_until)


def probe_passed(health: Health) -> Health:
    """A probe was not refused within its time: the scope serves again; its strikes stay until a success."""
    if health.phase is not Phase.COOLING:
        return health
    return msgspec.structs.replace(health, phase=Phase.READY)


def told(health: Health, heard: Health) -> Health:
    """Health after another process told of its own view: the later deadline wins, and so do the more strikes."""
    if health.phase is Phase.REJECTED or heard.until <= health.until:
        return health
    return msgspec.structs.replace(
        heard,
        strikes=max(heard.strikes, health.strikes),
        dimmed_until=max(heard.dimmed_until, health.dimmed_until),
        faults=health.faults,
        avoided_until=health.avoided_until,
    )


def is_stale(health: Health, now: Instant) -> bool:
    """Says nothing any more: ready with nothing against it for longer than an attempt lives, or rested out long ago."""
    if health.phase is Phase.READY and not health.strikes and not health.suspicions:
        return now > max(health.since, health.dimmed_until, health.avoided_until) + STALE_WITNESS_S
    last = max(health.until, health.since, health.dimmed_until)
    if last == NEVER:
        return False  # a suspicion has no time: it ends with the next success
    return health.phase is not Phase.REJECTED and now > last + FORGET_S
