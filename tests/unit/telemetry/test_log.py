import json
import logging
import os
import warnings

import pytest

from gateway.core.ids import Secret
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.events import AttemptRecord, CallEnd, Event
from gateway.telemetry.log import LogOutput, configure, get_logger
from tests.unit.telemetry.records import record

KEY = "sk-proj-abcdefghijklmnop"


class Lines:
    """What was logged, parsed."""

    def __init__(self, path, output: LogOutput) -> None:
        self.path = path
        self.output = output

    def read(self) -> list[dict]:
        assert self.output.flush(5.0)
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


@pytest.fixture
def lines_at(tmp_path):
    opened = []

    def start(level: str, worker: str = "") -> Lines:
        path = tmp_path / "log"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        output = configure(level=level, fd=fd, worker=worker)
        opened.append((output, fd))
        return Lines(path, output)

    yield start
    for output, fd in opened:
        output.close()
        os.close(fd)


def test_an_event_is_one_json_line_with_its_fields(lines_at):
    lines = lines_at("info", worker="2")

    get_logger().warning(Event.ACCOUNT_COOLED, account_id="a-1", reason=OutcomeKind.RATE_LIMITED, rest_s=1.5)

    (line,) = lines.read()
    at = line.pop("at")
    assert at.endswith("Z")
    assert line == {
        "event": "account.cooled", "level": "warning", "account_id": "a-1", "reason": "rate_limited", "rest_s": 1.5,
        "worker": "2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", ["debug", "info", "warning"]), ("info", ["info", "warning"]), ("warning", ["warning"]), ("error", [])],
)
def test_level_decides_what_is_written(lines_at, level, written):
    lines = lines_at(level)
    log = get_logger()

    log.debug(Event.ATTEMPT_FINISHED, status=200)
    log.info(Event.SNAPSHOT_REPLACED, version=1)
    log.warning(Event.LISTENER_LOST, error="OSError")

    assert [line["level"] for line in lines.read()] == written


def test_fields_that_the_event_does_not_declare_are_left_out_and_named(lines_at):
    lines = lines_at("info")

    get_logger().info(Event.WORKER_STARTED, pid=1, body="a prompt", **{KEY: 1})

    (line,) = lines.read()
    assert line["pid"] == 1
    assert line["undeclared"] == ["body", "***"]
    assert "a prompt" not in json.dumps(line)


def test_secrets_in_declared_fields_are_hidden(lines_at):
    lines = lines_at("info")

    get_logger().error(Event.TASK_CRASHED, task=Secret("abc"), error=f"ValueError: {KEY}")

    (line,) = lines.read()
    assert line["task"] == "***"
    assert line["error"] == "ValueError: ***"


def test_tracebacks_are_whole_and_without_secrets(lines_at):
    lines = lines_at("info")

    try:
        int(f"rejected Bearer {KEY}")
    except ValueError:
        get_logger().exception(Event.CALL_CRASHED, call_id="c-1")

    (line,) = lines.read()
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert "invalid literal for int() with base 10: 'rejected Bearer ***'" in line["exception"]
    assert KEY not in json.dumps(line)


def test_finished_call_is_one_wide_line(lines_at):
    lines = lines_at("info")

    lines.output.call_finished(record(input_tokens=3, client_key_id="k-1"))

    (line,) = lines.read()
    assert list(line)[:3] == ["event", "level", "at"]
    assert line["event"] == "call.finished"
    assert line["at"] == "2026-11-21T00:00:00Z"
    assert line["outcome"] == "ok"
    assert line["input_tokens"] == 3
    assert line["trail"] == [
        {"account_id": "account-1", "provider": "openai", "outcome": "ok", "status": 200, "total_s": 0.19, "code": None}
    ]


def test_a_key_sent_as_model_or_code_does_not_reach_the_log(lines_at):
    lines = lines_at("info")
    failed = AttemptRecord("a", "openai", OutcomeKind.CREDENTIAL_REJECTED, 401, 0.1, f"bad {KEY}")

    for _ in range(2):
        lines.output.call_finished(record(model=KEY, code=f"no {KEY}", outcome=CallEnd.REFUSED, trail=(failed,)))
    lines.output.call_finished(record(trail=(failed,)))

    found = lines.read()
    assert len(found) == 3
    assert found[0]["model"] == "***"
    assert found[0]["code"] == "no ***"
    assert found[2]["trail"][0]["code"] == "bad ***"
    assert KEY not in json.dumps(found)


def test_many_different_models_do_not_pile_up_in_memory(lines_at):
    lines = lines_at("info")

    for number in range(10_000):
        lines.output.call_finished(record(model=f"model {number}"))

    assert len(lines.output._harmless_texts) <= 4_097


def test_a_long_trail_is_cut(lines_at):
    lines = lines_at("info")
    attempt = AttemptRecord("a", "openai", OutcomeKind.RATE_LIMITED, 429)

    lines.output.call_finished(record(trail=(attempt,) * 500, attempts=500))

    (line,) = lines.read()
    assert len(line["trail"]) == 20
    assert line["attempts"] == 500


def test_calls_are_not_written_above_info(lines_at):
    lines = lines_at("warning")

    lines.output.call_finished(record())

    assert lines.read() == []


def test_lines_of_libraries_take_the_same_way_from_warning_up(lines_at):
    lines = lines_at("debug")

    logging.getLogger("uvicorn.error").info("listening")
    logging.getLogger("httpcore.http11").debug("send_request_headers Authorization: Bearer abc")
    logging.getLogger("asyncio").error("Task %s got %s", "t", KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)

    error, warning = lines.read()
    assert (error["event"], error["level"], error["logger"]) == ("library.logged", "error", "asyncio")
    assert error["message"] == "Task t got ***"
    assert warning["logger"] == "py.warnings"
    assert "deprecated" in warning["message"]


def test_our_own_modules_may_use_logging_too(lines_at):
    lines = lines_at("info")

    logging.getLogger("gateway.somewhere").info("noted")

    (line,) = lines.read()
    assert line["message"] == "noted"


def test_a_broken_format_of_a_library_harms_nobody(lines_at, capsys):
    lines = lines_at("info")

    logging.getLogger("uvicorn").warning("%d", "no number")

    assert lines.read() == []
    assert "Logging error" in capsys.readouterr().err
