"""Parks that survive a restart. They are kept by whoever parks, and read by whoever starts."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Text, cast, delete, exists, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.organizations import Membership
from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.store.engine import StoreUnavailable, store_errors
from gateway.store.organizations import load_organizations, save_organizations
from gateway.store.tables import AccountRow, CooldownRow

_TABLE = CooldownRow.__table__.c
_KEY = (_TABLE.scope_kind, _TABLE.holder, _TABLE.what)
_IS_EDITED = (_TABLE.reason == OutcomeKind.CREDENTIAL_REJECTED.value) & exists().where(
    cast(AccountRow.id, Text) == _TABLE.holder, AccountRow.updated_at > _TABLE.updated_at
)
"""The account's row is newer: it may have another credential. Both times are the server's."""
_BATCH = 500
"""Rows a statement: far below the 32,767 parameters that the protocol allows."""
_LONGEST_NAME = 300
"""Characters; an index entry of Postgres takes some 2,700 bytes."""


async def save_parks(connection: AsyncConnection, parks: Sequence[Park]) -> None:
    """Of two parks for one scope the later `until_at` wins, and what is rejected stays so until it is forgotten."""
    # One row a scope and statement, and one order for all writers: no conflict within, no deadlock between them.
    latest = {park.scope: park for park in sorted(parks, key=lambda park: (park.is_rejected, park.until_at))}
    ordered = [latest[scope] for scope in sorted(latest, key=_key_of)]
    for start in range(0, len(ordered), _BATCH):
        await _upsert(connection, ordered[start : start + _BATCH])


async def load_parks(connection: AsyncConnection) -> list[Park]:
    """Those not over yet by the server's clock, and all rejected ones. Rows of a kind unknown here are left out.

    What is held against a credential is left out when its account was edited since.
    """
    kept = select(CooldownRow.__table__).where(or_(_TABLE.until_at > func.now(), _TABLE.is_rejected), ~_IS_EDITED)
    rows = (await connection.execute(kept)).mappings()
    known_kinds, known_reasons = set(ScopeKind), set(OutcomeKind)
    return [
        Park(
            scope=Scope(ScopeKind(row["scope_kind"]), row["holder"], row["what"]),
            reason=OutcomeKind(row["reason"]),
            strikes=row["strikes"],
            since_at=row["since_at"],
            until_at=row["until_at"],
            probe_at=row["probe_at"],
            is_rejected=row["is_rejected"],
        )
        for row in rows
        if row["scope_kind"] in known_kinds and row["reason"] in known_reasons
    ]


async def forget_edited(connection: AsyncConnection) -> int:
    """Removes what is held against credentials of accounts that were edited since, gives how many there were.

    Gateways that run see the edit and forget by themselves; this is for edits while none ran.
    """
    return (await connection.execute(delete(CooldownRow).where(_IS_EDITED))).rowcount


async def forget_parks(connection: AsyncConnection, scopes: Iterable[Scope]) -> int:
    """Removes the parks of scopes that serve again. Gives how many there were."""
    keys = sorted({_key_of(scope) for scope in scopes})
    gone = 0
    for start in range(0, len(keys), _BATCH):
        statement = delete(CooldownRow).where(tuple_(*_KEY).in_(keys[start : start + _BATCH]))
        gone += (await connection.execute(statement)).rowcount
    return gone


async def delete_expired_parks(connection: AsyncConnection, batch: int = 1000) -> int:
    """Removes at most `batch` parks that are over; fewer mean that none is left. Commit between two batches."""
    over = select(*_KEY).where(_TABLE.until_at <= func.now(), ~_TABLE.is_rejected).limit(batch)
    statement = delete(CooldownRow).where(tuple_(*_KEY).in_(over.with_for_update(skip_locked=True)))
    return (await connection.execute(statement)).rowcount


class ParkTable:
    """The table of a running gateway. Fits `notify.announcer.ParkTable`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(self) -> tuple[list[Park], list[Membership]]:
        """Parks that hold, and what was learned of organisations. Raises StoreUnavailable."""
        with store_errors():
            async with self._engine.begin() as connection:
                await forget_edited(connection)
                return await load_parks(connection), await load_organizations(connection)

    async def delete_expired(self) -> None:
        """One batch; nothing while Postgres is away, for they are as dead later."""
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await delete_expired_parks(connection)
        except StoreUnavailable:
            return

    async def keep(self, parks: Sequence[Park], recovered: Sequence[Scope]) -> bool:
        """Saves the parks and forgets the recovered scopes, in one transaction. False: Postgres is away."""
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await forget_parks(connection, [scope for scope in recovered if _fits(scope)])
                    await save_parks(connection, [park for park in parks if _fits(park.scope)])
        except StoreUnavailable:
            return False
        return True

    async def keep_organizations(self, memberships: Sequence[Membership]) -> bool:
        """Saves what was learned. False: Postgres is away."""
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await save_organizations(connection, memberships)
        except StoreUnavailable:
            return False
        return True


async def _upsert(connection: AsyncConnection, parks: Sequence[Park]) -> None:
    statement = insert(CooldownRow).values([_values_of(park) for park in parks])
    new = statement.excluded
    is_newer = or_(new.until_at >= _TABLE.until_at, new.is_rejected & ~_TABLE.is_rejected)
    changes: dict[str, object] = {
        **{name: new[name] for name in ("reason", "strikes", "since_at", "until_at", "probe_at")},
        "is_rejected": or_(new.is_rejected, _TABLE.is_rejected),
    }
    await connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=changes, where=is_newer))


def _values_of(park: Park) -> dict[str, object]:
    values = msgspec.structs.asdict(park)
    del values["scope"], values["credential_mark"]
    kind, holder, what = _key_of(park.scope)
    return {**values, "reason": park.reason.value, "scope_kind": kind, "holder": holder, "what": what}


def _fits(scope: Scope) -> bool:
    """Whether the table can hold it: a caller's model name may have a NUL, or more than an index takes."""
    return all("\0" not in name and len(name) <= _LONGEST_NAME for name in (scope.holder, scope.what))


def _key_of(scope: Scope) -> tuple[str, str, str]:
    return (scope.kind.value, scope.holder, scope.what)
