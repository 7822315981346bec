"""Providers: listed, added, changed, removed."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.audit import record_change
from gateway.store.row_checks import auth_type_of, provider_of
from gateway.store.rows import (
    Duplicate,
    Page,
    Span,
    delete_row,
    insert_row,
    load_page,
    load_row,
    table_of,
    update_row,
)
from gateway.store.tables import AccountRow, ProviderRow
from gateway.store.write_checks import refuse_if_new

_TABLE = table_of(ProviderRow)


class ProviderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `providers`, as it stands."""

    id: str
    name: str
    base_url: str
    auth_type: str
    auth_strategy: str
    kind: str
    supported_models: object
    settings: object
    is_active: bool
    managed_by: str | None
    """`env` or `file`: made from a declaration, and reset to it at each start. None: made by people."""
    created_at: datetime
    updated_at: datetime


async def load_providers(
    connection: AsyncConnection, span: Span, *, kind: str | None = None, is_active: bool | None = None
) -> Page[ProviderRecord]:
    """Oldest first."""
    where = []
    if kind is not None:
        where.append(_TABLE.c.kind == kind)
    if is_active is not None:
        where.append(_TABLE.c.is_active == is_active)
    order = (_TABLE.c.created_at, _TABLE.c.id)
    return await load_page(connection, _TABLE, ProviderRecord, where=where, order=order, span=span)


async def load_provider(
    connection: AsyncConnection, provider_id: str, *, for_update: bool = False
) -> ProviderRecord | None:
    """`for_update`: other writers of this provider and its accounts wait until the transaction ends."""
    return await load_row(connection, _TABLE, ProviderRecord, _TABLE.c.id == provider_id, for_update=for_update)


async def add_provider(
    connection: AsyncConnection, values: Mapping[str, object], *, kinds: frozenset[str], actor: str
) -> ProviderRecord:
    """`values`: column → value, with `id` and `base_url`; absent columns get the table's defaults.

    `kinds` are those that this release has code for.

    Raises:
        Duplicate: the id is taken.
        InvalidValue: the snapshot would skip the row.
    """
    if "auth_type" not in values:
        values = {**values, "auth_type": auth_type_of(str(values.get("auth_strategy", "api_key")))}
    if await load_provider(connection, str(values["id"])) is not None:
        raise Duplicate("id", f"There is a provider {values['id']} already.")
    record = await insert_row(connection, _TABLE, ProviderRecord, values)
    _refuse_worse(kinds, None, record)
    await _audit(connection, actor, "created", record.id, values)
    return record


async def change_provider(
    connection: AsyncConnection,
    provider_id: str,
    values: Mapping[str, object],
    *,
    kinds: frozenset[str],
    actor: str,
) -> ProviderRecord | None:
    """None: there is no such provider.

    Raises:
        InvalidValue: the snapshot would skip the row for something that it did not suffer from before.
    """
    before = await load_provider(connection, provider_id, for_update=True)
    record = await update_row(connection, _TABLE, ProviderRecord, _TABLE.c.id == provider_id, values)
    if record is not None and values:
        _refuse_worse(kinds, before, record)
        await _audit(connection, actor, "changed", provider_id, values)
    return record


async def remove_provider(connection: AsyncConnection, provider_id: str, *, actor: str) -> bool:
    """Its accounts go with it. Whether there was one."""
    accounts = await count_accounts(connection, provider_id)
    is_gone = await delete_row(connection, _TABLE, _TABLE.c.id == provider_id)
    if is_gone:
        await _audit(connection, actor, "deleted", provider_id, {"accounts_deleted": accounts})
    return is_gone


async def count_accounts(connection: AsyncConnection, provider_id: str) -> int:
    accounts = table_of(AccountRow)
    count = select(func.count()).select_from(accounts).where(accounts.c.provider_id == provider_id)
    return await connection.scalar(count) or 0


def _refuse_worse(kinds: frozenset[str], before: ProviderRecord | None, after: ProviderRecord) -> None:
    rows = (after if before is None else before, after)
    old, new = (msgspec.structs.asdict(record) for record in rows)
    refuse_if_new(lambda row: provider_of(row, kinds), new, None if before is None else old)


async def _audit(
    connection: AsyncConnection, actor: str, action: str, provider_id: str, values: Mapping[str, object]
) -> None:
    shown = {name: value for name, value in values.items() if name != "settings"}
    if "settings" in values:
        shown["settings"] = "changed"  # its fixed headers may hold a secret
    await record_change(connection, actor=actor, action=action, table="providers", row_id=provider_id, changes=shown)
