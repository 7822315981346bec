from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import ModelName
from gateway.wire import jsonl
from gateway.wire.batch_lines import LineRenamer

NAMES = {ModelName("fast"): ModelName("gpt-4o-mini"), ModelName("a"): ModelName('q"ö')}
FILE = b"\n".join(
    [
        b'{"custom_id": "1", "body": {"model":  "fast" , "input": "model: \\"fast\\"", "n": 1.0}}',
        b"",
        b'{"body":{"input":[{"model":"fast"}],"model":"gpt-4"},"model":"fast"}\r',
        b'not json "model":"fast"',
        b'{"body":{"m\\u006fdel":"\\u0066ast"}}',
        b'{"body":{"model":"fast","x":"\\ud800"}}',
        b'{"body":{"model":"a"}}',
        b'{"body":["fast"]}',
        b'{"model":"fast"}',
        b'{"body":{"model":{"model":"fast"}}}',
    ]
)
RENAMED = b"\n".join(
    [
        b'{"custom_id": "1", "body": {"model":  "gpt-4o-mini" , "input": "model: \\"fast\\"", "n": 1.0}}',
        b"",
        b'{"body":{"input":[{"model":"fast"}],"model":"gpt-4"},"model":"fast"}\r',
        b'not json "model":"fast"',
        b'{"body":{"m\\u006fdel":"gpt-4o-mini"}}',
        b'{"body":{"model":"gpt-4o-mini","x":"\\ud800"}}',
        b'{"body":{"model":' + msgspec.json.encode('q"ö') + b"}}",
        b'{"body":["fast"]}',
        b'{"model":"fast"}',
        b'{"body":{"model":{"model":"fast"}}}',
    ]
)


def renamed(file: bytes, cuts: list[int] | None = None) -> bytes:
    renamer = LineRenamer(NAMES)
    edges = sorted({0, len(file), *[cut % (len(file) + 1) for cut in cuts or []]})
    return b"".join([*(renamer.feed(file[start:end]) for start, end in pairwise(edges)), renamer.finish()])


def test_only_the_models_of_lines_are_changed() -> None:
    assert renamed(FILE) == RENAMED
    assert renamed(FILE + b"\n") == RENAMED + b"\n"
    assert renamed(b"") == b""


def test_of_two_models_in_one_line_both_go_under_the_other_name() -> None:
    assert renamed(b'{"body":{"model":"fast"},"body":{"model":"a","model":"fast"}}') == (
        b'{"body":{"model":"gpt-4o-mini"},"body":{"model":' + msgspec.json.encode('q"ö') + b',"model":"gpt-4o-mini"}}'
    )


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_they_are_the_same_however_the_file_is_cut(cuts: list[int]) -> None:
    assert renamed(FILE, cuts) == RENAMED


def test_byte_by_byte() -> None:
    assert renamed(FILE, list(range(len(FILE)))) == RENAMED


@given(st.binary())
def test_any_bytes_come_back(file: bytes) -> None:
    assert renamed(file) == file


def test_a_line_too_long_goes_on_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    long = b'{"body":{"model":"fast","input":"' + b"x" * 200 + b'"}}'

    assert renamed(long + b"\n" + FILE[:90].partition(b"\n")[0], list(range(0, 300, 30))).startswith(long + b"\n")
    assert renamed(long + b'\n{"body":{"model":"fast"}}') == long + b'\n{"body":{"model":"gpt-4o-mini"}}'
