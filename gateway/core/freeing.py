"""How limits free again."""

from enum import IntEnum


class Freeing(IntEnum):
    """How a limit frees again; the first of equals is believed."""

    BUCKET = 0
    """All the time."""
    SLIDING = 1
    """What was taken, one period after it was taken."""
    FIXED = 2
    """All at once, at the end of a window that the first call after the last one's end opens."""


KINDS = tuple(Freeing)
BUCKET, SLIDING, FIXED = KINDS  # Python 3.11 takes as long to find `Freeing.BUCKET` as to call a function
