"""Plaintext `auth_data` is sealed in place, after it already serves.

Rules of this file: an UPDATE goes through only while the column still holds what was read (compare and swap), so
whoever changes the row meanwhile wins and is sealed the next time; a row that somebody holds locked is left for then
too. Sealing fires the table's trigger once more; the reading that follows finds nothing to seal.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.auth_data import credential_text
from gateway.store.cipher import Cipher, UnknownKey
from gateway.store.registry import UnsealedRow
from gateway.store.tables import AccountRow

SEALING_LOCK = 4_829_001_677_032
"""Key of the advisory lock of whoever seals. It must never change."""

_TABLE = AccountRow.__table__


async def seal_rows(connection: AsyncConnection, rows: Sequence[UnsealedRow], cipher: Cipher) -> int | None:
    """Seals the rows that still hold what was read, and writes their digests. Call it inside a transaction.

    Gives how many were sealed; None when another process is at it: it tells everyone when it has finished.
    """
    if not rows:
        return 0
    is_mine = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": SEALING_LOCK})
    if not is_mine:
        return None
    return sum([await _seal_row(connection, row, cipher) for row in rows])


async def _seal_row(connection: AsyncConnection, row: UnsealedRow, cipher: Cipher) -> int:
    credential = credential_text(row.auth_data)
    values = {
        "auth_data": cipher.seal(row.auth_data, row.id),
        "credential_digest": None if credential is None else cipher.digest(credential),
    }
    unchanged = (_TABLE.c.id == UUID(row.id)) & (_TABLE.c.auth_data == literal(row.stored, JSONB))
    free = select(_TABLE.c.id).where(unchanged).with_for_update(skip_locked=True).scalar_subquery()
    return (await connection.execute(update(AccountRow).where(_TABLE.c.id == free).values(values))).rowcount


async def check_keys(connection: AsyncConnection, cipher: Cipher) -> None:
    """At start, before anything serves.

    Raises:
        UnknownKey: a row is sealed with a key that is not configured; the message says what to set.
    """
    key_id: ColumnElement[str | None] = _TABLE.c.auth_data["kid"].astext
    statement = select(key_id).distinct().where(_TABLE.c.auth_data.op("?")("$enc"), key_id.is_not(None))
    for unknown in sorted({str(found) for found in await connection.scalars(statement)} - cipher.key_ids):
        raise UnknownKey(unknown)
