"""The table `owed_usage`: a row is noted once, and claimed by deleting it, so that one process alone has it."""

from datetime import timedelta

from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.owed_usage import OwedUsage
from gateway.store.affinity import fits
from gateway.store.engine import StoreUnavailable, store_errors
from gateway.store.tables import OwedUsageRow

KEPT = timedelta(days=35)
"""What nobody has looked at by then is gone upstream: responses after 30 days, a batch's output as well."""

_TABLE = OwedUsageRow.__table__.c


class OwedTable:
    """Fits `relay.owed.OwedStore`: None and False say that Postgres is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def note(self, owed: OwedUsage) -> bool:
        if not fits(owed.id):
            return True  # no id that anybody could name again
        model = owed.model if owed.model is not None and fits(owed.model) else None
        row = {"id": owed.id, "model": model, "client_key_id": owed.client_key_id}
        may_be_there = False
        try:
            with store_errors():
                async with self._engine.connect() as connection:
                    await connection.execute(insert(OwedUsageRow).values(row).on_conflict_do_nothing())
                    may_be_there = True  # from here on, whether or not the answer to COMMIT comes
                    await connection.commit()
        except StoreUnavailable:
            return may_be_there
        return True

    async def claim(self, id_: str) -> OwedUsage | bool | None:
        if not fits(id_):
            return False
        taken = delete(OwedUsageRow).where(_TABLE.id == id_).returning(_TABLE.model, _TABLE.client_key_id)
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    row = (await connection.execute(taken)).first()
        except StoreUnavailable:
            return None
        return False if row is None else OwedUsage(id_, row.model, row.client_key_id)

    async def has(self, id_: str) -> bool | None:
        if not fits(id_):
            return False
        try:
            with store_errors():
                async with self._engine.connect() as connection:
                    return bool(await connection.scalar(select(exists().where(_TABLE.id == id_))))
        except StoreUnavailable:
            return None

    async def delete_old(self) -> int:
        """Removes what nobody will ask for any more. Gives how many rows; 0 with Postgres away."""
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    old = delete(OwedUsageRow).where(_TABLE.owed_at < func.now() - KEPT)
                    return (await connection.execute(old)).rowcount
        except StoreUnavailable:
            return 0
