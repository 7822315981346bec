"""What was learned of organisations, so that a restarted gateway knows at once and commands can show it."""

from collections.abc import Sequence

from sqlalchemy import Text, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.ids import AccountId
from gateway.core.organizations import Membership
from gateway.store.tables import AccountOrganizationRow, AccountRow

_TABLE = AccountOrganizationRow.__table__.c


async def save_organizations(connection: AsyncConnection, memberships: Sequence[Membership]) -> None:
    """Of accounts that are there; the newest word holds."""
    ordered = sorted(memberships, key=lambda one: one.account_id)  # one order for all writers: no deadlock
    known = await connection.execute(
        select(cast(AccountRow.id, Text)).where(cast(AccountRow.id, Text).in_([one.account_id for one in ordered]))
    )
    there = set(known.scalars())
    rows = [
        {"account_id": one.account_id, "organization": one.organization, "is_shared": one.is_shared}
        for one in ordered
        if one.account_id in there and "\0" not in one.organization
    ]
    if rows:
        statement = insert(AccountOrganizationRow)
        new = statement.excluded
        changes = {"organization": new.organization, "is_shared": new.is_shared, "learned_at": func.now()}
        await connection.execute(
            statement.on_conflict_do_update(index_elements=[_TABLE.account_id], set_=changes), rows
        )


async def load_organizations(connection: AsyncConnection) -> list[Membership]:
    """Those of accounts that were not edited since: they may have another credential now."""
    kept = (
        select(_TABLE.account_id, _TABLE.organization, _TABLE.is_shared)
        .join(AccountRow, AccountRow.id == _TABLE.account_id)
        .where(AccountRow.updated_at <= _TABLE.learned_at)
    )
    rows = (await connection.execute(kept)).mappings()
    return [Membership(AccountId(str(row["account_id"])), row["organization"], row["is_shared"]) for row in rows]
