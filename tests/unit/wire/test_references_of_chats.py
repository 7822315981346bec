"""Chats of callers with ids of their own: what servers may read differently hides no id."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Call
from gateway.core.errors import InvalidCall
from gateway.core.ids import CallId, ModelName
from gateway.wire.endpoints import find
from gateway.wire.references import _CHAT_NEEDLE, may_refer, references_of

CHAT = find("POST", "/chat/completions")
assert CHAT is not None
FILE = b'[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]'
TEXT = b'[{"role":"user","content":"hi"}]'


def call(owner: str | None = "ann", model: str = "gpt-4") -> Call:
    return Call(id=CallId("c"), endpoint=CHAT, path="/chat/completions", model=ModelName(model), owner=owner)


def looked_into(body: bytes, owner: str | None = "ann") -> bool:
    fields = msgspec.json.decode(body)
    return may_refer(call(owner, fields.get("model", "gpt-4")), fields, body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"messages":' + FILE + b',"messages":' + TEXT + b"}", id="first-messages"),
        pytest.param(
            b'{"messages":' + FILE.replace(b"file_id", b"f\\u0069le_id") + b',"mess\\u0061ges":' + TEXT + b"}",
            id="escapes",
        ),
        pytest.param(
            b'{"messages":[{"role":"user","content":[{"file":{"file_id":"file-1"}}],"content":"hi"}]}',
            id="first-content",
        ),
        pytest.param(b'{"audio":{"voice":{"id":"voice_1"}},"audio":null,"messages":' + TEXT + b"}", id="first-voice"),
        pytest.param(
            b'{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}],"messages":' + TEXT + b"}", id="first-reply"
        ),
        pytest.param(b'{"model":"ft:gpt-4:o::1","model":"gpt-4","messages":' + TEXT + b"}", id="first-model"),
        pytest.param(b'{"model":"ft\\u003Agpt-4","model":"gpt-4","messages":' + TEXT + b"}", id="first-model-escaped"),
    ],
)
def test_a_chat_that_names_an_object_where_only_some_servers_look_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidCall) as refused:
        looked_into(body)

    assert refused.value.code == "duplicate_member"
    assert not looked_into(body, owner=None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"messages":[],"messages":' + TEXT + b"}", id="no-ids"),
        pytest.param(b'{"temperature":1,"temperature":2,"messages":' + TEXT + b"}", id="another-member"),
        pytest.param(
            b'{"tools":[{"function":{"parameters":{"properties":{"file_id":{},"audio":{}}}}}],"messages":'
            + TEXT
            + b"}",
            id="names-of-a-tool",
        ),
        pytest.param(b'{"messages":[{"role":"user","content":"\\"file_id\\""}],"messages":' + TEXT + b"}", id="a-text"),
        pytest.param(b'{"store":false,"messages":[{"role":"user","content":"\\u0041"}]}', id="an-escape"),
    ],
)
def test_what_hides_nothing_passes_as_a_usual_chat(body: bytes) -> None:
    assert not looked_into(body)


PART = st.sampled_from([
    {"type": "text", "text": "audio"}, {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "file", "file": {"file_data": "x"}}, {"type": "image_file", "file_id": "file-2"}, 7,
])  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=5) | st.lists(PART, max_size=3)},
    optional={"audio": st.sampled_from([None, {"id": "audio_1"}])},
)
CHATS = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=3), "model": st.sampled_from(["gpt-4", "ft:gpt-4:o::1"])},
    optional={"store": st.booleans(), "audio": st.sampled_from([None, {"voice": {"id": "voice_1"}}])},
)


@given(CHATS)
def test_no_chat_is_passed_over_that_names_something(fields: dict[str, object]) -> None:
    body = msgspec.json.encode(fields)

    named = references_of(call(model=str(fields["model"])), fields, body=body)

    if named.others or named.keeps_chats:
        assert looked_into(body)


@given(
    st.sampled_from([("file_id", '"'), ("audio", '"'), ("store", '": true'), ("ft:x", '"')]),
    st.sets(st.integers(min_value=0, max_value=6)),
    st.booleans(),
)
def test_an_escape_hides_no_name(name: tuple[str, str], escaped: set[int], is_upper: bool) -> None:
    letters, end = name
    form = "\\u{:04X}" if is_upper else "\\u{:04x}"
    written = "".join(form.format(ord(one)) if place in escaped else one for place, one in enumerate(letters))

    assert _CHAT_NEEDLE.search(f'{{"{written}{end}'.encode())
