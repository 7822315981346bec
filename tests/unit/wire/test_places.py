import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.core.ids import ModelName
from gateway.wire.multipart import Form, FormReader
from gateway.wire.places import EACH, Names, form_edits, form_fields, models_at, renamed_at
from gateway.wire.urlencoded import UrlencodedReader

PLACES = (("session", "model"), ("session", "audio", "input", "transcription", "model"))
NAMES = {ModelName("a"): ModelName("upstream-a"), ModelName("b"): ModelName("b-2")}


def body(model: str, transcription: str) -> bytes:
    return msgspec.json.encode(
        {
            "model": "a",
            "session": {
                "type": "realtime",
                "audio": {"output": {"model": "a"}, "input": {"transcription": {"model": transcription}}},
                "model": model,
            },
        }
    )


def test_models_are_read_in_the_order_of_the_places() -> None:
    assert models_at(msgspec.json.decode(body("a", "b")), PLACES) == ("a", "b")
    assert models_at(msgspec.json.decode(body("a", "a")), PLACES) == ("a",)


@pytest.mark.parametrize(
    "fields",
    [{}, {"session": None}, {"session": "a"}, {"session": {"model": 7}}, {"session": {"model": " "}}, {"session": []}],
)
def test_what_names_none_is_no_error(fields: dict[str, object]) -> None:
    assert models_at(fields, PLACES) == ()
    assert renamed_at(msgspec.json.encode(fields), PLACES, NAMES) == msgspec.json.encode(fields)


def test_each_place_goes_under_its_own_name_and_nothing_else_changes() -> None:
    assert renamed_at(body("a", "b"), PLACES, NAMES) == body("upstream-a", "b-2")
    assert renamed_at(body("c", "b"), PLACES, NAMES) == body("c", "b-2")


def test_duplicate_keys_and_escapes_are_places() -> None:
    written = b' {"sess\\u0069on" : {"model":"a"}, "session":{ "model" :"\\u0061","model":null, "model":"b"} }'

    assert renamed_at(written, PLACES, NAMES) == (
        b' {"sess\\u0069on" : {"model":"upstream-a"}, "session":{ "model" :"upstream-a","model":null, "model":"b-2"} }'
    )


values = st.recursive(
    st.none() | st.booleans() | st.text() | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["model", "session", "audio", "input", "transcription", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["session", "model", "x"]), values, max_size=3))
def test_only_texts_at_the_places_change(fields: dict[str, object]) -> None:
    after = msgspec.json.decode(renamed_at(msgspec.json.encode(fields), PLACES, NAMES))

    for place in PLACES:
        holder: object = fields
        for name in place[:-1]:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get("model") in ("a", "b"):
            holder["model"] = NAMES[ModelName(holder["model"])]
    assert after == fields


# -- in forms ----------------------------------------------------------------------------------------------------


def edited(body: bytes, form: Form, names: Names) -> bytes:
    for edit in reversed(form_edits(form, PLACES, names)):
        body = body[: edit.start] + edit.new + body[edit.end :]
    return body


def multipart(*fields: tuple[str, bytes]) -> tuple[bytes, Form]:
    parts = [
        b'--X\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in fields
    ]
    body = b"".join(parts) + b"--X--"
    reader = FormReader(b"X")
    reader.feed(body)
    return body, reader.form


def test_a_forms_field_that_is_json_has_places() -> None:
    session = b'{"type":"realtime", "model":"a","audio":{"input":{"transcription":{"model":"b"}}}}'
    body, form = multipart(("sdp", b'{"model":"a"}'), ("session", session), ("model", b"a"))

    assert models_at(form_fields(form, PLACES), PLACES) == ("a", "b")
    assert edited(body, form, NAMES) == body.replace(
        session, b'{"type":"realtime", "model":"upstream-a","audio":{"input":{"transcription":{"model":"b-2"}}}}'
    )


def test_names_in_brackets_are_places() -> None:
    body, form = multipart(
        ("session[model]", b"a"), ("session[audio][input][transcription][model]", b"b"), ("session[x]", b"a")
    )

    assert models_at(form_fields(form, PLACES), PLACES) == ("a", "b")
    assert edited(body, form, NAMES) == body.replace(b"\r\na\r\n", b"\r\nupstream-a\r\n", 1).replace(
        b"\r\nb\r\n", b"\r\nb-2\r\n"
    )


def test_an_urlencoded_form_has_them_too() -> None:
    body = b"sdp=x&session=%7B%22model%22%3A%22a%22%7D&session[model]=b"
    reader = UrlencodedReader()
    reader.feed(body)
    assert reader.form is not None

    assert edited(body, reader.form, NAMES) == (
        b"sdp=x&session=%7B%22model%22%3A%22upstream-a%22%7D&session[model]=b-2"
    )


@pytest.mark.parametrize("value", [b"", b"v=0", b"null", b'"a"', b"[]", b"\xff", b'{"model":1}', b'{"model":"a"'])
def test_a_field_that_names_none_stays(value: bytes) -> None:
    body, form = multipart(("session", value), ("session[audio]", value), ("[]", value), ("", value))

    assert models_at(form_fields(form, PLACES), PLACES) == ()
    assert edited(body, form, NAMES) == body


def test_two_fields_that_differ_are_refused() -> None:
    _, form = multipart(("session", b'{"model":"a"}'), ("session", b'{"model":"b"}'))

    with pytest.raises(InvalidCall):
        form_fields(form, PLACES)


CALLS = ("requests", EACH, "params", "model")


def test_every_value_of_a_list_is_a_place() -> None:
    written = (
        b'{"requests" : [ {"params":{"model":"a","x":[{"model":"a"}]}} ,{"params": {"model" :"\\u0062"}},\n'
        b'  7, [{"params":{"model":"a"}}], "a", {"params":["a"]}, {"params":{"model":"c"}} ], "model":"a"}'
    )

    assert renamed_at(written, (CALLS,), NAMES) == (
        b'{"requests" : [ {"params":{"model":"upstream-a","x":[{"model":"a"}]}} ,{"params": {"model" :"b-2"}},\n'
        b'  7, [{"params":{"model":"a"}}], "a", {"params":["a"]}, {"params":{"model":"c"}} ], "model":"a"}'
    )


@pytest.mark.parametrize(
    "body", [b'{"requests":[]}', b'{"requests":[ ]}', b'{"requests":{"":{"params":{"model":"a"}}}}']
)
def test_no_list_has_no_values(body: bytes) -> None:
    assert renamed_at(body, (CALLS,), NAMES) == body


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=20))
def test_many_names_are_all_written_anew(models: list[str]) -> None:
    def calls(names: list[str]) -> bytes:
        return msgspec.json.encode({"requests": [{"params": {"model": name}, "custom_id": "1"} for name in names]})

    assert renamed_at(calls(models), (CALLS,), NAMES) == calls([NAMES.get(ModelName(one), one) for one in models])
