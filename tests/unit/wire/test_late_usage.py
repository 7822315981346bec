import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Usage
from gateway.wire.late_usage import LateObject, LinesUsage, read_late_object

USED = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3, "total_tokens": 8}


def response(**fields: object) -> dict[str, object]:
    return {"id": "resp_1", "object": "response", "background": True, "status": "completed", "model": "m", **fields}


def batch(**fields: object) -> dict[str, object]:
    return {"id": "batch_1", "object": "batch", "status": "completed", "output_file_id": "file-o", **fields}


RAN = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def run(**fields: object) -> dict[str, object]:
    return {"id": "run_1", "object": "thread.run", "status": "completed", "model": "m", **fields}


def eval_run(**fields: object) -> dict[str, object]:
    return {"id": "evalrun_1", "object": "eval.run", "status": "completed", **fields}


def job(**fields: object) -> dict[str, object]:
    return {"id": "ftjob-1", "object": "fine_tuning.job", "status": "succeeded", **fields}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (response(usage=USED), LateObject("resp_1", True, Usage(5, 3, 2), "m")),
        (response(status="queued", usage=None), LateObject("resp_1", False, None, "m")),
        (response(status="in_progress"), LateObject("resp_1", False, None, "m")),
        (response(status="failed", model=7), LateObject("resp_1", True)),
        (
            {"type": "response.completed", "response": response(usage=USED)},
            LateObject("resp_1", True, Usage(5, 3, 2), "m"),
        ),
        (batch(usage=USED), LateObject("batch_1", True, Usage(5, 3, 2), None, "file-o")),
        (batch(usage={"input_tokens": 0, "output_tokens": 0}), LateObject("batch_1", True, None, None, "file-o")),
        (batch(status="in_progress", output_file_id=None), LateObject("batch_1", False)),
        (run(usage=RAN), LateObject("run_1", True, Usage(5, 3), "m")),
        (run(status="requires_action", usage=None), LateObject("run_1", False, None, "m")),
        (run(status="expired", usage="much"), LateObject("run_1", True, None, "m")),
        (eval_run(), LateObject("evalrun_1", True)),
        (eval_run(per_model_usage={"prompt_tokens": 1}), LateObject("evalrun_1", True)),
        (
            eval_run(per_model_usage=[RAN | {"cached_tokens": 2}, 7, RAN]),
            LateObject("evalrun_1", True, Usage(10, 6, 2)),
        ),
        (eval_run(per_model_usage=[RAN | {"cached_tokens": "2"}]), LateObject("evalrun_1", True, Usage(5, 3))),
        (job(trained_tokens=9), LateObject("ftjob-1", True, Usage(trained_tokens=9))),
        (job(trained_tokens=0), LateObject("ftjob-1", True)),
        (job(trained_tokens=True), LateObject("ftjob-1", True)),
        (job(status="running", trained_tokens=None), LateObject("ftjob-1", False)),
        (
            {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"},
            LateObject("msgbatch_1", False),
        ),
        ({"id": "msgbatch_1", "type": "message_batch", "processing_status": "ended"}, LateObject("msgbatch_1", True)),
        ({"id": "msg_1", "type": "message", "usage": USED}, None),
        (response(background=False, usage=USED), None),
        (response(background=None), None),
        (batch(id=None), None),
        ({"id": "file-1", "object": "file"}, None),
        ({"id": "x", "object": ["response"]}, None),
        ([], None),
    ],
)
def test_what_an_object_tells(value: object, expected: LateObject | None) -> None:
    assert read_late_object(json.dumps(value).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"[" * 5000])
def test_what_is_no_json_tells_nothing(body: bytes) -> None:
    assert read_late_object(body) is None


def line(**usage: object) -> bytes:
    return json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": {"usage": usage}}}).encode()


FILE = b"\n".join(
    [
        line(prompt_tokens=3, completion_tokens=4, completion_tokens_details={"reasoning_tokens": 1}),
        line(input_tokens=10, output_tokens=20, input_tokens_details={"cached_tokens": 6}),
        b'{"response":null,"error":{"code":"x"}}',
        b'{"response":{"body":{"usage":null}}}',
        b"no line",
        b"",
        line(prompt_tokens=1, total_tokens=1),
    ]
)


def used(file: bytes, cuts: list[int]) -> Usage | None:
    lines = LinesUsage()
    edges = sorted({0, len(file), *[cut % (len(file) + 1) for cut in cuts]})
    for start, end in pairwise(edges):
        lines.feed(file[start:end])
    lines.finish()
    return lines.usage


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_lines_add_up_however_the_file_is_cut(cuts: list[int]) -> None:
    assert used(FILE, cuts) == Usage(14, 24, 6, 1)


def test_results_of_claudes_batches_add_up() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2}
    lines = LinesUsage()
    for result in ({"type": "succeeded", "message": {"usage": usage}}, {"type": "errored", "error": {}}):
        lines.feed(json.dumps({"custom_id": "a", "result": result}).encode() + b"\n")

    assert lines.usage == Usage(7, 2, 4)


def test_a_file_without_usage_tells_nothing() -> None:
    assert used(b"", []) is None
    assert used(b'{"a":1}\nRIFF\x00\xff', []) is None
