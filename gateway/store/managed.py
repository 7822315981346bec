"""Rows that belong to a declaration: whose they are, and how a row is brought to what is declared."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Table, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.declarations import Reconciled, Source
from gateway.store.row_checks import RETIRED, Row, is_retired


def retired(source: Source) -> str:
    """The mark of a row that rests because of its declaration, not because somebody paused it."""
    return source.value + RETIRED


def is_ours(row: Row, source: Source) -> bool:
    """Whether `source` may change the row: its own, one that nobody declares any more, and the environment's, if the
    file declares it too.
    """
    mark = row["managed_by"] or ""
    return mark == source or is_retired(row) or (source is Source.FILE and mark == Source.ENV)


def standing(row: Row | None, source: Source, *, is_active: bool) -> dict[str, object]:
    """`managed_by` and `is_active` of a declared row; None: of a new one.

    Somebody's pause stays: an active declaration wakes only what a declaration put to rest.
    """
    if not is_active:
        return {"managed_by": retired(source), "is_active": False}
    if row is None or is_retired(row):
        return {"managed_by": source.value, "is_active": True}
    return {"managed_by": source.value}


class Writer:
    """Writes rows of one run, and counts what it did."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.done = Reconciled()

    async def add(self, table: Table, values: Mapping[str, object]) -> None:
        """Somebody who inserts the same row at this moment wins."""
        result = await self.connection.execute(insert(table).values(dict(values)).on_conflict_do_nothing())
        self.done.added += result.rowcount

    async def change(self, table: Table, row: Row, values: Mapping[str, object]) -> None:
        """Writes only what differs, so that a start that changes nothing tells nobody."""
        changes = {name: value for name, value in values.items() if row[name] != value}
        if changes:
            await self.connection.execute(update(table).where(table.c.id == row["id"]).values(changes))
            self.done.changed += 1

    async def retire(self, table: Table, source: Source, declared: ColumnElement[bool]) -> None:
        """Rows of `source` that are not `declared` any more."""
        statement = update(table).where(table.c.managed_by == source.value, ~declared)
        result = await self.connection.execute(statement.values(managed_by=retired(source), is_active=False))
        self.done.removed += result.rowcount
