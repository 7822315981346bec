import msgspec
import pytest

from gateway.core.call import Usage
from gateway.telemetry import calls as module
from gateway.telemetry.calls import LINES_BYTES, MOST_CALLS, CallRing, Calls
from tests.unit.telemetry.records import record


def line(number, **changes):
    return msgspec.json.encode(record(call_id=f"req_{number}", **changes)) + b"\n"


def newest(folder, *texts):
    return [call.call_id for call in Calls(folder).newest(*texts)]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "LINES_BYTES", 2_000)


def test_what_was_kept_is_read_again_whole(tmp_path):
    ring = CallRing(tmp_path / "calls_0.ring")
    ring.keep(line(1, model="gpt-4", waited_s=0.5))

    call = Calls(tmp_path).find("req_1")

    assert call is not None
    told = msgspec.to_builtins(record(call_id="req_1", model="gpt-4", waited_s=0.5))
    told |= {"trail": tuple(attempt | {"broke": None, "model": None} for attempt in told["trail"])}
    told |= {"usage": None, "usage_of": None}
    assert msgspec.to_builtins(call) == {name: value for name, value in told.items() if name not in {"event", "level"}}


def test_the_oldest_lines_make_room_and_no_half_line_is_shown(tmp_path, small):
    ring = CallRing(tmp_path / "calls_0.ring")
    for number in range(100, 200):
        ring.keep(line(number))
        found = newest(tmp_path)
        assert found == [f"req_{shown}" for shown in range(number, number - len(found), -1)]

    assert len(found) == 2_000 // len(line(100))


def test_a_respawned_worker_goes_on(tmp_path, small):
    for number in range(100, 110):
        CallRing(tmp_path / "calls_0.ring").keep(line(number))

    assert newest(tmp_path)[:2] == ["req_109", "req_108"]


def test_a_line_too_long_for_the_ring_is_left_out(tmp_path, small):
    ring = CallRing(tmp_path / "calls_0.ring")
    ring.keep(line(1))
    ring.keep(b"x" * 2_001)

    assert newest(tmp_path) == ["req_1"]


def test_lines_without_the_text_are_passed_over(tmp_path):
    ring = CallRing(tmp_path / "calls_0.ring")
    ring.keep(line(1, model="a"))
    ring.keep(line(2, model='b"'))

    assert newest(tmp_path, 'b"') == ["req_2"]
    assert Calls(tmp_path).find("req") is None


def test_files_that_are_none_of_ours_are_left_alone(tmp_path):
    (tmp_path / "calls_1.ring").write_bytes(b"short")
    (tmp_path / "calls_2.ring").write_bytes((99).to_bytes(8, "little") + bytes(56) + b"{no json}\n" * 9 + bytes(9))
    CallRing(tmp_path / "calls_0.ring").keep(line(1))

    assert newest(tmp_path) == ["req_1"]
    assert newest(tmp_path / "nowhere") == []


def test_no_worker_shows_more_than_its_share(tmp_path):
    ring = CallRing(tmp_path / "calls_0.ring")
    short = b'{"call_id":"r","at":"2026-11-21T12:00:00Z","endpoint":"e","outcome":"ok","status":200,"total_s":0}\n'
    assert len(short) * (MOST_CALLS + 10) < LINES_BYTES
    for _ in range(MOST_CALLS + 10):
        ring.keep(short)

    assert len(newest(tmp_path)) == MOST_CALLS


def test_usage_that_is_more_than_three_counts_is_kept_without_its_zeros(tmp_path):
    ring = CallRing(tmp_path / "calls_0.ring")
    ring.keep(line(1, usage=Usage(5, 7, reasoning_tokens=3)))
    ring.keep(line(2))

    calls = Calls(tmp_path)

    assert b'"usage":{"input_tokens":5,"output_tokens":7,"reasoning_tokens":3}' in line(
        1, usage=Usage(5, 7, reasoning_tokens=3)
    )
    assert calls.find("req_1").usage == Usage(5, 7, reasoning_tokens=3)
    assert calls.find("req_2").usage is None
