from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from gateway.core.outcome import OutcomeKind
from gateway.telemetry.calls import CallRing, Calls
from gateway.telemetry.events import AttemptRecord
from tests.integration.admin.conftest import admin_of
from tests.unit.telemetry.records import record

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def keep(ring, number, **changes):
    """A call that ended `number` seconds after noon."""
    made = record(call_id=f"req_{number}", at=NOON + timedelta(seconds=number), **changes)
    ring.keep(msgspec.json.encode(made) + b"\n")


@pytest.fixture
async def asked(engine, cipher, tmp_path):
    """Two workers that ended calls in turn: 1, 3, 5 and 2, 4."""
    first, second = CallRing(tmp_path / "calls_0.ring"), CallRing(tmp_path / "calls_1.ring")
    refused = AttemptRecord("account-2", "azure", OutcomeKind.RATE_LIMITED, 429, 0.1, "rate_limit_exceeded")
    served = AttemptRecord("account-1", "openai", OutcomeKind.OK, 200, 0.4)
    keep(first, 1)
    keep(second, 2, status=429, outcome=OutcomeKind.RATE_LIMITED)
    keep(first, 3, attempts=2, trail=(refused, served), served_model="gpt-4o")
    keep(second, 4, model='odd "name"')
    keep(first, 5, is_stream=True, chunks=5, output_tokens=20, first_byte_s=0.5, total_s=2.5)
    async with admin_of(engine, cipher, calls=Calls(tmp_path)) as admin:
        yield admin


async def ids(admin, query=""):
    answer = await admin.call("GET", f"/calls{query}")
    assert answer.status_code == 200
    return [call["call_id"] for call in answer.json()["data"]]


async def test_calls_of_all_workers_are_listed_newest_first(asked):
    assert await ids(asked) == ["req_5", "req_4", "req_3", "req_2", "req_1"]


async def test_pages_say_whether_there_is_more(asked):
    first = (await asked.call("GET", "/calls?limit=2&offset=1")).json()
    last = (await asked.call("GET", "/calls?limit=2&offset=3")).json()

    assert [call["call_id"] for call in first["data"]] == ["req_4", "req_3"]
    assert (first["has_more"], last["has_more"]) == (True, False)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?status=429", ["req_2"]),
        ("?outcome=rate_limited", ["req_2"]),
        ("?provider_id=azure", ["req_3"]),
        ("?account_id=account-2", ["req_3"]),
        ("?model=gpt-4o", ["req_3"]),
        ("?model=odd%20%22name%22", ["req_4"]),
        ("?model=gpt", []),
        ("?provider_id=openai&status=200&limit=1", ["req_5"]),
    ],
)
async def test_filters(asked, query, found):
    assert await ids(asked, query) == found


async def test_a_call_shows_every_attempt_it_made(asked):
    call = (await asked.call("GET", "/calls/req_3")).json()

    assert call["served_model"] == "gpt-4o"
    assert [(attempt["account_id"], attempt["outcome"], attempt["status"]) for attempt in call["trail"]] == [
        ("account-2", "rate_limited", 429),
        ("account-1", "ok", 200),
    ]
    assert call["trail"][0]["code"] == "rate_limit_exceeded"
    assert call["stream"] is None


async def test_a_stream_shows_how_it_went(asked):
    call = (await asked.call("GET", "/calls/req_5")).json()

    assert call["stream"] == {
        "ttft_ms": 500.0, "duration_ms": 2500.0, "chunks_sent": 5, "avg_chunk_interval_ms": 500.0,
        "tokens_per_second": 10.0, "is_complete": True,
    }  # fmt: skip


async def test_an_unknown_call_is_a_problem(asked):
    answer = await asked.call("GET", "/calls/req_unknown")

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("query", ["?status=99", "?limit=0", "?limit=1001", "?offset=-1"])
async def test_a_wrong_filter_is_named(asked, query):
    answer = await asked.call("GET", f"/calls{query}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["where"].startswith("query.")
