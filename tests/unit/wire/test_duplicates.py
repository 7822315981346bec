import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.wire.duplicates import Keys

KEYS = Keys({"file_id", "id", "previous_response_id", "type", "model"}, {"metadata"})


@pytest.mark.parametrize(
    "body",
    [
        b'{"file_id": "a", "file_id": "b"}',
        b'{"file_id": "a", "file_id" : null}',
        b'{"input": [{"file_id": "a"}], "input": "x"}',
        b'{"text": {"file_id": "a"}, "text": {}}',
        b'{"type": "x", "type": "item_reference", "id": "a"}',
        b'{"input": [{"type": "x", "type": "y"}], "previous_response_id": "a"}',
        b'{"x": [[{"id": 1}], {"type": 1, "type": 2}]}',
        b'{"model": "ft:a", "model": "b"}',
        b'{"session": {"model": "a"}, "session": {"model": "b"}}',
        b'{"f\\u0069le_id": "a", "file_id": "b"}',
        b'{"file_id": "a", "f\\u0069le_id": "b", "x": {"file_id": "c"}}',
        b'{"x": {"f\\u0069le_id": "a"}, "y": {"file_id": "a", "file_id": "b"}}',
    ],
)
def test_one_name_twice_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidCall) as refused:
        KEYS.check(body)

    assert refused.value.code == "duplicate_member"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"a": 1, "a": 2}',
        b'{"\\u0061": 1, "a": 2, "file_id": "a"}',
        b'{"metadata": {"file_id": "a"}, "metadata": {}, "id": "a"}',
        b'{"metadata": {"id": "a", "id": "b"}, "file_id": "a"}',
        b'{"model": "a", "tools": [{"type": "function", "type": "function"}]}',
        b'{"text": {"type": "x"}, "text": {"type": "y"}}',
        b'{"file_id": "a", "input": [{"file_id": "a"}, {"file_id": "a"}]}',
        b'{"input": "\\"file_id\\": \\"x\\", \\"file_id\\": 1"}',
        b'{"input": "file_id", "file_id": ":"}',
        b'{"f\\u0069le_id": "a", "y": {"file_id": "b"}}',
        b'{"metadata": {"properties": {"file_id": {"id": "x"}}}}',
    ],
)
def test_what_stands_once_passes(body: bytes) -> None:
    KEYS.check(body)


VALUES = st.recursive(
    st.none() | st.text(max_size=12) | st.sampled_from(['"file_id":', "\\", "\\u0069"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["file_id", "id", "x", '"id', "i\\"]), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["file_id", "input"]), VALUES))
def test_no_body_that_an_encoder_wrote_is_refused(value: dict[str, object]) -> None:
    KEYS.check(msgspec.json.encode(value))


def test_numbers_and_texts_that_a_stricter_decoder_refuses_hide_nothing() -> None:
    body = b'{"seed": ' + b"1" * 5_000 + b', "input": "\\ud800", "file_id": "a", "file_id": "b"}'

    with pytest.raises(InvalidCall):
        KEYS.check(body)


def test_what_is_too_deep_to_be_looked_at_is_refused() -> None:
    with pytest.raises(InvalidCall) as refused:
        KEYS.check(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    assert refused.value.code == "invalid_json"


def test_what_is_no_json_is_the_decoders_to_judge() -> None:
    KEYS.check(b"{")
    KEYS.check(b'{"id": 1, "id": 2')
