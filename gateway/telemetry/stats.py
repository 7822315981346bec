"""What /health tells people: rates, latency, streams, over all workers and the last five minutes.

Each worker keeps a `Ring`; whoever is asked reads all of them. Checks of providers travel the same way, as small JSON
files, since one worker makes a check and all must be able to show it.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from gateway.core.ids import Instant
from gateway.telemetry.events import CallEnd, CallRecord
from gateway.telemetry.ring import Cell, Head, Ring, latency_cell, percentile_s, read_periods, read_ring

_BROKEN = CallEnd.BROKEN  # bound: Python 3.11 takes as long to find a member as to call a function
SPAN_S = 300.0
ALIVE_S = 10.0
"""A worker whose loop has not turned for that long does not count as running."""


class RequestStats(msgspec.Struct, frozen=True):
    """Calls of all kinds, refused ones too."""

    total: int
    """Since the service started."""
    in_flight: int
    per_minute: int
    """In the last minute."""
    per_minute_5m: float
    """Mean over the last five minutes, or over the uptime when that is shorter."""
    failed_5m: int
    """Answered with 429 or 5xx, or broken."""


class LatencyStats(msgspec.Struct, frozen=True):
    """From arrival to last byte, of calls that reached an upstream in the last five minutes. None without any."""

    avg: float | None
    p50: float | None
    p95: float | None


class StreamStats(msgspec.Struct, frozen=True):
    """Of the streams that ended in the last five minutes; means are None without any."""

    streams: int
    ttft_ms: float | None
    """From arrival to the first content, mean."""
    duration_ms: float | None
    chunks_sent: int
    avg_chunk_interval_ms: float | None
    tokens_per_second: float | None
    """Output tokens per second of streaming, of all streams together."""
    completion_rate: float | None
    """Share that reached their end, 0 to 1."""


class ServiceStats(msgspec.Struct, frozen=True):
    uptime_s: float
    workers: int
    """Whose loop turns."""
    requests: RequestStats
    latency_ms: LatencyStats
    stream_stats: StreamStats


class ProviderCheck(msgspec.Struct, frozen=True):
    """What the last check of a provider found."""

    is_reachable: bool
    checked_at: datetime
    latency_ms: float | None = None


class Stats:
    """This worker's ring, and the sum of all."""

    def __init__(self, directory: Path, worker: str, *, now: Instant) -> None:
        self._directory = directory
        self._worker = worker
        self._ring = Ring(directory / f"stats_{worker}.ring", now=now)
        self._view = self._ring.view
        self._checks: dict[str, ProviderCheck] = {}

    def call_started(self) -> None:
        self._view[Head.IN_FLIGHT] += 1.0

    def call_finished(self, record: CallRecord, now: Instant) -> None:
        view, row = self._view, self._ring.row(now)
        view[Head.IN_FLIGHT] -= 1.0
        view[Head.CALLS] += 1.0
        view[row + Cell.CALLS] += 1.0
        if record.status == 429 or record.status >= 500 or record.outcome is _BROKEN:
            view[row + Cell.FAILED] += 1.0
        if record.attempts:
            view[row + Cell.SERVED] += 1.0
            view[row + Cell.SERVED_S] += record.total_s
            view[row + latency_cell(record.total_s)] += 1.0
            if record.is_stream:
                _add_stream(view, row, record)

    def beat(self, now: Instant) -> None:
        """Once a second, from the event loop: this worker is alive."""
        self._view[Head.BEAT] = now

    def note_check(self, provider_id: str, check: ProviderCheck) -> None:
        """The result of checking an idle provider, for all workers to show."""
        self._checks[provider_id] = check
        path = self._directory / f"checks_{self._worker}.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self._checks))
        fresh.replace(path)  # readers see the old file or the new one, never a half

    def read_checks(self) -> dict[str, ProviderCheck]:
        """The latest check of each provider, whichever worker made it. Reads files: call it in a thread."""
        latest: dict[str, ProviderCheck] = {}
        for path in self._directory.glob("checks_*.json"):
            try:
                found = msgspec.json.decode(path.read_bytes(), type=dict[str, ProviderCheck])
            except (OSError, msgspec.DecodeError):  # its worker is just being forgotten
                continue
            for provider_id, check in found.items():
                known = latest.get(provider_id)
                if known is None or known.checked_at < check.checked_at:
                    latest[provider_id] = check
        return latest

    def read(self, now: Instant) -> ServiceStats:
        """All workers added up. Reads files: call it in a thread."""
        rings = [read_ring(path) for path in sorted(self._directory.glob("stats_*.ring"))]
        alive = [ring for ring in rings if ring[Head.BEAT] > now - ALIVE_S]
        uptime_s = now - min((ring[Head.STARTED] for ring in rings), default=now)
        minute = read_periods(rings, now=now, span_s=60.0)
        span = read_periods(rings, now=now, span_s=SPAN_S)
        return ServiceStats(
            uptime_s=uptime_s,
            workers=len(alive),
            requests=RequestStats(
                total=int(sum(ring[Head.CALLS] for ring in rings)),
                in_flight=int(sum(ring[Head.IN_FLIGHT] for ring in alive)),
                per_minute=int(minute[Cell.CALLS]),
                per_minute_5m=round(span[Cell.CALLS] * 60 / max(60.0, min(SPAN_S, uptime_s)), 2),
                failed_5m=int(span[Cell.FAILED]),
            ),
            latency_ms=LatencyStats(
                avg=_ms(_ratio(span[Cell.SERVED_S], span[Cell.SERVED])),
                p50=_ms(percentile_s(span, 0.5)),
                p95=_ms(percentile_s(span, 0.95)),
            ),
            stream_stats=_stream_stats(span),
        )


def _add_stream(view: "memoryview[float]", row: int, record: CallRecord) -> None:
    view[row + Cell.STREAMS] += 1.0
    view[row + Cell.STREAM_S] += record.total_s
    view[row + Cell.CHUNKS] += record.chunks
    view[row + Cell.OUTPUT_TOKENS] += record.output_tokens if record.usage_of is msgspec.UNSET else 0
    view[row + Cell.COMPLETE] += record.is_complete
    if record.first_byte_s is not None:
        view[row + Cell.FIRST_BYTES] += 1.0
        view[row + Cell.FIRST_BYTE_S] += record.first_byte_s
        view[row + Cell.INTERVALS] += max(0, record.chunks - 1)
        view[row + Cell.STREAMED_S] += record.total_s - record.first_byte_s


def _stream_stats(row: list[float]) -> StreamStats:
    return StreamStats(
        streams=int(row[Cell.STREAMS]),
        ttft_ms=_ms(_ratio(row[Cell.FIRST_BYTE_S], row[Cell.FIRST_BYTES])),
        duration_ms=_ms(_ratio(row[Cell.STREAM_S], row[Cell.STREAMS])),
        chunks_sent=int(row[Cell.CHUNKS]),
        avg_chunk_interval_ms=_ms(_ratio(row[Cell.STREAMED_S], row[Cell.INTERVALS])),
        tokens_per_second=_rounded(_ratio(row[Cell.OUTPUT_TOKENS], row[Cell.STREAMED_S])),
        completion_rate=_rounded(_ratio(row[Cell.COMPLETE], row[Cell.STREAMS]), 4),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 3)


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
