"""`MemoryIds`: the table `stateful_ids` in memory. Fits `relay.ports.IdStore`, as tests/integration/store verifies."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from gateway.core.affinity import UNLISTED_KINDS, Binding
from gateway.core.ids import AccountId


class MemoryIds:
    def __init__(self) -> None:
        self.rows: dict[str, Binding] = {}
        self.accounts: set[AccountId] = set()
        """Those that are in the registry, active or not."""
        self.is_away = False
        self.finds: list[list[str]] = []
        self.writes: list[list[str]] = []
        self.held: asyncio.Event | None = None
        """Writes wait for it."""

    async def find(self, ids: Collection[str]) -> list[Binding] | None:
        self.finds.append(sorted(ids))
        return None if self.is_away else [self.rows[id_] for id_ in ids if id_ in self.rows]

    async def save(self, bindings: Sequence[Binding], forgotten: Sequence[str]) -> frozenset[str] | None:
        if self.held is not None:
            await self.held.wait()
        if self.is_away:
            return None
        self.writes.append([binding.id for binding in bindings])
        for binding in bindings:
            known = self.rows.get(binding.id)
            if known is None or known.owner == binding.owner:
                made_at = binding.created_at or (None if known is None else known.created_at)
                self.rows[binding.id] = msgspec.structs.replace(binding, created_at=made_at)
        for id_ in forgotten:
            self.rows.pop(id_, None)
        return frozenset(one.id for one in bindings if one.id in self.rows and self.rows[one.id].owner != one.owner)

    async def one_of_each_account(self, owner: str | None, kind: str) -> list[Binding] | None:
        mine = [row for row in self.rows.values() if row.owner == owner and row.kind == kind]
        found = {row.account_id: row for row in mine if row.kind not in UNLISTED_KINDS}
        return None if self.is_away else [found[account_id] for account_id in sorted(found)]

    async def cursor(
        self, kind: str, accounts: Collection[AccountId], at: datetime, *, is_newest_first: bool
    ) -> str | None:
        rows = [row for row in self.rows.values() if row.kind == kind and row.account_id in accounts]
        dated = [(row.created_at, row.id) for row in rows if row.created_at is not None]
        before = sorted(one for one in dated if (one[0] > at if is_newest_first else one[0] < at))
        return before[0 if is_newest_first else -1][1] if before and not self.is_away else None

    async def has_account(self, account_id: AccountId) -> bool | None:
        return None if self.is_away else account_id in self.accounts
