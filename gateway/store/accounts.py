"""Accounts: listed, added, changed, removed. Their credentials are sealed before they reach a statement.

Rules of this file: `auth_data` comes in plain and goes into the row sealed; a record's `auth_data` is what the row
holds, and never leaves the process. Writers of one provider's accounts wait for each other (the provider's row is
locked), so that a check and the write after it are one.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import Integer, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.snapshot import Account, Provider
from gateway.store.audit import record_change
from gateway.store.auth_data import credential_text
from gateway.store.cipher import BrokenSeal, Cipher, UnknownKey, is_sealed
from gateway.store.providers import ProviderRecord, load_provider
from gateway.store.row_checks import account_of, provider_of, strategy_of
from gateway.store.rows import (
    Duplicate,
    InvalidValue,
    Page,
    Span,
    delete_row,
    insert_row,
    load_page,
    load_row,
    table_of,
    update_row,
)
from gateway.store.tables import AccountRow
from gateway.store.write_checks import credential_warnings, refuse_if_new

_TABLE = table_of(AccountRow)


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `accounts`, as it stands."""

    id: UUID
    provider_id: str
    label: str
    auth_data: object
    """Sealed, or plain for the moment between somebody's INSERT and the gateway's sealing: never show it."""
    credential_digest: bytes | None
    quota_group: str | None
    tier: int
    weight: float
    max_concurrency: int | None
    rpm_limit: int | None
    tpm_limit: int | None
    supported_models: object
    metadata: object
    is_active: bool
    managed_by: str | None
    """`env` or `file`: made from a declaration, and reset to it at each start. None: made by people."""
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"AccountRecord({self.id}, {self.provider_id!r}, {self.label!r})"


async def load_accounts(
    connection: AsyncConnection,
    span: Span,
    *,
    provider_id: str | None = None,
    label: str | None = None,
    is_active: bool | None = None,
) -> Page[AccountRecord]:
    """Oldest first."""
    where = []
    if provider_id is not None:
        where.append(_TABLE.c.provider_id == provider_id)
    if label is not None:
        where.append(_TABLE.c.label == label)
    if is_active is not None:
        where.append(_TABLE.c.is_active == is_active)
    order = (_TABLE.c.created_at, _TABLE.c.id)
    return await load_page(connection, _TABLE, AccountRecord, where=where, order=order, span=span)


async def load_account(connection: AsyncConnection, account_id: UUID) -> AccountRecord | None:
    return await load_row(connection, _TABLE, AccountRecord, _TABLE.c.id == account_id)


async def lock_provider(connection: AsyncConnection, provider_id: str) -> ProviderRecord:
    """Holds the provider's row until the transaction ends.

    Raises:
        InvalidValue: there is no such provider.
    """
    provider = await load_provider(connection, provider_id, for_update=True)
    if provider is None:
        raise InvalidValue("provider_id", f"There is no provider {provider_id}: add it first.")
    return provider


async def add_account(
    connection: AsyncConnection, cipher: Cipher, provider: ProviderRecord, values: Mapping[str, object], *, actor: str
) -> tuple[AccountRecord, list[str]]:
    """The row and what looks wrong about it. `provider` is locked; `values`: column → value, `auth_data` plain.

    Without a `label` it is `account 1`, `account 2`, …

    Raises:
        Duplicate: the provider has an account of this label or with this credential.
        InvalidValue: the snapshot would skip the row.
    """
    account_id, auth_data = uuid4(), values["auth_data"]
    warnings = credential_warnings(provider.kind, auth_data)
    label = values.get("label") or await _next_label(connection, provider.id)
    await _refuse_taken_label(connection, provider.id, str(label), account_id)
    await _refuse_twin(connection, cipher, provider.id, auth_data, account_id)
    row = {**values, "id": account_id, "provider_id": provider.id, "label": label}
    record = await insert_row(connection, _TABLE, AccountRecord, {**row, **_sealed(cipher, account_id, auth_data)})
    refuse_if_new(_check_for(provider), _row(record, auth_data), None)
    await _audit(connection, actor, "created", account_id, row)
    return record, warnings


async def change_account(
    connection: AsyncConnection, cipher: Cipher, account_id: UUID, values: Mapping[str, object], *, actor: str
) -> tuple[AccountRecord, list[str]] | None:
    """The row and what looks wrong about the change; None: there is no such account.

    Raises:
        Duplicate: the provider has another account of this label or with this credential.
        InvalidValue: the snapshot would skip the row for something that it did not suffer from before.
    """
    known = await load_account(connection, account_id)
    if known is None:
        return None
    provider = await lock_provider(connection, known.provider_id)
    before = await load_row(connection, _TABLE, AccountRecord, _TABLE.c.id == account_id, for_update=True)
    if before is None or not values:
        return None if before is None else (before, [])
    warnings: list[str] = []
    columns = dict(values)
    if "auth_data" in values:
        warnings = credential_warnings(provider.kind, values["auth_data"])
        await _refuse_twin(connection, cipher, provider.id, values["auth_data"], account_id)
        columns |= _sealed(cipher, account_id, values["auth_data"])
    if "label" in values:
        await _refuse_taken_label(connection, provider.id, str(values["label"]), account_id)
    record = await update_row(connection, _TABLE, AccountRecord, _TABLE.c.id == account_id, columns)
    if record is None:
        return None
    _refuse_worse(cipher, provider, before, record)
    await _audit(connection, actor, "changed", account_id, values)
    return record, warnings


async def remove_account(connection: AsyncConnection, account_id: UUID, *, actor: str) -> bool:
    """Whether there was one."""
    is_gone = await delete_row(connection, _TABLE, _TABLE.c.id == account_id)
    if is_gone:
        await _audit(connection, actor, "deleted", account_id, {})
    return is_gone


def opened_auth_data(cipher: Cipher, record: AccountRecord) -> object:
    """The plain `auth_data`.

    Raises:
        UnknownKey, BrokenSeal: no configured key opens it.
    """
    if not is_sealed(record.auth_data):
        return record.auth_data
    return cipher.open(record.auth_data, str(record.id))


def checked_values(
    cipher: Cipher, kinds: frozenset[str], provider: ProviderRecord, record: AccountRecord
) -> tuple[Provider, Account]:
    """As the snapshot would hold them, were they active: to try a paused account, or one that was added just now.

    Raises:
        RowRefused, UnknownKey, BrokenSeal: there is nothing to try.
    """
    served_by = provider_of(msgspec.structs.asdict(provider), kinds)
    row, auth_data = _row(record, None), opened_auth_data(cipher, record)
    is_exact = served_by.settings.exact_base_url
    return served_by, account_of(row, auth_data, served_by.auth_strategy, has_exact_url=is_exact)


def _sealed(cipher: Cipher, account_id: UUID, auth_data: object) -> dict[str, object]:
    text = credential_text(auth_data)
    return {
        "auth_data": cipher.seal(auth_data, str(account_id)),
        "credential_digest": None if text is None else cipher.digest(text),
    }


def _refuse_worse(cipher: Cipher, provider: ProviderRecord, before: AccountRecord, after: AccountRecord) -> None:
    """Rows that no key opens are left to the snapshot's own report: what else they need cannot be told."""
    try:
        old, new = (_row(record, opened_auth_data(cipher, record)) for record in (before, after))
    except (UnknownKey, BrokenSeal):
        return
    refuse_if_new(_check_for(provider), new, old)


def _check_for(provider: ProviderRecord) -> Callable[[Mapping[str, Any]], object]:
    """The snapshot's check of an account's row whose `auth_data` is opened."""
    return lambda row: account_of(row, row["auth_data"], strategy_of(msgspec.structs.asdict(provider)))


def _row(record: AccountRecord, auth_data: object) -> dict[str, Any]:
    return {**msgspec.structs.asdict(record), "auth_data": auth_data}


async def _refuse_taken_label(connection: AsyncConnection, provider_id: str, label: str, account_id: UUID) -> None:
    match = (_TABLE.c.provider_id == provider_id) & (_TABLE.c.label == label) & (_TABLE.c.id != account_id)
    other = await load_row(connection, _TABLE, AccountRecord, match)
    if other is not None:
        raise Duplicate("label", f"Account {other.id} of {provider_id} has the label {label} already.")


async def _refuse_twin(
    connection: AsyncConnection, cipher: Cipher, provider_id: str, auth_data: object, account_id: UUID
) -> None:
    """Finds the same credential by its digest; rows that are not digested yet are opened and compared."""
    text = credential_text(auth_data)
    if text is None:
        return
    is_other = (_TABLE.c.provider_id == provider_id) & (_TABLE.c.id != account_id)
    digests = _TABLE.c.credential_digest
    known = await load_row(connection, _TABLE, AccountRecord, is_other & digests.in_(cipher.digests(text)))
    fresh = await load_page(
        connection, _TABLE, AccountRecord, where=(is_other, digests.is_(None)), order=(_TABLE.c.id,), span=Span(1000)
    )
    twins = [record for record in fresh.data if credential_text(record.auth_data) == text]
    twin = known or next(iter(twins), None)
    if twin is not None:
        raise Duplicate("auth_data", f"Account {twin.id} ({twin.label}) has this credential already.")


async def _next_label(connection: AsyncConnection, provider_id: str) -> str:
    number = cast(func.substring(_TABLE.c.label, r"^account ([0-9]{1,9})$"), Integer)
    last = await connection.scalar(select(func.max(number)).where(_TABLE.c.provider_id == provider_id))
    return f"account {(last or 0) + 1}"


async def _audit(
    connection: AsyncConnection, actor: str, action: str, account_id: UUID, values: Mapping[str, object]
) -> None:
    await record_change(
        connection, actor=actor, action=action, table="accounts", row_id=str(account_id), changes=values
    )
