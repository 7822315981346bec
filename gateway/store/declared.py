"""Declared providers, accounts and routes → rows, once at start, in one transaction.

Rules of this file:
- Rows made by people (`managed_by` NULL) are never changed. A declared account whose credential they entered already is
  not added again; a declared provider that they have stays as it is, and the declared accounts are added under it.
- What is no longer declared rests: `is_active` false, `managed_by` `<source>:retired`. It is not deleted, because
  stateful ids and usage hang on the account's id; declared again, it is the same account as before. Routes are deleted.
- Who pauses a managed row by hand finds it paused after a restart; its other columns are set back to the declaration.
- The file goes before the environment: what both declare belongs to the file.
- All processes of a service must declare the same: the last that starts decides.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, delete, exists, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.cipher import Cipher
from gateway.store.declarations import Declarations, DeclaredProvider, DeclaredRoute, Reconciled, Source
from gateway.store.declared_accounts import ACCOUNTS, AccountsOfProvider, load_account_rows
from gateway.store.managed import Writer, is_ours, standing
from gateway.store.row_checks import Row
from gateway.store.rows import table_of
from gateway.store.tables import ModelRouteRow, ProviderRow

RECONCILE_LOCK = 4_829_001_677_033
"""Key of the advisory lock of whoever reconciles. It must never change."""

_PROVIDERS = table_of(ProviderRow)
_ROUTES = table_of(ModelRouteRow)


async def reconcile(
    connection: AsyncConnection, cipher: Cipher, *, file: Declarations, env: Declarations
) -> Reconciled:
    """Brings the tables to what is declared. Call it inside a transaction: it is seen whole or not at all."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": RECONCILE_LOCK})
    writer = Writer(connection)
    for source, declared in ((Source.FILE, file), (Source.ENV, env)):
        await _reconcile_providers(writer, cipher, source, declared.providers)
        await _reconcile_routes(writer, source, declared.routes)
    return writer.done


async def _reconcile_providers(
    writer: Writer, cipher: Cipher, source: Source, providers: Sequence[DeclaredProvider]
) -> None:
    accounts: set[UUID] = set()
    for provider in providers:
        if await _bring_in_provider(writer, source, provider):
            rows = await load_account_rows(writer.connection, provider.id)
            known = AccountsOfProvider(writer, cipher, provider.id, rows)
            found = [await known.bring_in(account, source) for account in provider.accounts]
            accounts.update(id_ for id_ in found if id_ is not None)
    await writer.retire(ACCOUNTS, source, ACCOUNTS.c.id.in_(accounts))
    declared = _PROVIDERS.c.id.in_([provider.id for provider in providers if provider.base_url is not None])
    serves_people = exists().where(
        ACCOUNTS.c.provider_id == _PROVIDERS.c.id, ACCOUNTS.c.managed_by.is_(None), ACCOUNTS.c.is_active
    )
    await writer.retire(_PROVIDERS, source, declared | serves_people)


async def _bring_in_provider(writer: Writer, source: Source, provider: DeclaredProvider) -> bool:
    """Whether the provider has a row now."""
    statement = select(_PROVIDERS).where(_PROVIDERS.c.id == provider.id)
    found = (await writer.connection.execute(statement)).mappings().first()
    row: Row | None = None if found is None else dict(found)
    if row is None and provider.base_url is None:
        writer.done.homeless += len(provider.accounts)
        return False
    if row is None:
        values = {**_columns_of(provider), **standing(None, source, is_active=provider.is_active)}
        await writer.add(_PROVIDERS, values)
    elif provider.base_url is not None and is_ours(row, source):
        values = {**_columns_of(provider), **standing(row, source, is_active=provider.is_active)}
        await writer.change(_PROVIDERS, row, values)
    elif provider.base_url is not None:
        writer.done.kept += 1
    return True


def _columns_of(provider: DeclaredProvider) -> dict[str, object]:
    values = msgspec.structs.asdict(provider)
    return {name: value for name, value in values.items() if name not in {"accounts", "is_active"}}


async def _reconcile_routes(writer: Writer, source: Source, routes: Sequence[DeclaredRoute]) -> None:
    mine = select(_ROUTES).where(_ROUTES.c.managed_by == source.value).order_by(_ROUTES.c.created_at)
    rows = {_key_of(row): dict(row) for row in (await writer.connection.execute(mine)).mappings()}
    for route in routes:
        row = rows.pop((route.pattern.strip().lower(), route.provider_id), None)
        values = msgspec.structs.asdict(route)
        if row is None:
            await writer.add(_ROUTES, {**values, "managed_by": source.value})
        else:
            await writer.change(_ROUTES, row, values)
    if rows:
        result = await writer.connection.execute(
            delete(_ROUTES).where(_ROUTES.c.id.in_([row["id"] for row in rows.values()]))
        )
        writer.done.removed += result.rowcount


def _key_of(row: RowMapping) -> tuple[str, str]:
    return (row["pattern"].strip().lower(), row["provider_id"])
