"""`Ring`: what a worker did in each of the last 64 periods of 5 s, in a small file that every worker can read.

    head | period, period, ... (64)        each a row of doubles; which is which: `Head`, `Cell`

Rules of this file: one writer (the event loop's thread of one worker), any number of readers; a reader may see a period
half written, so the figures are for people, not for decisions. Time is the machine's monotonic clock, which all
processes share.
"""

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

PERIOD_S = 5.0
PERIODS = 64
LATENCY_BOUNDS_S = tuple(0.001 * 2 ** (step / 2) for step in range(40))
"""Upper bounds from 1 ms to 12 min, each 1.41 times the one before: a percentile is at most that far off."""


class Head:
    """Cells of the first row. Plain integers: an enum's members cost twice as much to add."""

    BEAT = 0
    """When the worker's loop last said that it turns."""
    STARTED = 1
    """When the first worker of this name began."""
    CALLS = 2
    """Since then."""
    IN_FLIGHT = 3


class Cell:
    """Cells of a period's row."""

    PERIOD = 0
    """Which period the row is about: monotonic seconds ÷ 5. An old number means that the row is stale."""
    CALLS = 1
    FAILED = 2
    """Answered with 429 or 5xx, or broken."""
    SERVED = 3
    """Calls that reached an upstream: those whose time counts."""
    SERVED_S = 4
    STREAMS = 5
    STREAM_S = 6
    FIRST_BYTES = 7
    FIRST_BYTE_S = 8
    CHUNKS = 9
    INTERVALS = 10
    STREAMED_S = 11
    """From first to last byte of streams."""
    OUTPUT_TOKENS = 12
    """Of streams."""
    COMPLETE = 13
    """Streams that reached their end."""
    LATENCY = 14
    """The first of the latency buckets; the last one holds what is above all bounds."""


_WIDTH = Cell.LATENCY + len(LATENCY_BOUNDS_S) + 1
_BYTES = (PERIODS + 1) * _WIDTH * 8


class Ring:
    """The writer's side."""

    def __init__(self, path: Path, *, now: float) -> None:
        """Goes on with what a worker of the same name left there."""
        with path.open("a+b") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, _BYTES)  # a full disk must fail here, not under the mapping
            file.truncate(_BYTES)
            self._map = mmap.mmap(file.fileno(), _BYTES)
        self.view = memoryview(self._map).cast("d")
        self.view[Head.IN_FLIGHT] = 0.0
        self.view[Head.BEAT] = now
        if self.view[Head.STARTED] == 0.0:
            self.view[Head.STARTED] = now

    def row(self, now: float) -> int:
        """Index in `view` of the current period's first cell; an old period there is wiped first."""
        period = now // PERIOD_S
        start = (int(period) % PERIODS + 1) * _WIDTH
        if self.view[start] != period:
            self._map[start * 8 : (start + _WIDTH) * 8] = bytes(_WIDTH * 8)
            self.view[start] = period
        return start


def latency_cell(seconds: float) -> int:
    return Cell.LATENCY + bisect_left(LATENCY_BOUNDS_S, seconds)


def read_ring(path: Path) -> "memoryview[float]":
    """All doubles of a worker's file as they are now: the head, and the input of `read_periods`. Raises `OSError`."""
    text = path.read_bytes()
    return memoryview(text.ljust(_BYTES, b"\0")[:_BYTES]).cast("d")


def read_periods(rings: Iterable["memoryview[float]"], *, now: float, span_s: float) -> list[float]:
    """The sum of all rings' rows of the last `span_s` seconds, the running period included."""
    first, last = (now - span_s) // PERIOD_S, now // PERIOD_S
    total = [0.0] * _WIDTH
    for cells in rings:
        for start in range(_WIDTH, (PERIODS + 1) * _WIDTH, _WIDTH):
            if first < cells[start] <= last:
                row = cells[start : start + _WIDTH].tolist()
                total = [left + right for left, right in zip(total, row, strict=True)]
    return total


def percentile_s(row: list[float], share: float) -> float | None:
    """The latency that `share` (0 to 1) of a summed row's served calls kept below; None without any.

    Between a bucket's bounds it is interpolated; above the last bound it is that bound.
    """
    buckets = row[Cell.LATENCY :]
    rank = share * sum(buckets)
    if rank <= 0:
        return None
    for bound, lower, count in zip(LATENCY_BOUNDS_S, (0.0, *LATENCY_BOUNDS_S), buckets, strict=False):
        if rank <= count:
            return lower + (bound - lower) * rank / count
        rank -= count
    return LATENCY_BOUNDS_S[-1]
