import msgspec
import pytest

from gateway.sandbox.faults import Fault, Script

HERE = {"key": "sk-a", "model": "gpt-4o", "path": "/v1/chat/completions"}


def script_of(*faults: Fault, now: float = 0.0) -> Script:
    script = Script()
    for fault in faults:
        script.add(fault, now)
    return script


def meet(script: Script, *, is_stream: bool = False, now: float = 0.0, **where: str) -> str | None:
    """The kind of the fault that one request meets and spends."""
    line = script.meet(**{**HERE, **where}, is_stream=is_stream, now=now)
    if line is None:
        return None
    script.spend(line)
    return line.fault.kind


def test_faults_are_met_in_their_order_and_once_each() -> None:
    script = script_of(Fault("server_error"), Fault("overloaded"))

    assert [meet(script) for _ in range(3)] == ["server_error", "overloaded", None]


def test_same_fault_written_twice_is_met_twice() -> None:
    fault = Fault("server_error")
    script = script_of(fault, fault)

    assert [meet(script) for _ in range(3)] == ["server_error", "server_error", None]


def test_fault_lasts_as_many_times_as_told() -> None:
    script = script_of(Fault("server_error", times=2))

    assert [meet(script) for _ in range(3)] == ["server_error", "server_error", None]


def test_fault_without_times_lasts_until_the_script_is_cleared() -> None:
    script = script_of(Fault("server_error", times=None))

    assert {meet(script) for _ in range(100)} == {"server_error"}
    script.clear()
    assert meet(script) is None


@pytest.mark.parametrize(
    "aim",
    [
        pytest.param({"key": "sk-b"}, id="key"),
        pytest.param({"model": "o3*"}, id="model"),
        pytest.param({"path": "/v1/models*"}, id="path"),
    ],
)
def test_fault_meant_for_another_request_is_left_for_it(aim: dict[str, str]) -> None:
    fault = Fault("server_error", **aim)
    script = script_of(fault)

    assert meet(script) is None
    assert script.pending() == [fault]


def test_model_is_compared_without_case() -> None:
    assert meet(script_of(Fault("server_error", model="GPT-4*")), model="gpt-4O") == "server_error"


def test_pattern_flaps_turn_by_turn() -> None:
    script = script_of(Fault("server_error", times=None, pattern="xx."))

    assert [meet(script) is None for _ in range(6)] == [False, False, True, False, False, True]


def test_fault_lapses_after_its_time() -> None:
    script = script_of(Fault("server_error", times=None, for_s=5.0), now=100.0)

    assert meet(script, now=104.9) == "server_error"
    assert meet(script, now=105.0) is None


def test_fault_of_streams_passes_by_other_requests() -> None:
    script = script_of(Fault("stream_error"))

    assert meet(script) is None
    assert meet(script, is_stream=True) == "stream_error"


def test_fault_that_was_not_spent_waits_for_the_next_request() -> None:
    script = script_of(Fault("truncated"))

    assert script.meet(**HERE, is_stream=False, now=0.0) is not None
    assert meet(script) == "truncated"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"kind": "gremlins"}, id="kind"),
        pytest.param({"kind": "stream_error", "error": "gremlins"}, id="error"),
        pytest.param({"kind": "server_error", "pattern": ""}, id="empty-pattern"),
        pytest.param({"kind": "server_error", "pattern": "xo"}, id="pattern"),
        pytest.param({"kind": "server_error", "tiems": 2}, id="unknown-field"),
    ],
)
def test_wrong_fault_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Fault)
