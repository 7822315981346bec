import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import ModelName
from gateway.wire.places import models_at, renamed_at

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
