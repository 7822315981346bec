"""The tables `batch_uploads` and `batch_parts`: what is kept of a batch's file until its parts are put together.

Rules of this file: the ends of parts are callers' text, so they rest sealed, each for its own row; sealing some
megabytes takes milliseconds, and is done by a thread.
"""

import asyncio
from datetime import timedelta

from sqlalchemy import Delete, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.batch_upload import NO_BATCH, BatchPart
from gateway.store.affinity import fits
from gateway.store.cipher import BrokenSeal, Cipher, UnknownKey
from gateway.store.engine import StoreUnavailable, store_errors
from gateway.store.tables import BatchPartRow, BatchUploadRow

PARTS_KEPT = timedelta(days=1)
"""OpenAI's uploads live for an hour."""
UPLOADS_KEPT = timedelta(days=35)
"""As long as their ids: an upload that is no longer known as a batch's would not be looked into."""

_UPLOAD = BatchUploadRow.__table__.c
_PART = BatchPartRow.__table__.c


class BatchUploadTable:
    """Fits `relay.batch_uploads.UploadStore`: None says that Postgres is away."""

    def __init__(self, engine: AsyncEngine, cipher: Cipher) -> None:
        self._engine = engine
        self._cipher = cipher

    async def begin(self, upload_id: str) -> bool | None:
        if not fits(upload_id):
            return False
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(insert(BatchUploadRow).values(id=upload_id).on_conflict_do_nothing())
        except StoreUnavailable:
            return None
        return True

    async def held_bytes(self, upload_id: str) -> int | None:
        if not fits(upload_id):
            return NO_BATCH
        is_known = select(exists().where(_UPLOAD.id == upload_id)).scalar_subquery()
        held = select(func.coalesce(func.sum(_PART.held_bytes), 0)).where(_PART.upload_id == upload_id)
        try:
            with store_errors():
                async with self._engine.connect() as connection:
                    row = (await connection.execute(select(is_known, held.scalar_subquery()))).one()
        except StoreUnavailable:
            return None
        return int(row[1]) if row[0] else NO_BATCH

    async def add(self, upload_id: str, part_id: str, part: BatchPart) -> bool | None:
        if not fits(part_id):
            return False
        first, last = await asyncio.to_thread(self._sealed, upload_id, part_id, part)
        row = {
            "upload_id": upload_id,
            "id": part_id,
            "first_end": first,
            "last_end": last,
            "held_bytes": part.held_bytes,
            "lines": part.lines,
            "has_line_end": part.has_line_end,
        }
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(insert(BatchPartRow).values(row).on_conflict_do_nothing())
        except StoreUnavailable:
            return None
        return True

    async def part(self, upload_id: str, part_id: str) -> BatchPart | bool | None:
        """What no key opens any more is not there."""
        if not fits(part_id):
            return False
        columns = (_PART.first_end, _PART.last_end, _PART.lines, _PART.has_line_end)
        found = select(*columns).where(_PART.upload_id == upload_id, _PART.id == part_id)
        try:
            with store_errors():
                async with self._engine.connect() as connection:
                    row = (await connection.execute(found)).first()
        except StoreUnavailable:
            return None
        if row is None:
            return False
        try:
            first, last = await asyncio.to_thread(self._opened, upload_id, part_id, row.first_end, row.last_end)
        except (BrokenSeal, UnknownKey):
            return False
        return BatchPart(first, last, row.lines, row.has_line_end)

    async def forget(self, upload_id: str) -> bool | None:
        return None if await self._deleted(delete(BatchPartRow).where(_PART.upload_id == upload_id)) is None else True

    async def delete_old(self) -> int:
        """Removes what nobody will ask for any more. Gives how many rows; 0 with Postgres away."""
        parts = delete(BatchPartRow).where(_PART.sent_at < func.now() - PARTS_KEPT)
        uploads = delete(BatchUploadRow).where(_UPLOAD.begun_at < func.now() - UPLOADS_KEPT)
        return (await self._deleted(parts) or 0) + (await self._deleted(uploads) or 0)

    async def _deleted(self, rows: Delete) -> int | None:
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    return (await connection.execute(rows)).rowcount
        except StoreUnavailable:
            return None

    def _sealed(self, upload_id: str, part_id: str, part: BatchPart) -> tuple[bytes, bytes]:
        seal = self._cipher.seal_bytes
        return (
            seal(part.first, _place(upload_id, part_id, "first")),
            seal(part.last, _place(upload_id, part_id, "last")),
        )

    def _opened(self, upload_id: str, part_id: str, first: bytes, last: bytes) -> tuple[bytes, bytes]:
        open_ = self._cipher.open_bytes
        return open_(first, _place(upload_id, part_id, "first")), open_(last, _place(upload_id, part_id, "last"))


def _place(upload_id: str, part_id: str, end: str) -> str:
    """Where it may be opened alone."""
    return f"batch_parts:{upload_id}\n{part_id}\n{end}"
