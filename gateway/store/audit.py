"""Who changed what: one row of `audit_log` for every change made through the admin API or the command line.

Rules of this file: it is written in the transaction of the change itself, and secrets are named, never shown.
"""

from collections.abc import Mapping

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import AuditRow

_SECRET_COLUMNS = frozenset({"auth_data", "credential_digest", "digest"})


async def record_change(  # the columns of one row, by name
    connection: AsyncConnection,
    *,
    actor: str,
    action: str,
    table: str,
    row_id: str,
    changes: Mapping[str, object] | None = None,
) -> None:
    """Writes the row. `actor`: `admin from 127.0.0.1`, `cli`; `action`: `created`, `changed`, `deleted`, `revoked`."""
    shown = {name: "***" if name in _SECRET_COLUMNS else value for name, value in (changes or {}).items()}
    await connection.execute(
        insert(AuditRow).values(actor=actor, action=action, table_name=table, row_id=row_id, changes=shown)
    )
