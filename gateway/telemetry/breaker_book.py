"""Which breakers are open, for people: each worker writes its own into a small file that all of them read.

Rules of this file: written when a breaker changes, never by a call; a reader sees a whole file or none. The worker that
dies takes its breakers with it: `metrics.forget_worker` removes its file.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from gateway.core.breaker import BreakerNews, Span
from gateway.core.ids import Instant
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.clock import Clock

MOST_SHOWN = 200
"""Of one worker. A provider that is gone opens one for every model that callers name."""

Key = tuple[str, Span, str]


class OpenBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """A provider, one of its models or an origin rests, whichever account would ask."""

    provider: str
    span: Span
    """`model`: one model of the provider; `provider`: all of it; `origin`: all connections to one address."""
    what: str
    """The model or the origin; "" for all of the provider."""
    reason: OutcomeKind
    strikes: int
    """Rests in a row with no success between."""
    since_at: datetime
    """When the last rest began."""
    until_at: datetime
    """When one call may find out whether it is back; in the past: the next call does, or one is at it."""
    workers: tuple[str, ...]
    """Each worker finds out for itself."""

    def __str__(self) -> str:
        return f"provider {self.provider} rests for {self.what or 'every model'}: {self.reason}"

    def concerns(self, provider: str, *, origins: Iterable[str], model: str | None = None) -> bool:
        """Whether calls of `provider` feel it. `model`: only those for it; None: for any."""
        if self.span is Span.ORIGIN:
            return self.what in origins
        return self.provider == provider and (not self.what or model is None or self.what == model)


class BreakerBook:
    """The writer's side, and the sum of all."""

    def __init__(self, directory: Path, worker: str, *, clock: Clock) -> None:
        self._directory = directory
        self._worker = worker
        self._clock = clock
        self._open: dict[Key, OpenBreaker] = {}

    def note(self, news: BreakerNews) -> None:
        """A breaker of this worker opened, rests on, or closed."""
        key: Key = (news.provider_id, news.span, news.what)
        if news.breaker.reason is None:
            self._open.pop(key, None)
        else:
            self._open[key] = OpenBreaker(
                provider=news.provider_id,
                span=news.span,
                what=news.what,
                reason=news.breaker.reason,
                strikes=news.breaker.strikes,
                since_at=self._wall_at(news.breaker.since),
                until_at=self._wall_at(news.breaker.until),
                workers=(self._worker,),
            )
        self._write()

    def read(self) -> list[OpenBreaker]:
        """Those of all workers. Reads files: call it in a thread."""
        return read_breakers(self._directory)

    def _wall_at(self, instant: Instant) -> datetime:
        return self._clock.wall_now() + timedelta(seconds=instant - self._clock.now())

    def _write(self) -> None:
        shown = sorted(self._open.values(), key=lambda found: found.span is Span.MODEL)[:MOST_SHOWN]
        path = file_of(self._directory, self._worker)
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(shown))
            fresh.replace(path)
        except OSError:  # a full disk must not fail the attempt that opened it; the metric and the log tell as well
            return


def file_of(directory: Path, worker: str) -> Path:
    return directory / f"breakers_{worker}.json"


def read_breakers(*directories: Path) -> list[OpenBreaker]:
    """What is open in any worker of these services, once each: as the one sees it where it rests longest."""
    found: dict[Key, OpenBreaker] = {}
    for path in sorted(path for directory in directories for path in directory.glob("breakers_*.json")):
        try:
            seen = msgspec.json.decode(path.read_bytes(), type=list[OpenBreaker])
        except (OSError, msgspec.DecodeError):  # its worker is just being forgotten
            continue
        for each in seen:
            key: Key = (each.provider, each.span, each.what)
            known = found.get(key, each)
            workers = each.workers if known is each else known.workers + each.workers
            found[key] = msgspec.structs.replace(max(known, each, key=lambda one: one.until_at), workers=workers)
    return [found[key] for key in sorted(found)]
