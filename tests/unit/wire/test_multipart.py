import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.core.ids import ModelName
from gateway.wire.multipart import (
    MAX_HEAD_BYTES,
    MAX_KEPT_BYTES,
    MAX_PARTS,
    MAX_VALUE_BYTES,
    FormReader,
    check_clear,
    model_edits,
    read_boundary,
)


def field(name, value, *, extra="", head=None):
    head = head or f'Content-Disposition: form-data; name="{name}"{extra}'
    return head.encode() + b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode())


def form_of(*parts, boundary="XX", preamble=b"", closing=b"--\r\n"):
    lead = b"--" + boundary.encode()
    body = preamble + lead
    for part in parts:
        body += b"\r\n" + part + b"\r\n" + lead
    return body + closing


def read(body, boundary=b"XX", cuts=()):
    reader = FormReader(boundary)
    places = [0, *sorted(cuts), len(body)]
    for start, end in pairwise(places):
        reader.feed(body[start:end])
    return reader.form


FILE = field(
    "file", b"\x00\r\n--X\r\n--XY\r\n-- XX\r\n\r\nmodel", extra='; filename="a.wav"\r\nContent-Type: audio/wav'
)
BODY = form_of(
    FILE, field("model", "whisper-1"), field("stream", "true"), field("empty", ""), preamble=b"hello\r\n\r\n"
)


def test_small_fields_are_found_behind_a_file():
    form = read(BODY)

    assert form.is_whole
    assert [(part.name, part.is_file, part.value) for part in form.parts] == [
        ("file", True, None),
        ("model", False, b"whisper-1"),
        ("stream", False, b"true"),
        ("empty", False, b""),
    ]
    assert [BODY[part.start : part.end] for part in form.parts[1:]] == [b"whisper-1", b"true", b""]
    assert BODY[form.parts[0].start : form.parts[0].end] == FILE.partition(b"\r\n\r\n")[2]
    assert BODY[form.first_at :].startswith(b"--XX\r\n")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_pieces_of_any_size_say_the_same(size):
    assert read(BODY, cuts=range(size, len(BODY), size)) == read(BODY)


@given(st.integers(0, 2**32))
def test_random_cuts_say_the_same(seed):
    rng = random.Random(seed)
    alphabet = [b"\r\n--XX", b"--XX", b"\r\n", b"--", b"\r", b"a", b" ", b"\r\n\r\n", b'name="model"']
    content = b"".join(rng.choices(alphabet, k=rng.randrange(12)))
    body = form_of(
        field("a", content), FILE, field("model", "m"), closing=rng.choice([b"--", b"--\r\nx", b"", b"\r\n"])
    )
    cuts = sorted(rng.sample(range(len(body)), rng.randrange(min(len(body), 20))))

    assert read(body, cuts=cuts) == read(body)


@given(st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=200), min_size=1))
def test_what_is_written_is_read(values):
    boundary = "b7f0c1d2e3f4a596"
    body = form_of(*[field(name, value) for name, value in values.items()], boundary=boundary)

    assert {part.name: part.value for part in read(body, boundary.encode()).parts} == values


@pytest.mark.parametrize(
    ("head", "name", "is_file"),
    [
        pytest.param("content-disposition:form-data; name=model", "model", False, id="token"),
        pytest.param(
            'Content-Type: text/plain\r\nCONTENT-DISPOSITION: form-data; name="model"', "model", False, id="2"
        ),
        pytest.param('Content-Disposition: form-data; filename="name=x"; name="f"', "f", True, id="filename-first"),
        pytest.param("Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''a", "f", True, id="filename-star"),
        pytest.param('Content-Disposition: form-data; name="a\\"b"', 'a"b', False, id="escaped"),
        pytest.param('Content-Disposition: form-data; name="a%22b"', 'a"b', False, id="as-browsers-escape"),
        pytest.param('Content-Disposition: form-data; name="é"', "é", False, id="utf-8"),
    ],
)
def test_heads_in_their_usual_forms(head, name, is_file):
    part = read(form_of(field("", "v", head=head))).parts[0]

    assert (part.name, part.is_file, part.value) == (name, is_file, None if is_file else b"v")


@pytest.mark.parametrize("head", ["Content-Type: text/plain", 'Content-Disposition: attachment; name="a"', "x"])
def test_a_part_without_a_name_is_passed_over(head):
    form = read(form_of(field("", "v", head=head), field("model", "m")))

    assert [part.name for part in form.parts] == ["model"]


def test_a_part_without_headers_is_one_without_a_name():
    form = read(b"--XX\r\n\r\nbody\r\n--XX\r\n" + field("model", "m") + b"\r\n--XX--")

    assert [part.name for part in form.parts] == ["model"]


def test_an_empty_content_may_share_its_line_end():
    body = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n--XX\r\n' + field("model", "m") + b"\r\n--XX--"

    assert [(part.name, part.value) for part in read(body).parts] == [("a", b""), ("model", b"m")]


def test_blanks_behind_a_delimiter_belong_to_it():
    body = b"--XX \t \r\n" + field("model", "m") + b"\r\n--XX  \r\n" + field("a", "b") + b"\r\n--XX--"

    assert [part.name for part in read(body).parts] == ["model", "a"]


def test_a_boundary_that_begins_another_word_is_content():
    body = form_of(field("a", "x\r\n--XXL\r\ny"), field("model", "m"))

    assert [part.value for part in read(body).parts] == [b"x\r\n--XXL\r\ny", b"m"]


def test_a_form_that_ends_early_keeps_what_was_whole():
    form = read(BODY[: BODY.index(b"true")])

    assert not form.is_whole
    assert [part.name for part in form.parts] == ["file", "model"]


@pytest.mark.parametrize("body", [b"", b"no form", b'{"model":"a"}', b"--X", b"--XX"])
def test_what_is_no_form_has_no_parts(body):
    form = read(body)

    assert (form.parts, form.is_whole, form.first_at) == ((), False, -1)


def test_what_is_held_is_bounded():
    reader = FormReader(b"XX")
    reader.feed(b"--XX\r\n" + field("file", b"", extra='; filename="a"'))
    for _ in range(100):
        reader.feed(b"\r\n--X" * 10_000)
        assert len(reader._held) < 10
    reader.feed(b"\r\n--XX\r\n" + field("long", "x" * (MAX_VALUE_BYTES + 1)))
    reader.feed(b"\r\n--XX\r\n" + field("model", "m") + b"\r\n--XX--")

    assert [(part.name, part.value) for part in reader.form.parts] == [("file", None), ("long", None), ("model", b"m")]


def test_a_head_that_does_not_end_ends_the_reading():
    reader = FormReader(b"XX")
    reader.feed(b"--XX\r\n")
    for _ in range(MAX_HEAD_BYTES // 1000 + 2):
        reader.feed(b"a" * 1000)
    reader.feed(b"\r\n\r\nx\r\n--XX\r\n" + field("model", "m") + b"\r\n--XX--")

    assert reader.form.parts == ()
    assert reader._held == b""


@pytest.mark.parametrize("part", [field("a", ""), field("a", "v" * 60_000), field("n" * 16_000, "")])
def test_many_parts_are_no_burden(part):
    reader = FormReader(b"XX")
    for _ in range(MAX_PARTS + 10 if len(part) < 1000 else 200):
        reader.feed(b"\r\n--XX\r\n" + part)

    kept = sum(len(found.name) + len(found.value or b"") for found in reader.form.parts)
    assert len(reader.form.parts) <= MAX_PARTS
    assert kept <= MAX_KEPT_BYTES + MAX_VALUE_BYTES


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data;charset=utf-8; Boundary="a b;c"', b"a b;c"),
        (b"multipart/form-data;boundary=----WebKitFormBoundary7M", b"----WebKitFormBoundary7M"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=", None),
        (b"multipart/mixed; boundary=abc", None),
        (b"application/json", None),
        (b"", None),
    ],
)
def test_the_boundary_of_a_content_type(content_type, boundary):
    assert read_boundary(content_type) == boundary


def edited(body, edits):
    for edit in sorted(edits, reverse=True):
        body = body[: edit.start] + edit.new + body[edit.end :]
    return body


def test_every_model_field_is_replaced_and_nothing_else():
    body = form_of(field("model", "a"), FILE, field("model", "longer-name"))

    new = edited(body, model_edits(read(body), ModelName("b")))

    assert new == form_of(field("model", "b"), FILE, field("model", "b"))


def test_a_model_is_added_before_the_first_part():
    body = form_of(FILE, preamble=b"hello\r\n")

    new = edited(body, model_edits(read(body), ModelName("b")))

    assert [part.name for part in read(new).parts] == ["model", "file"]
    assert read(new).text("model") == "b"
    assert new.endswith(body[len(b"hello\r\n") :])


def test_what_is_no_form_is_not_edited():
    assert model_edits(read(b"nothing"), ModelName("b")) == ()


def test_of_two_fields_the_last_counts():
    form = read(form_of(field("model", "a"), field("model", "b")))

    assert (form.text("model"), form.text("stream")) == ("b", None)


@pytest.mark.parametrize(
    "body",
    [
        form_of(field("model", "m")),
        form_of(FILE, field("file_ids[]", "a"), field("file_ids[]", "b")),
        form_of(field("image", "x"), field("image", "y"), closing=b"--\r\nepilogue"),
        form_of(field("text", "x" * (MAX_VALUE_BYTES + 1)), field("model", "m")),
    ],
)
def test_a_form_that_all_servers_read_alike_is_clear(body):
    check_clear(read(body))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form_of(field("model", "m"), closing=b""), id="no-end"),
        pytest.param(form_of(field("x", "m", head="Content-Disposition: attachment; name=x")), id="no-form-data"),
        pytest.param(form_of(field("x", "m", extra='; name="file_id"')), id="two-names"),
        pytest.param(form_of(field("x", "y", extra="\r\nX: " + "y" * MAX_HEAD_BYTES), FILE), id="long-head"),
        pytest.param(form_of(*[field("x", "y")] * (MAX_PARTS + 1)), id="many-parts"),
        pytest.param(form_of(FILE, field("purpose", "batch"), FILE), id="two-files"),
        pytest.param(form_of(field("session", '{"x": "' + "y" * MAX_VALUE_BYTES + '"}')), id="long-json"),
        pytest.param(form_of(field("session", " " * MAX_VALUE_BYTES + "{}")), id="json-behind-blanks"),
        pytest.param(form_of(field("model", "o3" + " " * MAX_VALUE_BYTES)), id="long-model"),
        pytest.param(form_of(field("purpose", "batch"), FILE, field("purpose", "vision")), id="two-purposes"),
    ],
)
def test_a_form_that_hides_a_field_is_not(body):
    with pytest.raises(InvalidCall) as refused:
        check_clear(read(body))

    assert refused.value.code == "invalid_multipart"
