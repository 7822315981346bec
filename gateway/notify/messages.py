"""What processes tell each other about health, as the payload of a NOTIFY: versioned JSON below 8,000 bytes.

    {"v":1,"from":"<sender>","parks":[[kind, holder, what, reason, strikes, since, until, probe, rejected, mark], …],
     "recoveries":[[kind, holder, what], …], "uses":[[kind, holder, what, sent, age, hungry, readings, calls, belief],
     …],
     "organizations":[[account id, organisation, shared], …]}

Where one names a scope among its recoveries and its parks, what was known of it ends and the park holds: so the table's
triggers tell a row that a person changed. Times are ISO 8601 UTC. Releases overlap while they are rolled out: a message
of another version, or with a reason that this release does not know, is no error.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from gateway.core.ids import AccountId
from gateway.core.organizations import Membership
from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.core.uses import Belief, Calls, Reading, Totals, Use

T = TypeVar("T")

VERSION = 1
MAX_BYTES = 7_900
"""Postgres refuses payloads of 8,000 bytes and more."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One payload, read."""

    sender: str
    parks: tuple[Park, ...] = ()
    recoveries: tuple[Scope, ...] = ()
    uses: tuple[Use, ...] = ()
    """Of scopes near their limits: who uses them as well shares their rate with the sender."""
    organizations: tuple[Membership, ...] = ()
    """Organisations that answers named, and whether their accounts share their limits."""


class _Scope(msgspec.Struct, frozen=True, array_like=True):
    kind: ScopeKind
    holder: str
    what: str


class _Use(msgspec.Struct, frozen=True, array_like=True):
    kind: ScopeKind
    holder: str
    what: str
    sent: Totals = Totals()
    age_s: float = 0.0
    is_hungry: bool = False
    readings: tuple[Reading, ...] = ()
    calls: Calls | None = None
    belief: Belief | None = None


class _Park(msgspec.Struct, frozen=True, array_like=True):
    kind: ScopeKind
    holder: str
    what: str
    reason: OutcomeKind
    strikes: int
    since_at: datetime
    until_at: datetime
    probe_at: datetime
    is_rejected: bool
    credential_mark: str | None = None


class _Membership(msgspec.Struct, frozen=True, array_like=True):
    account_id: AccountId
    organization: str
    is_shared: bool | None


class _Head(msgspec.Struct, frozen=True):
    v: int


class _Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    v: int
    sender: str = msgspec.field(name="from")
    parks: tuple[_Park, ...] = ()
    recoveries: tuple[_Scope, ...] = ()
    uses: tuple[_Use, ...] = ()
    organizations: tuple[_Membership, ...] = ()


def write_messages(
    sender: str,
    *,
    parks: Sequence[Park] = (),
    recoveries: Sequence[Scope] = (),
    uses: Sequence[Use] = (),
    organizations: Sequence[Membership] = (),
) -> list[str]:
    """As few payloads as fit. A single scope that does not fit on its own (a name of kilobytes) is left out."""
    empty = len(_encoded(sender)) + len(',"parks":[],"recoveries":[],"uses":[],"organizations":[]')
    return [
        *(_encoded(sender, parks=some) for some in _split([_wire_park(park) for park in parks], empty)),
        *(_encoded(sender, recoveries=some) for some in _split([_wire_scope(scope) for scope in recoveries], empty)),
        *(
            _encoded(sender, organizations=some)
            for some in _split([_wire_membership(one) for one in organizations], empty)
        ),
        *(_encoded(sender, uses=some) for some in _split([_wire_use(use) for use in uses], empty)),
    ]


def read_message(payload: str | bytes) -> Message | None:
    """None for another version and for what cannot be read: the caller logs it and goes on."""
    try:
        if msgspec.json.decode(payload, type=_Head).v != VERSION:
            return None
        read = msgspec.json.decode(payload, type=_Payload)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return Message(
        sender=read.sender,
        parks=tuple(_core_park(park) for park in read.parks),
        recoveries=tuple(Scope(scope.kind, scope.holder, scope.what) for scope in read.recoveries),
        uses=tuple(
            Use(
                Scope(use.kind, use.holder, use.what),
                use.sent,
                use.age_s,
                use.is_hungry,
                use.readings,
                use.calls,
                use.belief,
            )
            for use in read.uses
        ),
        organizations=tuple(Membership(one.account_id, one.organization, one.is_shared) for one in read.organizations),
    )


def _split(parts: Sequence[T], empty_bytes: int) -> Iterator[tuple[T, ...]]:
    some: list[T] = []
    room = MAX_BYTES - empty_bytes
    left = room
    for part in parts:
        size = len(msgspec.json.encode(part)) + 1
        if size > room:
            continue
        if size > left:
            yield tuple(some)
            some, left = [], room
        some.append(part)
        left -= size
    if some:
        yield tuple(some)


def _encoded(
    sender: str,
    *,
    parks: tuple[_Park, ...] = (),
    recoveries: tuple[_Scope, ...] = (),
    uses: tuple[_Use, ...] = (),
    organizations: tuple[_Membership, ...] = (),
) -> str:
    return msgspec.json.encode(_Payload(VERSION, sender, parks, recoveries, uses, organizations)).decode()


def _wire_membership(one: Membership) -> _Membership:
    return _Membership(one.account_id, one.organization, one.is_shared)


def _wire_use(use: Use) -> _Use:
    scope = use.scope
    return _Use(
        scope.kind,
        scope.holder,
        scope.what,
        use.sent,
        use.age_s,
        use.is_hungry,
        use.readings,
        use.calls,
        use.belief,
    )


def _wire_park(park: Park) -> _Park:
    scope = park.scope
    return _Park(
        scope.kind,
        scope.holder,
        scope.what,
        park.reason,
        park.strikes,
        park.since_at,
        park.until_at,
        park.probe_at,
        park.is_rejected,
        park.credential_mark,
    )


def _wire_scope(scope: Scope) -> _Scope:
    return _Scope(scope.kind, scope.holder, scope.what)


def _core_park(park: _Park) -> Park:
    return Park(
        scope=Scope(park.kind, park.holder, park.what),
        reason=park.reason,
        strikes=park.strikes,
        since_at=park.since_at,
        until_at=park.until_at,
        probe_at=park.probe_at,
        is_rejected=park.is_rejected,
        credential_mark=park.credential_mark,
    )
