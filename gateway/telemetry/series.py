"""Counters, gauges and histograms on `SharedDoubles`: label values → cells, looked up once, then plain additions.

Rules of this file: a family holds at most `max_series` label sets; whatever comes beyond is counted under `other`, so
no input can make a scrape grow without bound.
"""

import os
from bisect import bisect_left
from pathlib import Path

from prometheus_client.mmap_dict import mmap_key
from prometheus_client.utils import floatToGoString

from gateway.telemetry.shared import SharedDoubles

Labels = tuple[str, ...]
"""Values, in the order of the family's label names."""

OTHER = "other"
MAX_SERIES = 5_000
MAX_HISTOGRAMS = 500


class Files:
    """The files of one worker: one for counters, one for histograms, one per way in which gauges are put together."""

    def __init__(self, directory: Path, worker: str) -> None:
        """`worker` must be unique among living processes; taken again after a death, its counters go on."""
        self._directory = directory
        self.worker = worker
        """As it is in the files' names."""
        self._open: dict[str, SharedDoubles] = {}
        self.of("counter")  # settles the name

    def of(self, kind: str) -> SharedDoubles:
        """`kind`: `counter`, `histogram` or `gauge_<mode>` (prometheus_client's multiprocess modes)."""
        if kind not in self._open:
            try:
                self._open[kind] = self._opened(kind)
            except BlockingIOError:  # a hung predecessor still writes its files: leave them to it
                self.worker = f"{self.worker}-{os.getpid()}"
                self._open[kind] = self._opened(kind)
        return self._open[kind]

    def _opened(self, kind: str) -> SharedDoubles:
        path = self._directory / f"{kind}_{self.worker}.db"
        return SharedDoubles(path, is_continued=not kind.startswith("gauge"))

    def close(self) -> None:
        for doubles in self._open.values():
            doubles.close()


class Counter:
    """Only grows. `name` ends in `_total`."""

    def __init__(self, files: Files, name: str, text: str, labels: Labels = (), max_series: int = MAX_SERIES) -> None:
        self._doubles = files.of("counter")
        self._name, self._text, self._labels, self._max_series = name, text, labels, max_series
        self._cells: dict[Labels, int] = {}
        self.view = self._doubles.view
        if not labels:
            self.cell(())

    def inc(self, labels: Labels = (), amount: float = 1.0) -> None:
        cell = self._cells.get(labels)
        if cell is None:
            cell = self.cell(labels)
        self.view[cell] += amount

    def cell(self, labels: Labels) -> int:
        """Index in `view` of these labels' value, made if need be."""
        if labels not in self._cells and len(self._cells) >= self._max_series:
            labels = (OTHER,) * len(labels)
        if labels not in self._cells:
            key = mmap_key(self._name.removesuffix("_total"), self._name, list(self._labels), list(labels), self._text)
            self._cells[labels] = self._doubles.index_of(key)
        return self._cells[labels]


class Gauge:
    """Goes up and down. `mode` says how the workers' values become one: `livesum`, `livemax`, `livemin`,
    `livemostrecent`.
    """  # fmt: skip

    def __init__(self, files: Files, mode: str, name: str, text: str, labels: Labels = ()) -> None:
        self._doubles = files.of(f"gauge_{mode}")
        self._name, self._text, self._labels = name, text, labels
        self._cells: dict[Labels, int] = {}
        self.view = self._doubles.view
        if not labels:
            self.cell(())

    def set(self, value: float, labels: Labels = (), timestamp: float = 0.0) -> None:
        """`timestamp`: Unix seconds, for `livemostrecent` alone."""
        cell = self.cell(labels)
        self.view[cell] = value
        self.view[cell + 1] = timestamp

    def replace(self, values: dict[Labels, float], timestamp: float = 0.0) -> None:
        """Sets all of the family at once; label sets that are not in `values` any more become 0."""
        for labels in self._cells.keys() | values.keys():
            self.set(values.get(labels, 0.0), labels, timestamp)

    def cell(self, labels: Labels) -> int:
        if labels not in self._cells and len(self._cells) >= MAX_SERIES:
            labels = (OTHER,) * len(labels)
        if labels not in self._cells:
            key = mmap_key(self._name, self._name, list(self._labels), list(labels), self._text)
            self._cells[labels] = self._doubles.index_of(key)
        return self._cells[labels]


class Histogram:
    """Counts values by upper bounds, and sums them up."""

    def __init__(  # what a histogram is: where, name, help, bounds, labels, bound of their number
        self,
        files: Files,
        name: str,
        text: str,
        bounds: tuple[float, ...],
        labels: Labels = (),
        max_series: int = MAX_HISTOGRAMS,
    ) -> None:
        self._doubles = files.of("histogram")
        self._name, self._text, self._labels, self._max_series = name, text, labels, max_series
        self._bounds = bounds
        self._cells: dict[Labels, tuple[int, ...]] = {}
        self.view = self._doubles.view

    def observe(self, value: float, labels: Labels = ()) -> None:
        cells = self._cells.get(labels)
        if cells is None:
            cells = self._make(labels)
        view = self.view
        view[cells[bisect_left(self._bounds, value)]] += 1.0
        view[cells[-1]] += value

    def _make(self, labels: Labels) -> tuple[int, ...]:
        """Cells of the buckets, then of +Inf, then of the sum."""
        if labels not in self._cells and len(self._cells) >= self._max_series:
            labels = (OTHER,) * len(labels)
        if labels not in self._cells:
            cells = [self._index("_bucket", labels, bound) for bound in (*self._bounds, float("inf"))]
            self._cells[labels] = (*cells, self._index("_sum", labels, None))
        return self._cells[labels]

    def _index(self, suffix: str, labels: Labels, bound: float | None) -> int:
        names, values = list(self._labels), list(labels)
        if bound is not None:
            names.append("le")
            values.append(floatToGoString(bound))  # type: ignore[no-untyped-call]  # library's own gap
        return self._doubles.index_of(mmap_key(self._name, self._name + suffix, names, values, self._text))
