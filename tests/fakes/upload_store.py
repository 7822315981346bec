"""`MemoryUploads`: the tables of batches' uploads in memory. Fits `relay.batch_uploads.UploadStore`, as
tests/integration/store verifies."""

from gateway.core.batch_upload import NO_BATCH, BatchPart


class MemoryUploads:
    def __init__(self) -> None:
        self.uploads: dict[str, dict[str, BatchPart]] = {}
        self.is_away = False

    async def begin(self, upload_id: str) -> bool | None:
        if not self.is_away:
            self.uploads.setdefault(upload_id, {})
        return None if self.is_away else True

    async def held_bytes(self, upload_id: str) -> int | None:
        parts = self.uploads.get(upload_id)
        if self.is_away:
            return None
        return NO_BATCH if parts is None else sum(part.held_bytes for part in parts.values())

    async def add(self, upload_id: str, part_id: str, part: BatchPart) -> bool | None:
        if not self.is_away:
            self.uploads[upload_id][part_id] = part
        return None if self.is_away else True

    async def part(self, upload_id: str, part_id: str) -> BatchPart | bool | None:
        return None if self.is_away else self.uploads.get(upload_id, {}).get(part_id, False)

    async def forget(self, upload_id: str) -> bool | None:
        if not self.is_away and upload_id in self.uploads:
            self.uploads[upload_id].clear()
        return None if self.is_away else True
