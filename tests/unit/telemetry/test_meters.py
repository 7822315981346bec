import json
import os

import pytest

from gateway.core.blast_radius import Lifted
from gateway.core.breaker import CLOSED, BreakerNews, Span, opened
from gateway.core.call import Usage
from gateway.core.cooldown import Health, Phase, Witness
from gateway.core.ids import FOREVER, AccountId, CallId, Instant, ProviderId, Secret
from gateway.core.outcome import Outcome, OutcomeKind, Scope, ScopeKind
from gateway.core.snapshot import Account, AuthStrategy, Credential
from gateway.telemetry.calls import CallRing, Calls
from gateway.telemetry.events import AttemptRecord, CallEnd
from gateway.telemetry.log import configure
from gateway.telemetry.meters import Meters
from gateway.telemetry.metrics import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.telemetry.records import record

KEY = "sk-proj-abcdefghijklmnop"
ACCOUNT = Account(
    id=AccountId("a-1"),
    provider_id=ProviderId("openai"),
    label="Account 1",
    credential=Credential(AuthStrategy.API_KEY, Secret(KEY)),
)
PROBE = Witness(CallId("req_1"), is_probe=True)
SCOPE = Scope(ScopeKind.HOLDER_MODEL, "group:openai:org", "gpt-4")


class Written:
    """Meters, and the lines that came of them."""

    def __init__(self, path, level: str) -> None:
        self.path = path / "log"
        self.fd = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.output = configure(level=level, fd=self.fd)
        self.clock = FakeClock()
        self.metrics = Metrics(path / "metrics", clock=self.clock)
        self.meters = Meters(self.metrics, self.output, CallRing(path / "calls_0.ring"), clock=self.clock, worker="0")

    def text(self) -> str:
        assert self.output.flush(5.0)
        return self.path.read_text()

    def lines(self) -> list[dict]:
        lines = [json.loads(line) for line in self.text().splitlines()]
        return [{name: value for name, value in line.items() if name != "at"} for line in lines]

    def close(self) -> None:
        self.metrics.close()
        self.output.close()
        os.close(self.fd)


@pytest.fixture
def at_level(tmp_path):
    (tmp_path / "metrics").mkdir()
    opened = []

    def start(level: str) -> Written:
        opened.append(Written(tmp_path, level))
        return opened[-1]

    yield start
    for written in opened:
        written.close()


@pytest.mark.parametrize(
    ("reason", "level"),
    [(OutcomeKind.RATE_LIMITED, "info"), (OutcomeKind.OUT_OF_QUOTA, "warning"), (OutcomeKind.FORBIDDEN, "warning")],
)
def test_a_rest_is_one_line_that_says_what_rests_why_and_until_when(at_level, reason, level):
    written = at_level("info")

    written.meters.cooled(ACCOUNT, SCOPE, Health(Phase.COOLING, 2, until=Instant(1030.5), reason=reason), PROBE)

    assert written.lines() == [
        {
            "event": "account.cooled", "level": level, "provider": "openai", "account_id": "a-1",
            "scope": "holder_model", "holder": "group:openai:org", "what": "gpt-4", "reason": reason.value,
            "strikes": 2, "rest_s": 30.5, "until_at": "2026-11-21T12:00:30.500000+00:00",
            "is_probe": True, "call_id": "req_1",
        }
    ]  # fmt: skip
    assert f'gateway_cooldowns_total{{provider="openai",reason="{reason}"}} 1.0' in written.metrics.render()[0].decode()


def test_a_rejection_is_a_line_of_its_own(at_level):
    written = at_level("info")
    health = Health(Phase.REJECTED, 3, until=FOREVER, reason=OutcomeKind.CREDENTIAL_REJECTED)

    written.meters.cooled(ACCOUNT, Scope(ScopeKind.ACCOUNT, "a-1"), health, PROBE)

    (line,) = written.lines()
    assert (line["event"], line["level"]) == ("account.disabled", "warning")
    assert (line["account_id"], line["reason"], line["strikes"]) == ("a-1", "credential_rejected", 3)
    assert line["call_id"] == "req_1"


def test_a_recovery_names_what_the_rest_was_for(at_level):
    written = at_level("info")

    written.meters.recovered(ACCOUNT, SCOPE, Health(Phase.COOLING, reason=OutcomeKind.RATE_LIMITED))

    (line,) = written.lines()
    assert (line["event"], line["what"], line["reason"]) == ("account.recovered", "gpt-4", "rate_limited")


@pytest.mark.parametrize(
    ("span", "what", "named"),
    [
        (Span.MODEL, "gpt-4", {"model": "gpt-4"}),
        (Span.ORIGIN, "https://api.openai.com:443", {"origin": "https://api.openai.com:443"}),
        (Span.PROVIDER, "", {}),
    ],
)
def test_a_breaker_that_opens_and_closes_is_a_line_each_and_a_gauge(at_level, span, what, named):
    written = at_level("info")
    breaker = opened(CLOSED, OutcomeKind.UPSTREAM_ERROR, Instant(1000.0))
    provider = ProviderId("openai")

    written.meters.breaker_changed(BreakerNews(provider, span, what, breaker, True, 12, 10))
    gauge = written.metrics.render()[0].decode()
    written.meters.breaker_changed(BreakerNews(provider, span, what, CLOSED, False, 0, 0))

    broken, recovered = written.lines()
    assert broken.items() >= {"event": "provider.broken", "level": "warning", "reason": "upstream_error"}.items()
    assert broken.items() >= {**named, "rest_s": 1.0, "failures": 10, "attempts": 12}.items()
    assert recovered.items() >= {"event": "provider.recovered", "level": "info", **named}.items()
    assert 'gateway_breaker_open{provider="openai"} 1' in gauge
    assert 'gateway_breaker_open{provider="openai"} 0' in written.metrics.render()[0].decode()


def test_lifted_parks_are_a_line_that_names_the_call(at_level):
    written = at_level("info")

    written.meters.parks_lifted(Lifted(ProviderId("openai"), OutcomeKind.FORBIDDEN, 3, CallId("req_1")))

    (line,) = written.lines()
    assert (line["event"], line["reason"], line["count"], line["call_id"]) == ("parks.lifted", "forbidden", 3, "req_1")


def attempt_failed(meters, outcome):
    meters.attempt_failed(CallId("req_1"), ProviderId("openai"), AccountId("a-1"), outcome, 0.25)


def test_debug_shows_every_attempt_and_the_chunks_of_the_one_that_served(at_level):
    written = at_level("debug")
    trail = (
        AttemptRecord("a-1", "openai", OutcomeKind.RATE_LIMITED, 429, 0.25, "rate_limit_exceeded"),
        AttemptRecord("b-2", "openai", OutcomeKind.OK, 200, 0.5),
    )

    attempt_failed(
        written.meters, Outcome(OutcomeKind.RATE_LIMITED, 429, "rate_limit_exceeded", "too many", retry_after_s=7.0)
    )
    written.meters.call_finished(
        record(call_id="req_1", account_id="b-2", attempts=2, trail=trail, chunks=12, first_byte_s=0.5, total_s=2.0)
    )

    failed, finished, call = written.lines()
    assert failed == {
        "event": "attempt.failed", "level": "debug", "call_id": "req_1", "provider": "openai", "account_id": "a-1",
        "outcome": "rate_limited", "status": 429, "code": "rate_limit_exceeded", "detail": None,
        "retry_after_s": 7.0, "total_s": 0.25,
    }  # fmt: skip
    assert (finished["event"], finished["account_id"], finished["chunks"]) == ("attempt.finished", "b-2", 12)
    assert (finished["first_byte_s"], finished["total_s"]) == (0.5, 2.0)
    assert call["event"] == "call.finished"


def test_a_fault_of_the_transport_is_told_in_its_own_words(at_level):
    written = at_level("debug")

    attempt_failed(written.meters, Outcome(OutcomeKind.UNREACHABLE, message="[Errno 111] refused"))

    assert written.lines()[0]["detail"] == "[Errno 111] refused"


def test_info_says_nothing_of_single_attempts(at_level):
    written = at_level("info")
    trail = (AttemptRecord("b-2", "openai", OutcomeKind.OK, 200, 0.5),)

    attempt_failed(written.meters, Outcome(OutcomeKind.UPSTREAM_ERROR, 500))
    written.meters.call_finished(record(attempts=1, trail=trail))

    assert not written.meters.is_debug
    assert [line["event"] for line in written.lines()] == ["call.finished"]


def test_a_broken_stream_is_a_warning(at_level):
    written = at_level("warning")

    written.meters.call_finished(record(outcome=CallEnd.BROKEN, code="upstream_error", is_stream=True, chunks=3))

    (line,) = written.lines()
    assert (line["event"], line["detail"], line["chunks"]) == ("stream.broken", "upstream_error", 3)


def test_a_call_is_kept_for_those_who_ask_later_at_any_level_and_without_a_secret(at_level, tmp_path):
    written = at_level("error")

    written.meters.call_finished(record(call_id="req_1", model=KEY))

    kept = Calls(tmp_path).find("req_1")
    assert kept is not None
    assert (kept.model, kept.status, kept.trail[0].account_id) == ("***", 200, "account-1")
    assert written.text() == ""


def test_neither_a_secret_nor_the_upstreams_words_are_in_any_line(at_level):
    written = at_level("debug")
    said = f"Incorrect API key provided: {KEY} for org-Ab12Cd34Ef56, prompt was: my diary"

    attempt_failed(written.meters, Outcome(OutcomeKind.CREDENTIAL_REJECTED, 401, f"code {KEY}", said))
    attempt_failed(written.meters, Outcome(OutcomeKind.CREDENTIAL_REJECTED, None, "invalid_api_key", said))
    written.meters.cooled(
        ACCOUNT, Scope(ScopeKind.ACCOUNT, "a-1"), Health(Phase.COOLING, 1, until=Instant(1060.0), reason=None), PROBE
    )

    text = written.text()
    assert len(text.splitlines()) == 3
    assert not [secret for secret in (KEY, "org-Ab12", "diary", "Account 1") if secret in text]


@pytest.mark.parametrize(
    ("fields", "spliced"),
    [
        pytest.param({"outcome": CallEnd.BROKEN, "code": "upstream_error"}, "false", id="broken"),
        pytest.param({"outcome": OutcomeKind.OK, "is_spliced": True}, "true", id="spliced"),
    ],
)
def test_stream_that_broke_is_told_and_counted_whether_or_not_another_went_on(at_level, fields, spliced):
    written = at_level("info")

    written.meters.call_started()
    written.meters.call_finished(record(is_stream=True, chunks=3, **fields))

    line = next(line for line in written.lines() if line["event"] == "stream.broken")
    assert (line["is_spliced"], line["chunks"]) == (spliced == "true", 3)
    text = written.metrics.render()[0].decode()
    assert f'gateway_streams_broken_total{{provider="openai",spliced="{spliced}"}} 1.0' in text


def test_stream_that_ended_well_is_told_nowhere(at_level):
    written = at_level("info")

    written.meters.call_started()
    written.meters.call_finished(record(is_stream=True))

    assert [line["event"] for line in written.lines()] == ["call.finished"]
    assert "gateway_streams_broken_total{" not in written.metrics.render()[0].decode()


def test_parts_of_tokens_are_counted_where_they_are_told(at_level):
    written = at_level("info")

    written.meters.call_started()
    usage = Usage(50, 40, 8, reasoning_tokens=30, cache_write_tokens=20)
    written.meters.call_finished(record(input_tokens=50, output_tokens=40, cached_tokens=8, usage=usage))

    text = written.metrics.render()[0].decode()
    for direction, count in {"input": 50, "output": 40, "cached": 8, "reasoning": 30, "cache_write": 20}.items():
        found = next(
            row for row in text.splitlines() if f'direction="{direction}"' in row and row.startswith("gateway")
        )
        assert found.endswith(f" {count}.0")
