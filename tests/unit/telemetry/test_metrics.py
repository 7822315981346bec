import re

import pytest

from gateway.core.breaker import CLOSED, BreakerNews, Span, opened
from gateway.core.ids import Instant, ProviderId
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.events import CallEnd
from gateway.telemetry.metrics import CONTENT_TYPE, Metrics, forget_worker
from gateway.telemetry.provider_series import MAX_MODELS, prefix_of
from tests.unit.telemetry.records import HandClock, record

BREAKER_OPENED = BreakerNews(
    ProviderId("openai"),
    Span.PROVIDER,
    "",
    opened(CLOSED, OutcomeKind.TIMED_OUT, Instant(0.0)),
    is_any_open=True,
    attempts=10,
    failures=10,
)


@pytest.fixture
def workers(tmp_path):
    """Makes workers that share one directory."""
    made = []

    def make(worker: str = "0") -> Metrics:
        made.append(Metrics(tmp_path, clock=HandClock(), worker=worker))
        return made[-1]

    yield make
    for metrics in made:
        metrics.close()


def values(metrics: Metrics) -> dict[str, float]:
    """Series as they are written in a scrape → value."""
    text = metrics.render()[0].decode()
    return {name: float(value) for name, value in re.findall(r"^([^#\s].*) (\S+)$", text, re.MULTILINE)}


def finish(metrics: Metrics, **changes: object) -> None:
    metrics.call_started()
    metrics.call_finished(record(**changes))


def attempt(metrics: Metrics, model: str | None = "gpt-4", kind: OutcomeKind = OutcomeKind.OK) -> None:
    metrics.attempt_finished("openai", model, kind, 0.3, is_served=kind is OutcomeKind.OK)


def test_a_finished_call_is_counted_by_endpoint_provider_and_outcome(workers):
    metrics = workers()

    finish(metrics)
    finish(metrics, outcome=CallEnd.REFUSED, provider=None, attempts=0, status=400)

    found = values(metrics)
    assert found['gateway_calls_total{endpoint="chat.completions",outcome="ok",provider="openai"}'] == 1
    assert found['gateway_calls_total{endpoint="chat.completions",outcome="refused",provider="none"}'] == 1
    assert found['gateway_call_duration_seconds_sum{endpoint="chat.completions",provider="openai"}'] == 0.2
    assert found['gateway_call_duration_seconds_bucket{endpoint="chat.completions",le="0.25",provider="openai"}'] == 1
    assert found['gateway_call_duration_seconds_bucket{endpoint="chat.completions",le="0.1",provider="openai"}'] == 0
    assert found["gateway_calls_in_flight"] == 0


def test_calls_in_flight_are_those_that_have_not_ended(workers):
    metrics = workers()

    metrics.call_started()
    metrics.call_started()
    metrics.call_finished(record())

    assert values(metrics)["gateway_calls_in_flight"] == 1


def test_a_value_on_a_bound_belongs_to_that_bucket(workers):
    metrics = workers()

    finish(metrics, total_s=0.25)

    found = values(metrics)
    assert found['gateway_call_duration_seconds_bucket{endpoint="chat.completions",le="0.25",provider="openai"}'] == 1
    assert found['gateway_call_duration_seconds_bucket{endpoint="chat.completions",le="0.1",provider="openai"}'] == 0


def test_attempts_stand_in_the_family_of_their_provider(workers):
    metrics = workers()

    attempt(metrics)
    attempt(metrics)
    attempt(metrics, kind=OutcomeKind.RATE_LIMITED)
    attempt(metrics, kind=OutcomeKind.CANCELLED)

    found = values(metrics)
    assert found['openai_requests_total{model="gpt-4"}'] == 4
    assert found['openai_errors_total{kind="rate_limited",model="gpt-4"}'] == 1
    assert 'openai_errors_total{kind="cancelled",model="gpt-4"}' not in found
    assert found['openai_request_duration_seconds_count{model="gpt-4"}'] == 4
    assert found['gateway_attempts_total{outcome="ok",provider="openai"}'] == 2


def test_a_model_is_a_label_only_once_it_was_served(workers):
    metrics = workers()

    attempt(metrics, "made-up", OutcomeKind.NO_ACCESS_TO_MODEL)
    attempt(metrics, None)
    attempt(metrics, "gpt-4")

    found = values(metrics)
    assert found['openai_requests_total{model="other"}'] == 2
    assert found['openai_requests_total{model="gpt-4"}'] == 1
    assert not any("made-up" in name for name in found)


def test_the_number_of_models_is_bounded(workers):
    metrics = workers()

    for number in range(MAX_MODELS + 50):
        attempt(metrics, f"m{number}")
    attempt(metrics, "x" * 1_000)

    found = values(metrics)
    assert len([name for name in found if name.startswith("openai_requests_total")]) == MAX_MODELS + 1
    assert found['openai_requests_total{model="other"}'] == 51


def test_providers_without_number_share_a_family(workers):
    metrics = workers()

    for number in range(250):
        metrics.attempt_finished(f"p{number}", "m", OutcomeKind.OK, 0.1, is_served=True)

    found = values(metrics)
    assert found['p0_requests_total{model="m"}'] == 1
    assert found['other_provider_requests_total{model="m"}'] == 50


@pytest.mark.parametrize(
    ("provider_id", "prefix"),
    [
        ("openai", "openai"),
        ("azure-eu.1", "azure_eu_1"),
        ("9router", "provider_9router"),
        ("gateway", "provider_gateway"),
        ("", "unnamed"),
        ("größe", "gr__e"),
    ],
)
def test_a_provider_id_becomes_a_metric_name(provider_id, prefix):
    assert prefix_of(provider_id) == prefix


def test_a_provider_may_be_called_gateway(workers):
    metrics = workers()
    attempt(metrics)

    metrics.attempt_finished("gateway", "m", OutcomeKind.OK, 0.1, is_served=True)
    finish(metrics, provider="gateway", model="m", input_tokens=5)

    found = values(metrics)
    assert found['provider_gateway_tokens_total{direction="input",model="m"}'] == 5
    assert found['gateway_tokens_total{direction="input",model="m",provider="gateway"}'] == 5


def test_tokens_are_counted_by_direction(workers):
    metrics = workers()
    attempt(metrics)

    finish(metrics, input_tokens=10, output_tokens=20, cached_tokens=4)
    finish(metrics, input_tokens=1, model="unknown")

    found = values(metrics)
    assert found['gateway_tokens_total{direction="input",model="gpt-4",provider="openai"}'] == 10
    assert found['gateway_tokens_total{direction="cached",model="gpt-4",provider="openai"}'] == 4
    assert found['gateway_tokens_total{direction="input",model="other",provider="openai"}'] == 1
    assert found['openai_tokens_total{direction="output",model="gpt-4"}'] == 20


def test_streams_have_a_time_to_first_token_and_a_rate(workers):
    metrics = workers()

    finish(metrics, is_stream=True, first_byte_s=0.5, total_s=2.5, output_tokens=100)
    finish(metrics, is_stream=True, first_byte_s=None, is_complete=False)
    finish(metrics)

    found = values(metrics)
    assert found['gateway_time_to_first_token_seconds_count{provider="openai"}'] == 1
    assert found['gateway_time_to_first_token_seconds_sum{provider="openai"}'] == 0.5
    assert found['gateway_output_tokens_per_second_sum{provider="openai"}'] == 50


def test_waits_and_cooldowns_are_counted(workers):
    metrics = workers()

    finish(metrics, waited_s=1.5)
    finish(metrics)
    metrics.cooled("openai", OutcomeKind.OUT_OF_QUOTA)

    found = values(metrics)
    assert found["gateway_wait_seconds_sum"] == 1.5
    assert found["gateway_wait_seconds_count"] == 1
    assert found['gateway_cooldowns_total{provider="openai",reason="out_of_quota"}'] == 1


def test_any_worker_answers_for_all_of_them(workers):
    first, second = workers("0"), workers("1")

    finish(first)
    finish(second)
    finish(second)
    second.call_started()
    first.set_calls_waiting(2)
    second.set_calls_waiting(3)

    assert values(first) == values(second)
    found = values(first)
    assert found['gateway_calls_total{endpoint="chat.completions",outcome="ok",provider="openai"}'] == 3
    assert found['gateway_call_duration_seconds_count{endpoint="chat.completions",provider="openai"}'] == 3
    assert found["gateway_calls_in_flight"] == 1
    assert found["gateway_calls_waiting"] == 5


def test_gauges_of_the_registry_are_not_added_up(workers):
    first, second = workers("0"), workers("1")

    for metrics in (first, second):
        metrics.set_accounts({("openai", "ready"): 4})
        metrics.set_listener_connected(is_connected=True)
    second.set_listener_connected(is_connected=False)
    first.set_snapshot_age(1.0)
    second.set_snapshot_age(30.0)

    found = values(first)
    assert found['gateway_accounts{provider="openai",state="ready"}'] == 4
    assert found["gateway_listener_connected"] == 0
    assert found["gateway_snapshot_age_seconds"] == 30


def test_what_is_gone_from_a_replaced_gauge_is_zero(workers):
    metrics = workers()
    metrics.set_accounts({("openai", "ready"): 3, ("openai", "cooling"): 1})
    metrics.set_row_problems({"accounts": 2})

    metrics.set_accounts({("openai", "ready"): 4})
    metrics.set_row_problems({})

    found = values(metrics)
    assert found['gateway_accounts{provider="openai",state="ready"}'] == 4
    assert found['gateway_accounts{provider="openai",state="cooling"}'] == 0
    assert found['gateway_row_problems{table="accounts"}'] == 0


def test_connections_breakers_and_lost_lines_are_shown(workers):
    metrics = workers()

    metrics.set_upstream_connections(idle=3, active=2)
    metrics.breaker_changed(BREAKER_OPENED)
    metrics.set_log_lines_dropped(5)
    metrics.set_log_lines_dropped(7)

    found = values(metrics)
    assert found['gateway_upstream_connections{state="idle"}'] == 3
    assert found['gateway_breaker_open{provider="openai"}'] == 1
    assert found["gateway_log_lines_dropped_total"] == 7


def test_a_respawned_worker_goes_on_counting_where_the_old_one_stopped(tmp_path):
    before = Metrics(tmp_path, clock=HandClock(), worker="0")
    finish(before)
    before.call_started()
    before.close()
    forget_worker(tmp_path, "0")

    after = Metrics(tmp_path, clock=HandClock(), worker="0")
    finish(after)

    found = values(after)
    assert found['gateway_calls_total{endpoint="chat.completions",outcome="ok",provider="openai"}'] == 2
    assert found["gateway_calls_in_flight"] == 0
    after.close()


def test_gauges_of_a_dead_worker_leave_the_scrape(workers, tmp_path):
    first, second = workers("0"), workers("1")
    second.call_started()

    forget_worker(tmp_path, "1")

    assert values(first)["gateway_calls_in_flight"] == 0


def test_a_name_that_a_living_worker_holds_is_not_shared(workers):
    first, second = workers("0"), workers("0")

    finish(first)
    finish(second)

    name = 'gateway_calls_total{endpoint="chat.completions",outcome="ok",provider="openai"}'
    assert values(first)[name] == 2
    assert first.stats.read(HandClock().now()).requests.total == 2


def test_label_values_are_escaped(workers):
    metrics = workers()

    attempt(metrics, 'a"b\nc\\')

    assert 'openai_requests_total{model="a\\"b\\nc\\\\"} 1.0' in metrics.render()[0].decode()


def test_a_single_process_needs_no_directory():
    metrics = Metrics(None, clock=HandClock())

    finish(metrics)

    assert metrics.render()[1] == CONTENT_TYPE
    assert values(metrics)["gateway_calls_in_flight"] == 0
    metrics.close()
    assert not metrics.directory.exists()


def test_a_call_that_ends_after_the_close_harms_nothing(tmp_path):
    metrics = Metrics(tmp_path, clock=HandClock())
    metrics.call_started()

    metrics.close()
    metrics.call_finished(record(is_stream=True, input_tokens=1))

    assert values(metrics)["gateway_calls_in_flight"] == 0
