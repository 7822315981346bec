"""What the tables' own files share: pages of rows, one row, changes to one, and how a write is refused."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Table, UnaryExpression, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.store.engine import store_errors

T = TypeVar("T", bound=msgspec.Struct)


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows of a list, and where they stand in it."""

    data: list[T]
    total: int
    """Rows that match, on all pages."""
    limit: int
    offset: int


class Span(msgspec.Struct, frozen=True):
    """Which rows of a list are asked for."""

    limit: int = 100
    offset: int = 0


class WriteRefused(Exception):
    """A row that may not be written. `where` names the field, dotted; the message says what is allowed."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


class InvalidValue(WriteRefused):
    """The value itself is wrong."""


class Duplicate(WriteRefused):
    """Another row has it already."""


_REFUSALS: Mapping[str, WriteRefused] = {
    "pk_providers": Duplicate("id", "There is a provider of this id already."),
    "uq_accounts_provider_id_label": Duplicate("label", "The provider has an account of this label already."),
    "fk_accounts_provider_id_providers": InvalidValue("provider_id", "There is no provider of this id."),
}
"""What a violated constraint means, for writers that lost a race; mostly the check before the write finds it."""

_UNSTORABLE = ("22", "54")
"""SQLSTATE classes of values that Postgres cannot hold: a NUL in text, a number out of range, …"""


@asynccontextmanager
async def unit_of_work(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction: commits at its end, rolls back on any error.

    Raises:
        StoreUnavailable: the server cannot be reached.
        WriteRefused: a constraint or a type of the table was violated.
    """
    with store_errors():
        try:
            async with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise _refusal_of(error) from error


def _refusal_of(error: DBAPIError) -> Exception:
    """What the error means; the error itself when it means nothing to us."""
    cause = getattr(error.orig, "__cause__", None)
    if isinstance(error, IntegrityError):
        refusal = _REFUSALS.get(getattr(cause, "constraint_name", None) or "")
        return error if refusal is None else type(refusal)(refusal.where, str(refusal))
    if str(getattr(error.orig, "sqlstate", None) or "").startswith(_UNSTORABLE):
        return InvalidValue("", "A value cannot be stored: NUL characters and numbers out of range are not allowed.")
    return error


Order = Sequence[ColumnElement[object] | UnaryExpression[object]]


async def load_page(  # the parts of one SELECT, by name
    connection: AsyncConnection,
    table: Table,
    record: type[T],
    *,
    where: Sequence[ColumnElement[bool]] = (),
    order: Order,
    span: Span,
) -> Page[T]:
    """Rows as `record`s, whose fields are named like the columns."""
    total = await connection.scalar(select(func.count()).select_from(table).where(*where))
    statement = select(table).where(*where).order_by(*order).limit(span.limit).offset(span.offset)
    rows = (await connection.execute(statement)).mappings()
    return Page([_as(row, record) for row in rows], total or 0, span.limit, span.offset)


async def load_row(
    connection: AsyncConnection, table: Table, record: type[T], match: ColumnElement[bool], *, for_update: bool = False
) -> T | None:
    """The one row that matches; None when there is none.

    `for_update` holds it until the transaction ends, and does not hinder rows that only refer to it.
    """
    statement = select(table).where(match)
    row = (
        (await connection.execute(statement.with_for_update(key_share=True) if for_update else statement))
        .mappings()
        .first()
    )
    return None if row is None else _as(row, record)


async def insert_row(connection: AsyncConnection, table: Table, record: type[T], values: Mapping[str, object]) -> T:
    """The row as it stands then, with the server's defaults."""
    row = (await connection.execute(insert(table).values(**values).returning(table))).mappings().one()
    return _as(row, record)


async def update_row(
    connection: AsyncConnection,
    table: Table,
    record: type[T],
    match: ColumnElement[bool],
    values: Mapping[str, object],
) -> T | None:
    """The row as it stands then; None when there is none. No values change nothing."""
    if not values:
        return await load_row(connection, table, record, match)
    statement = update(table).where(match).values(**values).returning(table)
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else _as(row, record)


async def delete_row(connection: AsyncConnection, table: Table, match: ColumnElement[bool]) -> bool:
    """Whether there was one."""
    return (await connection.execute(delete(table).where(match))).rowcount > 0


def _as(row: RowMapping, record: type[T]) -> T:
    """SQLAlchemy's names are a kind of text of its own, which msgspec does not take for text."""
    return msgspec.convert({str(name): value for name, value in row.items()}, record)


def table_of(row: type) -> Table:
    """The table of a declared row class, typed as one."""
    table = getattr(row, "__table__", None)
    if not isinstance(table, Table):
        raise TypeError(f"{row.__name__} is not a table")
    return table


def given(values: Mapping[str, object]) -> dict[str, object]:
    """Only what was given: `msgspec.UNSET` means that a field was absent, which is not null."""
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}
