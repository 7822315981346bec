"""Usage that is owed: noted when a call begins what ends later, claimed once by whoever sees its end, on any replica.

Rules of this file: the table decides, so nothing is counted twice; what could not be written there while Postgres was
away is remembered here, by the process that made it, and is counted when that one sees its end. A note is in one of
both alone: what is being written is never broken off, for who does so cannot know where it is then.
"""

import asyncio
from typing import Final, Protocol, TypeVar

from gateway.core.owed_usage import OwedUsage

MAX_REMEMBERED: Final = 10_000
NOTE_S: Final = 0.1
"""What an answer waits for its note, as for its ids."""
CLAIM_S: Final = 0.5
MAX_WRITING: Final = 1000
"""Notes on their way to a table that is slow; beyond it they are remembered at once."""

T = TypeVar("T")


class OwedStore(Protocol):
    """Where notes outlive the process, for all replicas. Never raises: None and False are "away"."""

    async def note(self, owed: OwedUsage) -> bool:
        """False: it is certainly not there; True: it is, or nobody can say."""
        ...

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
        self._writing: dict[str, asyncio.Task[None]] = {}

    async def note(self, owed: OwedUsage) -> None:
        """Returns once it is written, 100 ms at most; what takes longer goes on."""
        self._settled.pop(owed.id, None)
        if len(self._writing) >= MAX_WRITING:
            _remember(self._unwritten, owed.id, owed)
            return
        writing = self._writing[owed.id] = asyncio.create_task(self._write(owed))
        await asyncio.wait({writing}, timeout=NOTE_S)

    async def _write(self, owed: OwedUsage) -> None:
        try:
            if not await self._store.note(owed):
                _remember(self._unwritten, owed.id, owed)
        finally:
            self._writing.pop(owed.id, None)

    async def claim(self, id_: str) -> OwedUsage | None:
        """The note, for the one who counts it; None: nothing is owed, or it was counted, or nobody can say."""
        if id_ in self._settled:
            return None
        try:
            async with asyncio.timeout(CLAIM_S):
                if id_ in self._writing:
                    await asyncio.shield(self._writing[id_])
                found = await self._store.claim(id_)
        except TimeoutError:
            found = None
        if id_ in self._writing:
            return None
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
