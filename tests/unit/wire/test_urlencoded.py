from itertools import pairwise
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import ModelName
from gateway.wire.multipart import MAX_KEPT_BYTES, MAX_PARTS, MAX_VALUE_BYTES, model_edits
from gateway.wire.urlencoded import UrlencodedReader, is_urlencoded


def read(body: bytes, cuts: list[int] | None = None):
    reader = UrlencodedReader()
    edges = sorted({0, len(body), *[cut % (len(body) + 1) for cut in cuts or []]})
    for start, end in pairwise(edges):
        reader.feed(body[start:end])
    return reader.form


def fields(body: bytes, cuts: list[int] | None = None) -> list[tuple[str, bytes | None]] | None:
    form = read(body, cuts)
    return None if form is None else [(part.name, part.value) for part in form.parts]


def renamed(body: bytes, model: str) -> bytes:
    form = read(body)
    assert form is not None
    for edit in reversed(model_edits(form, ModelName(model))):
        body = body[: edit.start] + edit.new + body[edit.end :]
    return body


def test_fields_and_where_they_stand() -> None:
    body = b"mod%65l=a+b%2Fc&x&=y&file[0]=%ff&model="

    assert fields(body) == [("model", b"a b/c"), ("x", b""), ("file[0]", b"\xff"), ("model", b"")]
    form = read(body)
    assert form is not None
    assert [body[part.start : part.end] for part in form.parts] == [b"a+b%2Fc", b"", b"%ff", b""]


@pytest.mark.parametrize(
    "body", [b"", b"  \r\n", b'{"model": "a"}', b' \n{"model":"a&b=c"}', b"[1]", b'\xef\xbb\xbf{"model": "a"}']
)
def test_what_is_no_form(body: bytes) -> None:
    assert read(body) is None
    assert read(body, list(range(len(body)))) is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(texts.filter(bool), texts), min_size=1), st.lists(st.integers(0, 500), max_size=8))
def test_what_a_program_writes_is_read_however_it_is_cut(pairs: list[tuple[str, str]], cuts: list[int]) -> None:
    body = urlencode(pairs).encode()

    assert fields(body, cuts) == [(name, value.encode()) for name, value in pairs]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_any_bytes_are_read_alike_however_they_are_cut(body: bytes, cuts: list[int]) -> None:
    assert fields(body, cuts) == fields(body)


def test_a_model_is_replaced_wherever_it_is_written_and_added_where_it_is_not() -> None:
    assert renamed(b"a=%20+&model=x&mod%65l=x&b", "ft:y z") == b"a=%20+&model=ft%3Ay+z&mod%65l=ft%3Ay+z&b"
    assert dict(parse_qsl(renamed(b"a=1", "y").decode())) == {"a": "1", "model": "y"}


def test_what_is_kept_is_bounded() -> None:
    long = b"x" * (MAX_VALUE_BYTES + 1)
    many = b"&".join(b"a=1" for _ in range(MAX_PARTS + 5))
    large = b"&".join(b"a=" + b"y" * 60_000 for _ in range(30))

    assert fields(b"a=" + long + b"&model=m", [100_000]) == [("model", b"m")]
    assert len(fields(many) or []) == MAX_PARTS
    assert sum(len(value or b"") for _, value in fields(large) or []) <= MAX_KEPT_BYTES


def test_the_type_is_told_by_its_name() -> None:
    assert is_urlencoded(b"Application/x-www-form-urlencoded; charset=utf-8")
    assert not is_urlencoded(b"application/json")
