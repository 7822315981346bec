"""Many keys at once: one account a line, each line kept or refused for itself."""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.ids import masked
from gateway.store.accounts import add_account, lock_provider
from gateway.store.cipher import Cipher
from gateway.store.rows import Duplicate, InvalidValue

MAX_KEYS = 1000
"""Keys of one import: some seconds of one transaction."""


class ImportResult(StrEnum):
    CREATED = "created"
    DUPLICATE = "duplicate"
    INVALID = "invalid"


class ImportedKey(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one key."""

    line: int
    """From 1, empty lines and comments counted."""
    key: str
    """Masked: `sk-…abcd`."""
    result: ImportResult
    account_id: UUID | None = None
    label: str | None = None
    message: str | None = None
    """Why it was refused, or what looks wrong about it."""


def keys_of(text: str) -> list[tuple[int, str]]:
    """Line numbers and keys; empty lines and those that begin with `#` are left out."""
    lines = enumerate((line.strip() for line in text.splitlines()), 1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


async def import_keys(
    connection: AsyncConnection, cipher: Cipher, provider_id: str, keys: Sequence[tuple[int, str]], *, actor: str
) -> list[ImportedKey]:
    """One answer a key, in order.

    Raises:
        InvalidValue: there is no such provider, no key, or more than `MAX_KEYS`.
    """
    if not 1 <= len(keys) <= MAX_KEYS:
        raise InvalidValue("keys", f"Between 1 and {MAX_KEYS} keys, one per line; there are {len(keys)}.")
    provider = await lock_provider(connection, provider_id)
    results = []
    for line, key in keys:
        try:
            async with connection.begin_nested():
                values = {"auth_data": {"api_key": key}}
                record, warnings = await add_account(connection, cipher, provider, values, actor=actor)
        except (Duplicate, InvalidValue) as refused:
            result = ImportResult.DUPLICATE if isinstance(refused, Duplicate) else ImportResult.INVALID
            results.append(ImportedKey(line=line, key=masked(key), result=result, message=str(refused)))
        else:
            results.append(
                ImportedKey(
                    line=line,
                    key=masked(key),
                    result=ImportResult.CREATED,
                    account_id=record.id,
                    label=record.label,
                    message="; ".join(warnings) or None,
                )
            )
    return results
