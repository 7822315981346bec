"""Client keys: made, listed, revoked. The key's text leaves this file once, when it is made; the table has its hash."""

import secrets
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.ids import Secret, masked
from gateway.store.audit import record_change
from gateway.store.cipher import Cipher
from gateway.store.rows import Page, Span, insert_row, load_page, load_row, table_of, update_row
from gateway.store.tables import ClientKeyRow

PREFIX = "gw-"
_RANDOM_BYTES = 32
"""43 URL-safe characters."""
_TABLE = table_of(ClientKeyRow)


class BudgetPeriod(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a client key is made from."""

    name: str
    owner: str | None = None
    """Whose stateful ids they are: keys of one owner share them. None: the key is its own owner, named by its id."""
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    max_concurrency: int | None = None
    budget_usd: Decimal | None = None
    budget_period: BudgetPeriod | None = None
    expires_at: datetime | None = None
    metadata: dict[str, object] = {}


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `client_keys`, without the hash."""

    id: UUID
    name: str
    owner: str
    hint: str
    """How the key is shown: `gw-…abcd`."""
    models: object
    rpm: int | None
    tpm: int | None
    max_concurrency: int | None
    budget_usd: float | None
    """For showing: sums are made in microdollars."""
    budget_period: str | None
    expires_at: datetime | None
    metadata: object
    is_active: bool
    revoked_at: datetime | None
    """None: not revoked."""
    created_at: datetime
    updated_at: datetime


async def add_key(connection: AsyncConnection, cipher: Cipher, new: NewKey, *, actor: str) -> tuple[KeyRecord, Secret]:
    """The row and the key's text, which nobody can read again."""
    key = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    key_id = uuid4()
    values: dict[str, object] = {
        **msgspec.structs.asdict(new),
        "id": key_id,
        "owner": new.owner or str(key_id),
        "models": list(new.models),
        "digest": cipher.digest(key),
        "hint": masked(key),
    }
    record = await insert_row(connection, _TABLE, KeyRecord, values)
    await _audit(connection, actor, "created", record)
    return record, Secret(key)


async def load_keys(connection: AsyncConnection, span: Span, *, is_active: bool | None = None) -> Page[KeyRecord]:
    """Oldest first. `is_active` None: revoked ones too."""
    where = [] if is_active is None else [(_TABLE.c.revoked_at.is_(None) & _TABLE.c.is_active).is_(is_active)]
    order = (_TABLE.c.created_at, _TABLE.c.id)
    return await load_page(connection, _TABLE, KeyRecord, where=where, order=order, span=span)


async def load_key(connection: AsyncConnection, key_id: UUID) -> KeyRecord | None:
    return await load_row(connection, _TABLE, KeyRecord, _TABLE.c.id == key_id)


async def revoke_key(connection: AsyncConnection, key_id: UUID, *, actor: str) -> KeyRecord | None:
    """Its calls are refused within a second everywhere; the row stays. None: there is no such key. Twice is once."""
    match = _TABLE.c.id == key_id
    before = await load_row(connection, _TABLE, KeyRecord, match, for_update=True)
    if before is None or before.revoked_at is not None:
        return before
    values = {"revoked_at": func.clock_timestamp(), "is_active": False}
    record = await update_row(connection, _TABLE, KeyRecord, match, values)
    await _audit(connection, actor, "revoked", before)
    return record


async def _audit(connection: AsyncConnection, actor: str, action: str, record: KeyRecord) -> None:
    changes = {"name": record.name, "hint": record.hint}
    await record_change(
        connection, actor=actor, action=action, table="client_keys", row_id=str(record.id), changes=changes
    )
