"""Usage that is owed: noted when a call begins what ends later, claimed once by whoever sees its end, on any replica.

Rules of this file: the table decides, so nothing is counted twice; what could not be written there while Postgres was
away is remembered here, by the process that made it, and is counted when that one sees its end.
"""

import asyncio
from typing import Final, Protocol, TypeVar

from gateway.core.owed_usage import OwedUsage

MAX_REMEMBERED: Final = 10_000
NOTE_S: Final = 0.1
"""What an answer waits for its note, as for its ids."""
CLAIM_S: Final = 0.5

T = TypeVar("T")


class OwedStore(Protocol):
    """Where notes outlive the process, for all replicas. Never raises: None and False are "away"."""

    async def note(self, owed: OwedUsage) -> bool: ...

    async def claim(self, id_: str) -> OwedUsage | bool | None:
        """The note, which is gone then; False: there is none."""
        ...

    async def has(self, id_: str) -> bool | None: ...


class Owed:
    """One per worker."""

    def __init__(self, store: OwedStore) -> None:
        self._store = store
        self._unwritten: dict[str, OwedUsage] = {}
        """Oldest first; beyond the bound the oldest go uncounted."""
        self._settled: dict[str, None] = {}
        """Ids for which the table had no note, or has none any more. Oldest first."""

    async def note(self, owed: OwedUsage) -> None:
        self._settled.pop(owed.id, None)
        try:
            async with asyncio.timeout(NOTE_S):
                is_written = await self._store.note(owed)
        except TimeoutError:
            is_written = False
        if not is_written:
            _remember(self._unwritten, owed.id, owed)

    async def claim(self, id_: str) -> OwedUsage | None:
        """The note, for the one who counts it; None: nothing is owed, or it was counted, or nobody can say."""
        if id_ in self._settled:
            return None
        try:
            async with asyncio.timeout(CLAIM_S):
                found = await self._store.claim(id_)
        except TimeoutError:
            found = None
        unwritten = self._unwritten.pop(id_, None)
        if found is not None:
            _remember(self._settled, id_, None)
        return found if isinstance(found, OwedUsage) else unwritten

    async def has(self, id_: str) -> bool:
        """Whether it may be worth while to look for its usage."""
        if id_ in self._settled:
            return False
        try:
            async with asyncio.timeout(CLAIM_S):
                return id_ in self._unwritten or await self._store.has(id_) is True
        except TimeoutError:
            return False


def _remember(kept: dict[str, T], id_: str, value: T) -> None:
    kept.pop(id_, None)
    kept[id_] = value
    if len(kept) > MAX_REMEMBERED:
        del kept[next(iter(kept))]
