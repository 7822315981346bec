import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.core.ids import ModelName
from gateway.wire.endpoints import find
from gateway.wire.envelope import ask_for_usage, form_envelope, read_envelope, replace_model
from gateway.wire.multipart import FormReader
from tests.unit.wire.strategies import KEYS, VALUES, decoded, rendered

CHAT = find("POST", "/chat/completions")
EMBEDDINGS = find("POST", "/embeddings")
NEW = ModelName('gpt-"new"')


def test_facts_of_a_chat_call_are_read():
    body = (
        b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true,'
        b'"stream_options":{"include_usage":true},"user":"u-1","max_tokens":500,"n":2}'
    )

    envelope = read_envelope(body, CHAT)

    assert envelope.model == "gpt-4o"
    assert envelope.is_stream
    assert envelope.asks_usage
    assert envelope.affinity == "u-1"
    assert envelope.estimated_tokens == 1000
    assert envelope.fields["messages"] == [{"role": "user", "content": "hi"}]


def test_facts_that_a_body_does_not_tell_have_plain_values():
    envelope = read_envelope(b" {} ", CHAT)

    assert envelope.model is None
    assert not envelope.is_stream
    assert not envelope.asks_usage
    assert envelope.affinity is None
    assert envelope.estimated_tokens == 1


@pytest.mark.parametrize(
    ("body", "model"),
    [
        pytest.param(b'{"model":null}', None, id="null-is-none"),
        pytest.param(b'{"model":"a","model":"b"}', "b", id="the-last-of-two"),
        pytest.param(b'{"mod\\u0065l":"a"}', "a", id="escaped-key"),
    ],
)
def test_model_is_read_as_the_upstream_will_read_it(body, model):
    assert read_envelope(body, CHAT).model == model


@pytest.mark.parametrize(
    "number", [b"1e400", b"-1E+999", b"9" * 400, b"9" * 5000], ids=["float", "negative", "integer", "long-integer"]
)
def test_numbers_that_no_machine_holds_are_left_to_the_upstream(number):
    body = b'{"model":"a","stream":true,"big":' + number + b',"cut":"\\ud83d","user":"u"}'

    envelope = read_envelope(body, CHAT)

    assert (envelope.model, envelope.is_stream, envelope.affinity) == ("a", True, "u")
    assert number in ask_for_usage(body)


def test_cache_key_goes_before_user():
    body = b'{"user":"u","prompt_cache_key":"k"}'

    assert read_envelope(body, CHAT).affinity == "k"
    assert read_envelope(b'{"user":7}', CHAT).affinity is None


@pytest.mark.parametrize(
    ("body", "is_stream"),
    [
        pytest.param(b'{"stream":true}', True, id="true"),
        pytest.param(b'{"stream":false}', False, id="false"),
        pytest.param(b'{"stream":null}', False, id="null"),
    ],
)
def test_stream_is_read_from_a_boolean(body, is_stream):
    assert read_envelope(body, CHAT).is_stream is is_stream


def test_an_endpoint_without_events_is_never_read_as_a_stream():
    assert not read_envelope(b'{"stream":true}', EMBEDDINGS).is_stream


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "no body", id="empty"),
        pytest.param(b" \n", "no body", id="blank"),
        pytest.param(b'{"model": "gpt-4o",}', "trailing comma in object (byte 19)", id="trailing-comma"),
        pytest.param(b'{"model": "gpt', "input data was truncated", id="truncated"),
        pytest.param(b'{"temperature": NaN}', "invalid character (byte 16)", id="nan"),
        pytest.param(b'{"seed": 1e999, "a": NaN}', "the number NaN", id="nan-beside-a-great-number"),
        pytest.param(b'{"seed": 1e999, "a"}', "expecting ':' delimiter", id="wrong-beside-a-great-number"),
        pytest.param(b'{"seed": 1e999, "user":"\xff"}', "UTF-8", id="not-utf-8-beside-a-great-number"),
        pytest.param(b'\xef\xbb\xbf{"model":"a"}', "byte order mark", id="byte-order-mark"),
        pytest.param(b'{"user":"\xff"}', "UTF-8", id="not-utf-8"),
        pytest.param(b'{"a":"\\ud83d", nonsense}', "not valid JSON", id="wrong-beside-half-a-pair"),
        pytest.param(b"[]", "an array", id="array"),
        pytest.param(b'"text"', "a string", id="string"),
        pytest.param(b"null", "null", id="null"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep-array"),
        pytest.param(b'{"a":' * 100_000, "nested too deeply", id="deep-object"),
        pytest.param(b"model=gpt-4o&stream=true", "invalid character (byte 0)", id="a-form"),
    ],
)
def test_what_is_no_json_object_is_refused_with_the_reason(body, words):
    with pytest.raises(InvalidCall) as caught:
        read_envelope(body, CHAT)

    assert words in caught.value.message
    assert caught.value.status == 400
    assert caught.value.code == "invalid_json"
    assert len(caught.value.message) < 150


@pytest.mark.parametrize(
    ("body", "param", "code", "words"),
    [
        pytest.param(b'{"model":5}', "model", "invalid_type", "got an integer", id="model-number"),
        pytest.param(b'{"model":["a"]}', "model", "invalid_type", "got an array", id="model-array"),
        pytest.param(b'{"model":" "}', "model", "missing_required_parameter", "must provide", id="model-blank"),
        pytest.param(b'{"stream":"true"}', "stream", "invalid_type", "got a string", id="stream-text"),
        pytest.param(b'{"stream":1}', "stream", "invalid_type", "got an integer", id="stream-number"),
    ],
)
def test_wrong_types_name_the_parameter(body, param, code, words):
    with pytest.raises(InvalidCall) as caught:
        read_envelope(body, CHAT)

    assert (caught.value.param, caught.value.code) == (param, code)
    assert words in caught.value.message


def test_half_a_surrogate_pair_is_the_upstreams_to_judge():
    envelope = read_envelope(b'{"model":"a","user":"\\ud83d","messages":[]}', CHAT)

    assert envelope.model == "a"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"model":"a"}', b'{"model":"b"}', id="alone"),
        pytest.param(b'{ "model" :\n"a" , "n":1.0}', b'{ "model" :\n"b" , "n":1.0}', id="spaces-stay"),
        pytest.param(b'{"m":[{"model":"a"}],"model":"a"}', b'{"m":[{"model":"a"}],"model":"b"}', id="not-the-nested"),
        pytest.param(b'{"model":"a","x":"model"}', b'{"model":"b","x":"model"}', id="not-the-text"),
        pytest.param(b'{"x":"\\"model\\":","model":"a"}', b'{"x":"\\"model\\":","model":"b"}', id="not-inside-a-text"),
        pytest.param(b'{"model":"a","model":"a"}', b'{"model":"b","model":"b"}', id="every-duplicate"),
        pytest.param(b'{"\\u006dodel":"a"}', b'{"\\u006dodel":"b"}', id="escaped-key"),
        pytest.param(
            b'{"t":{"model":1},"\\u006dodel":"a"}', b'{"t":{"model":1},"\\u006dodel":"b"}', id="escaped-beside-nested"
        ),
        pytest.param(b'{"model":"a\\"}"}', b'{"model":"b"}', id="quotes-in-the-old-one"),
        pytest.param(b'{"model":1,"model":"a"}', b'{"model":"b","model":"b"}', id="duplicate-of-another-type"),
        pytest.param(
            b'{"x":123456789012345678901234567890,"model":"a","y":1e5}',
            b'{"x":123456789012345678901234567890,"model":"b","y":1e5}',
            id="numbers-stay-as-written",
        ),
    ],
)
def test_only_the_models_value_changes(body, expected):
    assert replace_model(body, read_envelope(body, CHAT).model, ModelName("b")) == expected


def test_a_model_that_is_there_already_changes_nothing():
    body = b'{"model": "gpt-4o", "messages": []}'

    assert replace_model(body, ModelName("gpt-4o"), ModelName("gpt-4o")) is body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"{}", b'{"model":"b"}', id="empty-object"),
        pytest.param(b'{"a":1} ', b'{"a":1,"model":"b"} ', id="at-the-end"),
        pytest.param(b'{"model":null}', b'{"model":"b"}', id="in-the-place-of-null"),
        pytest.param(b'{"x":{"model":"a"}}', b'{"x":{"model":"a"},"model":"b"}', id="beside-a-nested-one"),
    ],
)
def test_a_missing_model_is_added(body, expected):
    assert replace_model(body, None, ModelName("b")) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"a":1 }', b'{"a":1 ,"stream_options":{"include_usage":true}}', id="added"),
        pytest.param(b'{"stream_options":null}', b'{"stream_options":{"include_usage":true}}', id="null-is-replaced"),
        pytest.param(
            b'{"stream_options": {"include_obfuscation":false} }',
            b'{"stream_options": {"include_obfuscation":false,"include_usage":true} }',
            id="a-member-more",
        ),
        pytest.param(
            b'{"stream_options":{"include_usage" : false}}',
            b'{"stream_options":{"include_usage" : true}}',
            id="false-becomes-true",
        ),
        pytest.param(b'{"stream_options":{ }}', b'{"stream_options":{ "include_usage":true}}', id="empty-options"),
        pytest.param(b'{"stream_options":"x"}', b'{"stream_options":"x"}', id="no-object-is-left-to-the-upstream"),
        pytest.param(
            b'{"t":{"stream_options":null}}',
            b'{"t":{"stream_options":null},"stream_options":{"include_usage":true}}',
            id="not-the-nested",
        ),
        pytest.param(
            b'{"stream\\u005foptions":{"a":"}"}}',
            b'{"stream\\u005foptions":{"a":"}","include_usage":true}}',
            id="escaped-key",
        ),
        pytest.param(
            b'{"stream_options":{},"stream_options":null}',
            b'{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}',
            id="every-duplicate",
        ),
    ],
)
def test_usage_is_asked_for_beside_all_that_was_said(body, expected):
    assert ask_for_usage(body) == expected


@st.composite
def bodies(draw: st.DrawFn, marked: str) -> tuple[bytes, bytes, object]:
    """An object, the same with another value for each member `marked`, and what the second one decodes to."""
    pairs = draw(st.lists(st.tuples(KEYS, VALUES), max_size=5))
    before = after = ""
    for key, value in pairs:
        lead = draw(st.sampled_from(["", " ", "\n\t"])) + draw(rendered(key)) + draw(st.sampled_from([":", " : "]))
        text = draw(rendered(value))
        before += ("," if before else "") + lead + text
        after += ("," if after else "") + lead + (json.dumps(NEW) if key == marked else text)
    expected = {key: NEW if key == marked else decoded(value) for key, value in pairs}
    return f"{{{before}}}".encode(), f"{{{after}}}".encode(), expected


@given(bodies(marked="model"))
def test_any_body_keeps_all_bytes_but_the_models(case):
    body, expected_body, expected = case
    old = json.loads(body).get("model")

    changed = replace_model(body, ModelName(old) if isinstance(old, str) else None, NEW)

    if "model" in expected:
        assert changed == expected_body
        assert json.loads(changed) == expected
    else:
        assert changed.startswith(body[:-1])
        assert json.loads(changed) == expected | {"model": NEW}


@given(bodies(marked="none"))
def test_any_body_asks_for_usage_and_says_the_rest_as_before(case):
    body, _, expected = case

    changed = json.loads(ask_for_usage(body))

    options = changed.pop("stream_options")
    before = expected.pop("stream_options", None)
    assert changed == expected
    if before is None:
        assert options == {"include_usage": True}
    elif isinstance(before, dict):
        assert options == before | {"include_usage": True}
    else:
        assert options == before


@pytest.mark.parametrize(
    ("fields", "is_acting"),
    [
        pytest.param({}, False, id="plain"),
        pytest.param({"background": True}, True, id="background"),
        pytest.param({"background": False, "conversation": None}, False, id="foreground"),
        pytest.param({"conversation": "conv_1"}, True, id="conversation"),
        pytest.param({"tools": [{"type": "function"}, {"type": "web_search"}]}, False, id="harmless-tools"),
        pytest.param({"tools": [{"type": "function"}, {"type": "mcp"}]}, True, id="acting-tool"),
        pytest.param({"tools": [{"type": []}, "mcp", None]}, False, id="odd-tools"),
        pytest.param({"tools": "mcp"}, False, id="no-tools"),
    ],
)
def test_a_response_that_does_more_than_answer_is_known(fields, is_acting):
    body = json.dumps({"model": "gpt-4", "input": "hi", **fields}).encode()

    assert read_envelope(body, find("POST", "/responses")).is_acting is is_acting
    assert not read_envelope(body, find("POST", "/images/generations")).is_acting


# -- forms, and bodies that may be missing -----------------------------------------------------------------------


def form(*fields):
    reader = FormReader(b"X")
    for name, value in fields:
        head = f'Content-Disposition: form-data; name="{name}"' + ("" if value is not None else '; filename="f"')
        reader.feed(b"--X\r\n" + head.encode() + b"\r\n\r\n" + (value or "data").encode() + b"\r\n")
    reader.feed(b"--X--\r\n")
    return reader.form


TRANSCRIPTIONS = find("POST", "/audio/transcriptions")
FILES = find("POST", "/files")


def test_a_form_says_what_a_body_says():
    envelope = form_envelope(
        form(("file", None), ("include[]", "a"), ("model", "whisper-1"), ("stream", "true"), ("include[]", "b")),
        TRANSCRIPTIONS,
    )

    assert (envelope.model, envelope.is_stream) == ("whisper-1", True)
    assert envelope.fields == {"include[]": ["a", "b"], "model": "whisper-1", "stream": "true"}


@pytest.mark.parametrize(
    ("text", "is_stream"), [("true", True), ("True", True), ("1", True), ("false", False), ("", False)]
)
def test_a_form_streams_where_it_says_so(text, is_stream):
    assert form_envelope(form(("model", "m"), ("stream", text)), TRANSCRIPTIONS).is_stream is is_stream
    assert not form_envelope(form(("stream", text)), FILES).is_stream


def test_a_model_without_a_name_is_refused_where_one_is_needed():
    with pytest.raises(InvalidCall):
        form_envelope(form(("model", " ")), TRANSCRIPTIONS)
    assert form_envelope(form(("model", " ")), FILES).model is None


def test_no_body_is_needed_where_no_model_is():
    assert read_envelope(b"", find("POST", "/conversations")).model is None
    with pytest.raises(InvalidCall):
        read_envelope(b"", find("POST", "/chat/completions"))


def test_endpoints_without_a_model_or_streams_may_have_members_of_these_names():
    envelope = read_envelope(b'{"model":{"a":1},"stream":"x"}', find("POST", "/conversations"))

    assert (envelope.model, envelope.is_stream) == (None, False)


def test_speech_streams_by_a_name_of_its_own():
    speech = find("POST", "/audio/speech")

    assert read_envelope(b'{"model":"m","stream_format":"sse"}', speech).is_stream
    assert not read_envelope(b'{"model":"m","stream_format":"audio"}', speech).is_stream
