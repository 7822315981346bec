"""Everything at /metrics, by name. Any worker answers for all of them.

    metrics = Metrics(directory, worker="0", clock=clock)     once per worker, after the fork
    metrics.call_started() ... metrics.attempt_finished(...) ... metrics.call_finished(record)
    text, content_type = metrics.render()                     in a thread: it reads the files of all workers

Rules of this file: labels are enums, ids of rows, or names that an upstream has served; never a caller's free text.
All but `render` belongs to the event loop's thread. docs/metrics.md says what each metric means.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from gateway.core.breaker import BreakerNews
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.breaker_book import BreakerBook, file_of
from gateway.telemetry.clock import Clock
from gateway.telemetry.events import CallEnd, CallRecord
from gateway.telemetry.headroom_book import HeadroomBook, headrooms_of
from gateway.telemetry.provider_series import DURATION_BOUNDS_S, AllProviders
from gateway.telemetry.series import Counter, Files, Gauge, Histogram, Labels
from gateway.telemetry.stats import Stats

CONTENT_TYPE = "text/plain; version=0.0.4"
"""The version every Prometheus reads; our names need no escaping. Litestar adds the charset."""

_NONE = "none"
_FIRST_BYTE_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600)
_RATE_BOUNDS = (1, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000)


class Metrics:
    """This worker's counters; the files that hold them are shared with the other workers."""

    def __init__(self, directory: Path | None, *, clock: Clock, worker: str = "0") -> None:
        """`directory` is one for all workers of a service, emptied when the service starts; None: a private one.

        `worker` is unique among living processes (no `_` in it); a respawned worker takes its predecessor's name, and
        its counters go on where they were.
        """
        self._is_private = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="gateway-metrics-"))
        self._clock = clock
        self._files = files = Files(self.directory, worker)
        self._providers = AllProviders(files)
        self._calls = Counter(
            files, "gateway_calls_total", "Calls, by how they ended.", ("endpoint", "provider", "outcome")
        )
        self._attempts = Counter(
            files, "gateway_attempts_total", "Attempts, by their outcome.", ("provider", "outcome")
        )
        self._cooldowns = Counter(
            files, "gateway_cooldowns_total", "Parks of accounts, groups or models.", ("provider", "reason")
        )
        self._tokens = Counter(
            files, "gateway_tokens_total",
            "Tokens, by direction: input (cached, cache_write: parts of it), output (reasoning: a part of it).",
            ("provider", "model", "direction"),
        )  # fmt: skip
        self._duration = Histogram(
            files, "gateway_call_duration_seconds", "From a call's arrival to its last byte.", DURATION_BOUNDS_S,
            ("endpoint", "provider"),
        )  # fmt: skip
        self._first_byte = Histogram(
            files, "gateway_time_to_first_token_seconds", "Of streams: from arrival to the first content.",
            _FIRST_BYTE_BOUNDS_S, ("provider",),
        )  # fmt: skip
        self._token_rate = Histogram(
            files, "gateway_output_tokens_per_second", "Of whole streams: output tokens after the first content.",
            _RATE_BOUNDS, ("provider",),
        )  # fmt: skip
        self._streams_broken = Counter(
            files, "gateway_streams_broken_total",
            "Streams that broke after their first content; spliced: the answer went on elsewhere.",
            ("provider", "spliced"),
        )  # fmt: skip
        self._waited = Histogram(
            files, "gateway_wait_seconds", "Time in the queue, of calls that had to wait.", DURATION_BOUNDS_S
        )
        self._lines_dropped = Counter(files, "gateway_log_lines_dropped_total", "Log lines lost: stdout was too slow.")
        self._lines_dropped_seen = 0
        self.stats = Stats(self.directory, files.worker, now=clock.now())
        """The same calls, as /health shows them."""
        self.breakers = BreakerBook(self.directory, files.worker, clock=clock)
        self.headrooms = HeadroomBook(self.directory, files.worker)
        self._make_gauges(files)

    def _make_gauges(self, files: Files) -> None:
        in_flight = Gauge(files, "livesum", "gateway_calls_in_flight", "Calls that have arrived and not ended.")
        self._in_flight = in_flight.cell(())
        self._sums = in_flight.view
        self._waiting = Gauge(files, "livesum", "gateway_calls_waiting", "Calls in the queue for an account.")
        self._connections = Gauge(
            files, "livesum", "gateway_upstream_connections", "Connections to upstreams: idle, active.", ("state",)
        )
        self._accounts = Gauge(
            files, "livemostrecent", "gateway_accounts", "Active accounts, by health.", ("provider", "state")
        )
        self._breakers = Gauge(
            files, "livemax", "gateway_breaker_open", "1 where a worker's breaker rests this provider.", ("provider",)
        )
        self._problems = Gauge(
            files, "livemostrecent", "gateway_row_problems", "Rows that make no sense, by table.", ("table",)
        )
        self._snapshot_age = Gauge(
            files,
            "livemax",
            "gateway_snapshot_age_seconds",
            "Since the registry was last confirmed, at worst.",
        )
        self._listener = Gauge(
            files, "livemin", "gateway_listener_connected", "1 when every worker hears the database's notices."
        )

    def call_started(self) -> None:
        """Every call, before anything can go wrong with it; `call_finished` follows exactly once."""
        self._sums[self._in_flight] += 1.0
        self.stats.call_started()

    def attempt_finished(
        self, provider_id: str, model: str | None, outcome_kind: OutcomeKind, duration_s: float, *, is_served: bool
    ) -> None:
        """`is_served`: the upstream answered 2xx, which makes `model` a label from then on."""
        self._attempts.inc((provider_id, outcome_kind))
        self._providers.of(provider_id).attempt_finished(model, outcome_kind, duration_s, is_served=is_served)

    def call_finished(self, record: CallRecord) -> None:
        self._sums[self._in_flight] -= 1.0
        self.stats.call_finished(record, self._clock.now())
        provider = record.provider or _NONE
        self._calls.inc((record.endpoint, provider, record.outcome))
        self._duration.observe(record.total_s, (record.endpoint, provider))
        if record.waited_s > 0:
            self._waited.observe(record.waited_s)
        if record.is_spliced or (record.is_stream and record.outcome is CallEnd.BROKEN):
            self._streams_broken.inc((provider, "true" if record.is_spliced else "false"))
        if record.is_stream and record.first_byte_s is not None:
            self._stream_finished(record, record.first_byte_s, provider)
        if record.provider is not None and (record.input_tokens or record.output_tokens):
            self._tokens_used(record, record.provider)

    def cooled(self, provider_id: str, reason: OutcomeKind) -> None:
        """A scope was parked by this worker (parks heard from others are theirs to count)."""
        self._cooldowns.inc((provider_id, reason))

    def set_calls_waiting(self, count: int) -> None:
        self._waiting.set(count)

    def set_upstream_connections(self, *, idle: int, active: int) -> None:
        self._connections.set(idle, ("idle",))
        self._connections.set(active, ("active",))

    def set_accounts(self, counts: Mapping[tuple[str, str], int]) -> None:
        """(provider id, health phase) → accounts, all there are."""
        values: dict[Labels, float] = dict(counts.items())
        self._accounts.replace(values, self._clock.wall_now().timestamp())

    def set_row_problems(self, counts: Mapping[str, int]) -> None:
        """Table → rows, all there are."""
        values: dict[Labels, float] = {(table,): float(count) for table, count in counts.items()}
        self._problems.replace(values, self._clock.wall_now().timestamp())

    def breaker_changed(self, news: BreakerNews) -> None:
        """Opened, rests on after a failed probe, or closed."""
        self._breakers.set(float(news.is_any_open), (news.provider_id,))
        self.breakers.note(news)

    def set_snapshot_age(self, seconds: float) -> None:
        self._snapshot_age.set(seconds)

    def set_listener_connected(self, *, is_connected: bool) -> None:
        self._listener.set(float(is_connected))

    def set_log_lines_dropped(self, total: int) -> None:
        """`total` since this process began: `LogOutput.dropped`."""
        self._lines_dropped.inc((), max(0, total - self._lines_dropped_seen))
        self._lines_dropped_seen = total

    def render(self) -> tuple[bytes, str]:
        """The scrape, all workers added up, and its content type. Takes milliseconds: call it in a thread."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.directory))  # type: ignore[no-untyped-call]  # library's own gap
        return generate_latest(registry), CONTENT_TYPE

    def close(self) -> None:
        """The files stay for the other workers to add up; a private one goes. Later calls are still counted."""
        self._files.close()
        if self._is_private:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _stream_finished(self, record: CallRecord, first_byte_s: float, provider: str) -> None:
        self._first_byte.observe(first_byte_s, (provider,))
        streamed_s = record.total_s - first_byte_s
        is_its_own = record.usage_of is msgspec.UNSET  # else the tokens were not made while it streamed
        if record.is_complete and record.output_tokens > 1 and streamed_s > 0 and is_its_own:
            self._token_rate.observe(record.output_tokens / streamed_s, (provider,))

    def _tokens_used(self, record: CallRecord, provider: str) -> None:
        family = self._providers.of(provider)
        label = family.label_of(record.model if record.usage_of is msgspec.UNSET else record.usage_of.model)
        counts: tuple[tuple[str, int], ...] = (
            ("input", record.input_tokens),
            ("output", record.output_tokens),
            ("cached", record.cached_tokens),
        )
        if record.usage is not msgspec.UNSET:
            counts += (("reasoning", record.usage.reasoning_tokens), ("cache_write", record.usage.cache_write_tokens))
        for direction, count in counts:
            if count > 0:
                self._tokens.inc((provider, label, direction), count)
                family.tokens_used(label, direction, count)


def forget_worker(directory: Path, worker: str) -> None:
    """For the parent, once a worker has died: its gauges, breakers and headrooms go, its counters stay."""
    file_of(directory, worker).unlink(missing_ok=True)
    headrooms_of(directory, worker).unlink(missing_ok=True)
    mark_process_dead(worker, str(directory))  # type: ignore[no-untyped-call]  # library's own gap
