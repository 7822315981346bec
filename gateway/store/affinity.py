"""The table `stateful_ids`: written in batches, read by primary key, and by account and time for lists.

Rules of this file: an id's owner never changes, whoever meets the id again; rows are written in one order by all, so
that writers do not wait for each other in a ring. What busy workers run is built once, with arrays for what varies:
a statement is a hundred objects in circles, which would wait for the collector after each call.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from sys import intern
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnClause,
    Text,
    any_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.dml import ReturningInsert

from gateway.core.affinity import LONGEST_ID, PASSING_KINDS, UNLISTED_KINDS, Binding
from gateway.core.ids import AccountId, ProviderId
from gateway.store.engine import StoreUnavailable, store_errors
from gateway.store.tables import AccountRow, StatefulIdRow

KEPT = timedelta(days=35)
"""Rows of kinds that pass: OpenAI keeps responses for some 30 days."""
BATCH = 1000
"""Rows a statement, and so a moment for which it holds them."""

_TABLE = StatefulIdRow.__table__.c
_READ = (
    _TABLE.id,
    _TABLE.kind,
    _TABLE.provider_id,
    _TABLE.account_id,
    _TABLE.owner,
    _TABLE.realm,
    _TABLE.created_at,
)

# One array, whatever its length: a page of files has 10,000 ids, and IN would write each into the statement.
_IS_NAMED = _TABLE.id == any_(bindparam("ids", type_=ARRAY(Text)))
_NAMED = select(*_READ).where(_IS_NAMED)
_FORGET = delete(StatefulIdRow).where(_IS_NAMED)

_WRITTEN = ("id", "kind", "provider_id", "account_id", "realm", "owner", "created_at", "is_listed")


def _saving() -> ReturningInsert[tuple[str]]:
    """One array a column; gives the ids that were written."""
    arrays = [bindparam(name, type_=ARRAY(_TABLE[name].type)) for name in _WRITTEN]
    statement = insert(StatefulIdRow).from_select(
        _WRITTEN, select(func.unnest(*arrays).table_valued(*_WRITTEN).render_derived())
    )
    new = statement.excluded
    made_at = func.coalesce(new.created_at, _TABLE.created_at)
    changed = tuple_(new.account_id, made_at).is_distinct_from(tuple_(_TABLE.account_id, _TABLE.created_at))
    names = ("kind", "provider_id", "account_id", "realm", "is_listed")
    return statement.on_conflict_do_update(
        index_elements=[_TABLE.id],
        set_={**{name: new[name] for name in names}, "created_at": made_at},
        where=_TABLE.owner.is_not_distinct_from(new.owner) & changed,
    ).returning(_TABLE.id)


_SAVE = _saving()

_OF_KIND = "SELECT account_id FROM stateful_ids WHERE is_listed AND kind = :kind AND {owned}"
_ONE_OF_EACH_ACCOUNT = """
WITH RECURSIVE held AS (
    ({of_kind} ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT ({of_kind} AND account_id > held.account_id ORDER BY account_id LIMIT 1)
    FROM held WHERE held.account_id IS NOT NULL
)
SELECT account_id FROM held WHERE account_id IS NOT NULL
"""
"""Goes from account to account in the index. `IS NOT DISTINCT FROM` would say both in one, but no index serves it."""
_ACCOUNTS_OF_OWNER = text(_ONE_OF_EACH_ACCOUNT.format(of_kind=_OF_KIND.format(owned="owner = :owner")))
_ACCOUNTS_OF_ALL = text(_ONE_OF_EACH_ACCOUNT.format(of_kind=_OF_KIND.format(owned="owner IS NULL")))

T = TypeVar("T")


async def load_bindings(connection: AsyncConnection, ids: Collection[str]) -> list[Binding]:
    """Those of `ids` that the table has."""
    fitting = [id_ for id_ in ids if fits(id_)]
    if not fitting:
        return []
    rows = await connection.execute(_NAMED, {"ids": fitting})
    return [_binding_of(row) for row in rows]


async def save_bindings(connection: AsyncConnection, bindings: Collection[Binding]) -> frozenset[str]:
    """New ids are added; one that is there already is corrected, but never taken from its owner.

    Gives the ids that belong to another owner than their binding says.
    """
    rows = {binding.id: binding for binding in bindings if fits(binding.id)}
    ordered = [rows[id_] for id_ in sorted(rows)]
    written: set[str] = set()
    for start in range(0, len(ordered), BATCH):
        columns = zip(*map(_values_of, ordered[start : start + BATCH]), strict=True)
        written |= set(await connection.scalars(_SAVE, dict(zip(_WRITTEN, map(list, columns), strict=True))))
    kept = await load_bindings(connection, rows.keys() - written)
    return frozenset(row.id for row in kept if row.owner != rows[row.id].owner)


async def forget_bindings(connection: AsyncConnection, ids: Collection[str]) -> int:
    """Removes objects that were deleted upstream. Gives how many there were."""
    fitting = sorted(id_ for id_ in ids if fits(id_))
    return (await connection.execute(_FORGET, {"ids": fitting})).rowcount


async def load_one_of_each_account(connection: AsyncConnection, owner: str | None, kind: str) -> list[Binding]:
    """One object of that owner and kind from every account that has any. Costs by accounts, not by objects."""
    found: list[Binding] = []
    if owner is None:
        accounts = await connection.scalars(_ACCOUNTS_OF_ALL, {"kind": kind})
    else:
        accounts = await connection.scalars(_ACCOUNTS_OF_OWNER, {"owner": owner, "kind": kind})
    for account_id in accounts.all():
        of_account = select(*_READ).where(_TABLE.is_listed, _TABLE.kind == kind, _TABLE.account_id == account_id)
        row = (await connection.execute(of_account.limit(1))).first()
        if row is not None:
            found.append(_binding_of(row))
    return found


async def load_cursor(
    connection: AsyncConnection, kind: str, accounts: Collection[AccountId], at: datetime, *, is_newest_first: bool
) -> str | None:
    """The id after which the accounts' list of that kind has come to `at`; None: at its beginning.

    Nobody's objects in particular: whoever owns it, it marks a place in the upstream's list.
    """
    of_accounts = _TABLE.account_id.in_([UUID(account_id) for account_id in accounts])
    if is_newest_first:
        place, order = _TABLE.created_at > at, _TABLE.created_at.asc()
    else:
        place, order = _TABLE.created_at < at, _TABLE.created_at.desc()
    statement = select(_TABLE.id).where(_TABLE.is_listed, _TABLE.kind == kind, of_accounts, place)
    cursor: str | None = await connection.scalar(statement.order_by(order).limit(1))
    return cursor


async def has_account(connection: AsyncConnection, account_id: AccountId) -> bool:
    """Whether there is such a row, active or not."""
    return bool(await connection.scalar(select(exists().where(AccountRow.id == UUID(account_id)))))


async def delete_passed(connection: AsyncConnection, batch: int = BATCH) -> int:
    """Removes at most `batch` rows of kinds that pass, once they are old; fewer mean that none is left."""
    place: ColumnClause[object] = literal_column("stateful_ids.ctid")
    old = select(place).where(_TABLE.stored_at < func.now() - KEPT, _TABLE.kind.in_(sorted(PASSING_KINDS))).limit(batch)
    # By an array, as Postgres then reads each row by its place; a plain IN would join the whole table.
    statement = delete(StatefulIdRow).where(place == func.any(func.array(old.scalar_subquery())))
    return (await connection.execute(statement)).rowcount


class IdTable:
    """Fits `relay.ports.IdStore`: None says that Postgres is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, ids: Collection[str]) -> list[Binding] | None:
        return await self._read(lambda connection: load_bindings(connection, ids))

    async def one_of_each_account(self, owner: str | None, kind: str) -> list[Binding] | None:
        return await self._read(lambda connection: load_one_of_each_account(connection, owner, kind))

    async def cursor(
        self, kind: str, accounts: Collection[AccountId], at: datetime, *, is_newest_first: bool
    ) -> str | None:
        return await self._read(
            lambda connection: load_cursor(connection, kind, accounts, at, is_newest_first=is_newest_first)
        )

    async def has_account(self, account_id: AccountId) -> bool | None:
        return await self._read(lambda connection: has_account(connection, account_id))

    async def save(self, bindings: Sequence[Binding], forgotten: Sequence[str]) -> frozenset[str] | None:
        """Adds the ones, removes the others, in one transaction. Gives what `save_bindings` gives."""
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    others = await save_bindings(connection, bindings) if bindings else frozenset[str]()
                    if forgotten:
                        await forget_bindings(connection, forgotten)
        except StoreUnavailable:
            return None
        return others

    async def delete_passed(self) -> int:
        """As the function of that name, committed; 0 with Postgres away."""
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    return await delete_passed(connection)
        except StoreUnavailable:
            return 0

    async def _read(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T | None:
        try:
            with store_errors():
                async with self._engine.connect() as connection:
                    return await ask(connection)
        except StoreUnavailable:
            return None


def _binding_of(row: Any) -> Binding:  # noqa: ANN401  # a row's type would name seven columns
    """What comes again in row after row is kept once."""
    return Binding(
        id=row.id,
        kind=intern(row.kind),
        provider_id=ProviderId(intern(row.provider_id)),
        account_id=AccountId(intern(str(row.account_id))),
        owner=None if row.owner is None else intern(row.owner),
        realm=None if row.realm is None else intern(row.realm),
        created_at=row.created_at,
    )


def _values_of(binding: Binding) -> tuple[object, ...]:
    """As `_WRITTEN` names them."""
    return (
        binding.id,
        binding.kind,
        binding.provider_id,
        UUID(binding.account_id),
        binding.realm,
        binding.owner,
        binding.created_at,
        binding.kind not in UNLISTED_KINDS,
    )


def fits(id_: str) -> bool:
    """Whether the table can hold it: an upstream may write anything, and a caller name anything."""
    return 0 < len(id_) <= LONGEST_ID and "\0" not in id_ and not any("\ud800" <= letter <= "\udfff" for letter in id_)
