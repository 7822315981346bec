"""One list out of many: pages of several accounts, merged by time, with cursors that hold across all of them.

    account a: 9 7 4 | 2 …        merged, newest first: 9 8 7 5 | after=5: 4 3 2 …
    account b: 8 5   | 3 …

The order is (time, rank of the account, place in the account's own list), and the other way round oldest first. It
depends on nothing that passes, so a cursor, which is an id, finds its place again: in its own account by itself, in the
others by time and rank.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True):
    """Where a cursor stands."""

    at: float
    """When its object was made, in seconds."""
    rank: int
    """Of its account; -1 when that is none of those that are asked."""


class Entry(msgspec.Struct, Generic[T], frozen=True):
    """One object of a list."""

    id: str
    at: float
    item: T


class Source(Generic[T]):
    """One account's list, read page by page as far as the merge needs it."""

    def __init__(self, rank: int, *, after: str | None) -> None:
        self.rank = rank
        self.after = after
        """The id after which its next page begins; None: at its beginning."""
        self.entries: list[Entry[T]] = []
        """Read and not yet taken, in order."""
        self.has_more = True

    @property
    def needs_page(self) -> bool:
        return self.has_more and not self.entries

    def add(self, entries: Sequence[Entry[T]], *, last_id: str | None, has_more: bool) -> None:
        """Takes a page: those of its entries that may be shown. `last_id` is that of all of them."""
        if last_id is None or last_id == self.after:  # nothing, or the same once more: some upstreams know no cursor
            self.has_more = False
            return
        self.entries += entries
        self.has_more = has_more
        self.after = last_id


class Merge(Generic[T]):
    """The merge of one answer: `wanting` says who must be read next, `take` gives what is certain by then."""

    def __init__(self, sources: Sequence[Source[T]], *, limit: int, is_newest_first: bool) -> None:
        self._sources = sources
        self._limit = limit
        self._sign = -1.0 if is_newest_first else 1.0
        self.taken: list[Entry[T]] = []

    @property
    def wanting(self) -> list[Source[T]]:
        """Nothing more can be taken before these were read. Empty: the answer is complete."""
        if len(self.taken) > self._limit:
            return []
        return [source for source in self._sources if source.needs_page]

    def take(self) -> None:
        """Takes what comes next, until a source must be read, or one more than the limit is there: it tells that there
        is more.
        """
        while len(self.taken) <= self._limit and not any(source.needs_page for source in self._sources):
            having = [source for source in self._sources if source.entries]
            if not having:
                return
            first = min(having, key=lambda source: (self._sign * source.entries[0].at, -self._sign * source.rank))
            self.taken.append(first.entries.pop(0))

    @property
    def page(self) -> list[Entry[T]]:
        return self.taken[: self._limit]

    @property
    def has_more(self) -> bool:
        return len(self.taken) > self._limit


def comes_after(entry_at: float, rank: int, place: Place, *, is_newest_first: bool) -> bool:
    """Whether an object of another account stands behind the cursor in the merged order."""
    if entry_at == place.at:
        return (rank > place.rank) is is_newest_first
    return (entry_at < place.at) is is_newest_first
