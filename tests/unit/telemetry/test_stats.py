from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.ids import Instant
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.events import CallEnd
from gateway.telemetry.ring import PERIOD_S, Ring, percentile_s, read_periods, read_ring
from gateway.telemetry.stats import ProviderCheck, Stats
from tests.unit.telemetry.records import record

NOW = Instant(10_000.0)


@pytest.fixture
def workers(tmp_path):
    def make(worker: str = "0", now: Instant = NOW) -> Stats:
        return Stats(tmp_path, worker, now=now)

    return make


def finish(stats: Stats, now: Instant = NOW, **changes: object) -> None:
    stats.call_started()
    stats.call_finished(record(**changes), now)


def test_a_new_service_has_figures_but_no_means(workers):
    read = workers().read(NOW)

    assert read.workers == 1
    assert read.requests.total == 0
    assert read.latency_ms.avg is None
    assert read.latency_ms.p95 is None
    assert read.stream_stats.completion_rate is None
    assert read.stream_stats.chunks_sent == 0


def test_calls_of_all_workers_are_added_up(workers):
    first, second = workers("0"), workers("1")

    finish(first)
    finish(second)
    second.call_started()

    for stats in (first, second):
        read = stats.read(NOW)
        assert read.workers == 2
        assert read.requests.total == 2
        assert read.requests.in_flight == 1
        assert read.requests.per_minute == 2


def test_rates_look_back_one_and_five_minutes(workers):
    stats = workers(now=Instant(0.0))

    for seconds in range(0, 600, 10):
        finish(stats, Instant(float(seconds)))

    read = stats.read(Instant(599.0))
    assert read.requests.total == 60
    assert read.requests.per_minute == 6
    assert read.requests.per_minute_5m == 6.0
    assert stats.read(Instant(2_000.0)).requests.per_minute_5m == 0.0


def test_a_young_service_has_a_rate_over_its_uptime(workers):
    stats = workers(now=Instant(1_000.0))

    for _ in range(10):
        finish(stats, Instant(1_001.0))

    assert stats.read(Instant(1_120.0)).requests.per_minute_5m == 5.0


def test_failures_are_what_the_caller_would_call_so(workers):
    stats = workers()

    finish(stats)
    finish(stats, status=429, outcome=OutcomeKind.RATE_LIMITED)
    finish(stats, status=502, outcome=OutcomeKind.UPSTREAM_ERROR)
    finish(stats, status=200, outcome=CallEnd.BROKEN, is_complete=False)
    finish(stats, status=400, outcome=OutcomeKind.CALLER_FAULT)

    assert stats.read(NOW).requests.failed_5m == 3


def test_latency_is_that_of_calls_that_reached_an_upstream(workers):
    stats = workers()

    for _ in range(98):
        finish(stats, total_s=0.1)
    for _ in range(2):
        finish(stats, total_s=10.0)
    finish(stats, total_s=0.0001, attempts=0, outcome=CallEnd.REFUSED, status=400)

    latency = stats.read(NOW).latency_ms
    assert latency.avg == pytest.approx(298.0)
    assert latency.p50 == pytest.approx(100, rel=0.42)
    assert latency.p95 == pytest.approx(100, rel=0.42)


def test_percentile_above_every_bound_is_the_last_bound(tmp_path):
    stats = Stats(tmp_path, "0", now=NOW)
    finish(stats, total_s=1e6)

    row = read_periods([read_ring(tmp_path / "stats_0.ring")], now=NOW, span_s=60.0)

    assert percentile_s(row, 0.5) == pytest.approx(741, rel=0.01)


def test_streams_have_their_own_figures(workers):
    stats = workers()

    finish(stats, is_stream=True, first_byte_s=0.5, total_s=2.5, chunks=101, output_tokens=200)
    finish(stats, is_stream=True, first_byte_s=1.5, total_s=3.5, chunks=101, output_tokens=200)
    finish(stats, is_stream=True, first_byte_s=None, total_s=3.0, is_complete=False, status=504)
    finish(stats, is_stream=True, first_byte_s=1.0, total_s=1.0, chunks=1, is_complete=False)
    finish(stats)

    read = stats.read(NOW).stream_stats
    assert read.streams == 4
    assert read.ttft_ms == 1_000.0
    assert read.duration_ms == 2_500.0
    assert read.chunks_sent == 203
    assert read.avg_chunk_interval_ms == 20.0
    assert read.tokens_per_second == 100.0
    assert read.completion_rate == 0.5


def test_a_worker_that_does_not_beat_is_not_counted(workers):
    stats, other = workers("0"), workers("1")
    finish(other)
    other.call_started()

    stats.beat(Instant(NOW + 60))
    read = stats.read(Instant(NOW + 60))

    assert read.workers == 1
    assert read.requests.in_flight == 0
    assert read.requests.total == 1


def test_a_respawned_worker_keeps_totals_and_uptime(tmp_path):
    before = Stats(tmp_path, "0", now=NOW)
    finish(before)
    before.call_started()

    after = Stats(tmp_path, "0", now=Instant(NOW + 50))
    read = after.read(Instant(NOW + 50))

    assert read.uptime_s == 50.0
    assert read.requests.total == 1
    assert read.requests.in_flight == 0


def test_an_old_period_is_wiped_when_its_row_comes_round_again(tmp_path):
    ring = Ring(tmp_path / "stats_0.ring", now=0.0)
    row = ring.row(7.0)
    ring.view[row + 1] = 5.0

    again = ring.row(7.0 + 64 * PERIOD_S)

    assert again == row
    assert ring.view[row + 1] == 0.0


def test_checks_of_any_worker_are_shown_the_latest_one_first(workers):
    first, second = workers("0"), workers("1")
    at = datetime(2026, 11, 21, tzinfo=UTC)

    first.note_check("openai", ProviderCheck(is_reachable=False, checked_at=at))
    second.note_check("openai", ProviderCheck(is_reachable=True, checked_at=at + timedelta(minutes=1), latency_ms=12.0))
    first.note_check("azure", ProviderCheck(is_reachable=True, checked_at=at))

    assert first.read_checks() == second.read_checks()
    assert first.read_checks()["openai"].is_reachable
    assert set(first.read_checks()) == {"openai", "azure"}


def test_a_damaged_file_of_checks_is_passed_over(workers, tmp_path):
    stats = workers()
    (tmp_path / "checks_9.json").write_bytes(b"{")

    assert stats.read_checks() == {}
