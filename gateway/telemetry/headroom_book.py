"""What is left of limits, for people: each worker writes what it saw last into a small file that all of them read.

Rules of this file: written once a second at most, never by a call; a reader sees a whole file or none; of what several
workers say of one limit counts what the youngest answer told. Times are the machine's monotonic clock, which all
processes share. The worker that dies takes its view with it: `metrics.forget_worker` removes its file.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

MOST_SHOWN = 500
"""Scopes of one worker, those that were used last."""


class SeenLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a scope as a worker saw it."""

    dimension: str
    limit: float
    left: float
    """When it was seen. Below 0: more was sent than fits, and must refill first."""
    refill_per_s: float
    """0.0: not learned yet."""
    told_at: float
    """When the call was sent whose answer told of it."""
    seen_at: float

    def left_at(self, now: float) -> float:
        """What has refilled since is added; exact for buckets, about right for windows."""
        return min(self.limit, self.left + self.refill_per_s * max(0.0, now - self.seen_at))


class SeenScope(msgspec.Struct, frozen=True, kw_only=True):
    """A holder's limits of one model or family."""

    holder: str
    what: str
    limits: tuple[SeenLimit, ...]

    @property
    def told_at(self) -> float:
        return max(limit.told_at for limit in self.limits)


class HeadroomBook:
    """The writer's side, and the sum of all."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._directory = directory
        self._worker = worker
        self._shown: dict[tuple[str, str], SeenScope] = {}

    def note(self, seen: Iterable[SeenScope]) -> None:
        """Scopes that were used since the last time; nothing is known any more of those without limits."""
        before = len(self._shown)
        is_news = False
        for scope in seen:
            self._shown.pop((scope.holder, scope.what), None)
            if scope.limits:
                self._shown[scope.holder, scope.what] = scope
                is_news = True
        for key in list(self._shown)[: max(0, len(self._shown) - MOST_SHOWN)]:
            del self._shown[key]
        if is_news or len(self._shown) != before:
            self._write()

    def read(self) -> list[SeenScope]:
        """As the worker saw each that heard of it last. Reads files: call it in a thread."""
        newest: dict[tuple[str, str], SeenScope] = {}
        for path in sorted(self._directory.glob("headrooms_*.json")):
            try:
                seen = msgspec.json.decode(path.read_bytes(), type=list[SeenScope])
            except (OSError, msgspec.DecodeError):  # its worker is just being forgotten
                continue
            for scope in seen:
                key = (scope.holder, scope.what)
                newest[key] = max(newest.get(key, scope), scope, key=lambda one: one.told_at)
        return list(newest.values())

    def _write(self) -> None:
        path = headrooms_of(self._directory, self._worker)
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(list(self._shown.values())))
            fresh.replace(path)
        except OSError:  # a full disk must not end the worker's gauges
            return


def headrooms_of(directory: Path, worker: str) -> Path:
    return directory / f"headrooms_{worker}.json"
