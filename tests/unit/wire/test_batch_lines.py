from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.wire import batch_lines, jsonl
from gateway.wire.batch_lines import BatchLines


def line(**body: object) -> bytes:
    return msgspec.json.encode({"custom_id": "c", "method": "POST", "url": "/v1/responses", "body": body})


FILE = b"\n".join(
    [
        line(model="gpt-4", input="hi"),
        b"",
        line(model="gpt-4o", input=[{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]),
        b"not json",
        line(model="gpt-4", previous_response_id="resp_1"),
        line(model=7),
        b'{"body":[]}',
        line(model="ft:gpt-4:o::1", input='said "file_id"'),
    ]
)


def read(file: bytes, cuts: list[int] | None = None) -> tuple[tuple[str, ...], list[tuple[str, str | None]], int]:
    lines = BatchLines()
    edges = sorted({0, len(file), *[cut % (len(file) + 1) for cut in cuts or []]})
    for start, end in pairwise(edges):
        lines.feed(file[start:end])
    lines.finish()
    return lines.models, [(one.id, one.param) for one in lines.references], lines.lines


WHOLE = (
    ("gpt-4", "gpt-4o", "ft:gpt-4:o::1"),
    [
        ("file-1", "file[1].input[0].content[0].file_id"),
        ("resp_1", "file[3].previous_response_id"),
        ("ft:gpt-4:o::1", "file[6].model"),
    ],
    7,
)


def test_models_and_ids_of_all_lines_are_read() -> None:
    assert read(FILE) == WHOLE
    assert read(FILE + b"\n") == WHOLE
    assert read(FILE.replace(b"\n", b"\r\n")) == WHOLE


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_they_are_the_same_however_the_file_is_cut(cuts: list[int]) -> None:
    assert read(FILE, cuts) == WHOLE


def test_byte_by_byte() -> None:
    assert read(FILE, list(range(len(FILE)))) == WHOLE


def test_an_empty_file_asks_for_nothing() -> None:
    assert read(b"") == ((), [], 0)
    assert read(b"\n\n  \n") == ((), [], 0)


def test_a_line_too_long_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 500)
    file = line(model="gpt-4", input="x" * 1000) + b"\n" + line(model="gpt-4o")

    assert read(file, list(range(0, len(file), 100))) == (("gpt-4o",), [], 2)


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(line(model="m") + b"\n\nnot json", id="no JSON"),
        pytest.param(line(model="m") + b"\n[]", id="no object"),
        pytest.param(line(model="m") + b"\n" + b" " * 600 + line(model="n"), id="too long"),
    ],
)
def test_what_nobody_can_look_into_is_refused_to_owners(file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 500)
    lines = BatchLines()
    lines.feed(file)
    lines.finish()

    lines.check(is_owned=False)
    with pytest.raises(InvalidCall, match="Line 2 of the file") as refused:
        lines.check(is_owned=True)
    assert (refused.value.code, refused.value.param) == ("invalid_batch_file", "file")


def test_more_models_than_can_be_looked_after_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lines, "MAX_MODELS", 2)
    lines = BatchLines()
    for number in range(2):
        lines.feed(line(model=f"m{number}") + b"\n")
    lines.check(is_owned=False)
    for number in range(2, 5):
        lines.feed(line(model=f"m{number}") + b"\n")

    assert len(lines.models) == 3
    with pytest.raises(InvalidCall, match="Divide it"):
        lines.check(is_owned=False)


def test_what_was_looked_up_need_not_be_held() -> None:
    lines = BatchLines()
    lines.feed(line(model="m", previous_response_id="r0") + b"\n" + line(model="m", previous_response_id="r1") + b"\n")
    lines.narrow(lines.references[:1])
    lines.feed(line(model="m", previous_response_id="r2") + b"\n")

    assert [one.id for one in lines.references] == ["r0", "r2"]


def test_half_a_surrogate_and_a_huge_number_hide_nothing() -> None:
    file = b'{"body":{"model":"gpt-4","input":"\\ud800","file_id":"file-1","x":1e999}}'

    assert read(file) == (("gpt-4",), [("file-1", "file[0].file_id")], 1)


def test_an_escaped_name_is_read() -> None:
    file = b'{"body":{"model":"gpt-4","previous\\u005fresponse_id":"resp_1"}}'

    assert [id_ for id_, _ in read(file)[1]] == ["resp_1"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"body": {"previous_response_id": "resp_1", "previous_response_id": null}}',
        b'{"body": {"previous_response_id": "resp_1"}, "body": {"model": "gpt-4"}}',
        b'{"body": {"model": "gpt-5", "model": "gpt-4"}}',
        b'{"body": {"model": "gpt-5"}, "body": {"model": "gpt-4"}}',
        b'{"body": {"model": "gpt-5"}, "body": {}}',
    ],
)
def test_a_line_that_names_two_where_one_stands_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidCall) as refused:
        read(line)

    assert refused.value.code == "duplicate_member"


def test_an_item_that_is_referred_to_is_read() -> None:
    items = [{"type": "item_reference", "id": "msg_1"}, {"id": "rs_1"}]

    assert [id_ for id_, _ in read(line(model="gpt-4", input=items))[1]] == ["rs_1", "msg_1"]
