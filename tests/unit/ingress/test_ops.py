from datetime import UTC, datetime
from typing import Any

import pytest
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers.base import BaseRouteHandler
from litestar.testing import TestClient

from gateway.ingress.ops import DatabaseHealth, OpsDeps, ops_handlers
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.stats import ProviderCheck
from tests.unit.telemetry.records import HandClock, record


class Service:
    """What the handlers are told; tests change it."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.metrics = Metrics(None, clock=self.clock)
        self.reason: str | None = None
        self.accounts = {"ready": 3, "cooling": 1}
        self.database = DatabaseHealth(is_connected=True, snapshot_age_s=0.5, listener="connected")

    def guard(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if connection.headers.get("authorization") != "Bearer right":
            raise NotAuthorizedException

    def app(self) -> Litestar:
        deps = OpsDeps(
            metrics=self.metrics,
            clock=self.clock,
            version="1.2.3",
            guard=self.guard,
            readiness=lambda: self.reason,
            accounts=lambda: self.accounts,
            database=lambda: self.database,
        )
        return Litestar(ops_handlers(deps))


RIGHT = {"authorization": "Bearer right"}


@pytest.fixture
def service():
    made = Service()
    yield made
    made.metrics.close()


@pytest.fixture
def client(service):
    with TestClient(service.app()) as made:
        yield made


def test_live_and_ready_are_open(client):
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ready", "reason": None}


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_the_inside_is_for_whom_the_guard_lets_in(client, path):
    assert client.get(path).status_code == 401
    assert client.get(path, headers=RIGHT).status_code == 200


def test_a_worker_that_takes_no_calls_says_why(client, service):
    service.reason = "draining"

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready", "reason": "draining"}
    assert client.get("/health/live").status_code == 200


def test_health_shows_the_service(client, service):
    service.metrics.call_started()
    service.metrics.call_finished(record(is_stream=True, first_byte_s=0.1, total_s=0.3, chunks=3, output_tokens=4))
    service.metrics.stats.note_check(
        "openai", ProviderCheck(is_reachable=True, checked_at=datetime(2026, 11, 21, tzinfo=UTC), latency_ms=8.0)
    )

    health = client.get("/health", headers=RIGHT).json()

    assert health["status"] == "ok"
    assert health["problems"] == []
    assert health["version"] == "1.2.3"
    assert health["workers"] == 1
    assert health["accounts"] == {"ready": 3, "cooling": 1}
    assert health["requests"]["total"] == 1
    assert health["latency_ms"]["avg"] == 300.0
    assert health["stream_stats"] == {
        "streams": 1,
        "ttft_ms": 100.0,
        "duration_ms": 300.0,
        "chunks_sent": 3,
        "avg_chunk_interval_ms": 100.0,
        "tokens_per_second": 20.0,
        "completion_rate": 1.0,
    }
    assert health["providers"]["openai"] == {
        "is_reachable": True,
        "checked_at": "2026-11-21T00:00:00Z",
        "latency_ms": 8.0,
    }
    assert health["database"] == {"is_connected": True, "snapshot_age_s": 0.5, "listener": "connected"}


def test_uptime_is_counted_by_the_clock(client, service):
    service.clock.seconds += 90.0

    assert client.get("/health", headers=RIGHT).json()["uptime_s"] == 90.0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"reason": "draining"}, "draining"),
        ({"accounts": {"ready": 0, "cooling": 4}}, "no account is ready"),
        ({"database": DatabaseHealth(False, 90.0, "connected")}, "the database cannot be reached"),
        ({"database": DatabaseHealth(True, 1.0, "lost")}, "the listener is lost"),
    ],
)
def test_health_is_degraded_and_says_by_what(client, service, change, problem):
    for name, value in change.items():
        setattr(service, name, value)

    answer = client.get("/health", headers=RIGHT)

    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert problem in " ".join(answer.json()["problems"])


def test_an_unreachable_provider_degrades(client, service):
    at = datetime(2026, 11, 21, tzinfo=UTC)
    service.metrics.stats.note_check("openai", ProviderCheck(is_reachable=False, checked_at=at))

    assert client.get("/health", headers=RIGHT).json()["problems"] == ["provider openai cannot be reached"]


def test_a_service_without_accounts_is_new_not_broken(client, service):
    service.accounts = {}

    assert client.get("/health", headers=RIGHT).json()["status"] == "ok"


def test_metrics_are_prometheus_text(client, service):
    service.metrics.call_started()
    service.metrics.call_finished(record())

    answer = client.get("/metrics", headers=RIGHT)

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert 'gateway_calls_total{endpoint="chat.completions",outcome="ok",provider="openai"} 1.0' in answer.text
