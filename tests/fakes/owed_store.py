"""`MemoryOwed`: the table `owed_usage` in memory. Fits `relay.owed.OwedStore`, as tests/integration/store verifies."""

import asyncio

from gateway.core.owed_usage import OwedUsage


class MemoryOwed:
    def __init__(self) -> None:
        self.rows: dict[str, OwedUsage] = {}
        self.is_away = False
        self.asked = 0
        self.held: asyncio.Event | None = None
        """Claims wait for it."""
        self.slow: asyncio.Event | None = None
        """Notes wait for it."""

    async def note(self, owed: OwedUsage) -> bool:
        if self.slow is not None:
            await self.slow.wait()
        if not self.is_away:
            self.rows.setdefault(owed.id, owed)
        return not self.is_away

    async def claim(self, id_: str) -> OwedUsage | bool | None:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        return None if self.is_away else self.rows.pop(id_, False)

    async def has(self, id_: str) -> bool | None:
        self.asked += 1
        return None if self.is_away else id_ in self.rows
