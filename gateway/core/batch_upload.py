"""A batch's file that comes in parts (`/v1/uploads`): what is kept of each part until they are put together."""

from typing import Final

import msgspec

NO_BATCH: Final = -1
"""In place of how many bytes are kept of an upload: it is not known as a batch's."""


class BatchPart(msgspec.Struct, frozen=True):
    """One part whose whole lines were read: how many there were, and the two ends that other parts go on with."""

    first: bytes
    """Up to the first line end, which is left out: the end of a line, or all of it."""
    last: bytes
    """Behind the last line end: the beginning of a line."""
    lines: int
    """Between them; without the empty ones."""
    has_line_end: bool
    """False: `first` is the whole part."""

    @property
    def held_bytes(self) -> int:
        return len(self.first) + len(self.last)


class BatchUpload(msgspec.Struct, frozen=True):
    """What to note, or to forget, once a call's answer says that it was done."""

    is_owned: bool
    """The caller has ids and models of its own: what cannot be noted fails the call."""
    id: str | None = None
    """Of the upload; None: the call begins it."""
    part: BatchPart | None = None

    @property
    def is_whole(self) -> bool:
        """The call puts the parts together."""
        return self.id is not None and self.part is None
