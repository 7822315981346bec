"""Messages of responses over a WebSocket, and the events that they become."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import AllRateLimited, InvalidCall
from gateway.wire.response_events import (
    as_event,
    as_message,
    check_type,
    failure_in,
    is_error,
    passed_error,
    read_head,
    read_made,
    read_refusal,
    write_broken,
    write_error_message,
    write_refused,
)
from gateway.wire.sse import EventSplitter, read_event


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_message_is_one_event_and_comes_back_as_it_was(value):
    for raw in (msgspec.json.encode(value), msgspec.json.format(msgspec.json.encode(value), indent=1)):
        event = as_event(raw)

        assert EventSplitter().feed(event) == [event]
        assert msgspec.json.decode(read_event(event).data) == msgspec.json.decode(raw)
        assert as_message(event) == raw.decode()


def test_a_cr_between_tokens_ends_no_event():
    event = as_event(b'{\r\n\r\n"a":\r\r1}')

    assert EventSplitter().feed(event) == [event]
    assert msgspec.json.decode(as_message(event)) == {"a": 1}


def test_comments_are_no_messages():
    assert as_message(b": keep-alive\n\n") is None


@pytest.mark.parametrize("message", [b"", b"[]", b"7", b"\xff", b"{", b"[" * 5000], ids=repr)
def test_what_is_no_object_leads_nowhere(message):
    assert (read_head(message).type, read_head(message).lane) == (None, None)
    assert read_refusal(message) is None
    assert read_made(message).id is None
    assert not is_error(message)


def test_a_lane_is_a_text():
    assert read_head(b'{"type":"x","stream_id":"one"}').lane == "one"
    assert read_head(b'{"type":"x","stream_id":7}').lane is None


def test_the_id_of_a_response_that_begins():
    assert read_made(b'{"type":"response.created","response":{"id":"resp_1"}}').id == "resp_1"
    assert read_made(b'{"type":"response.created","response":{"id":7}}').id is None
    assert read_made(b'{"type":"response.created"}').id is None


def test_an_error_with_a_status_is_a_refusal_as_over_http():
    refusal = read_refusal(
        b'{"type":"error","status":429,"stream_id":"one","error":{"code":"rate_limit_exceeded","message":"no",'
        b'"headers":{"Retry-After":"7","n":1,"x-ratelimit-limit-requests":"10"},"more":[1]}}'
    )

    assert refusal is not None
    assert refusal.status == 429
    assert refusal.headers == ((b"retry-after", b"7"), (b"x-ratelimit-limit-requests", b"10"))
    assert msgspec.json.decode(refusal.body) == {"error": {"code": "rate_limit_exceeded", "message": "no", "more": [1]}}


@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"error","error":{"code":"x"}}',
        b'{"type":"error","status":"429","error":{}}',
        b'{"type":"error","status":true,"error":{}}',
        b'{"type":"error","status":200,"error":{}}',
        b'{"type":"error","status":429,"message":"flat"}',
        b'{"type":"response.failed","status":429,"error":{}}',
    ],
    ids=["no-status", "text", "bool", "success", "flat", "another"],
)
def test_other_messages_are_none(message):
    assert read_refusal(message) is None


def test_our_own_error_as_a_message():
    error = AllRateLimited("Later.", retry_after_s=2.5)

    assert msgspec.json.decode(write_error_message(error, "one")) == {
        "type": "error",
        "status": 429,
        "stream_id": "one",
        "error": {
            "type": "rate_limit_error",
            "code": "rate_limit_exceeded",
            "message": "Later.",
            "param": None,
            "headers": {"retry-after": "3", "retry-after-ms": "2500"},
        },
    }
    assert "stream_id" not in msgspec.json.decode(write_error_message(error, None))


def test_an_upstreams_refusal_keeps_its_words_and_of_its_headers_the_delays():
    body = b'{"error":{"code":"x","message":"no","of_tomorrow":1}}'
    said = msgspec.json.decode(write_refused(429, ((b"retry-after", b"7"), (b"x-y", b"z")), body, None))

    assert said == {
        "type": "error",
        "status": 429,
        "error": {"code": "x", "message": "no", "of_tomorrow": 1, "headers": {"retry-after": "7"}},
    }


@pytest.mark.parametrize(("status", "type_"), [(404, "invalid_request_error"), (502, "server_error")])
def test_a_refusal_that_nobody_can_read_is_told_by_its_status(status, type_):
    said = msgspec.json.decode(write_refused(status, (), b"<html>", None))

    assert (said["status"], said["error"]["type"]) == (status, type_)
    assert str(status) in said["error"]["message"]


@pytest.mark.parametrize(("code", "status"), [("upstream_timeout", 504), ("upstream_error", 502)])
def test_a_broken_stream_ends_with_a_status_too(code, status):
    event = b'event: error\ndata: {"type":"error","code":"%s","error":{"code":"%s"}}\n\n' % ((code.encode(),) * 2)

    said = msgspec.json.decode(write_broken(event, "one"))

    assert (said["status"], said["stream_id"], said["error"]["code"]) == (status, "one", code)


def test_an_upstreams_own_error_passes_without_what_is_the_accounts():
    raw = (
        b'{"type":"error", "error":{"message":"of org-AbCd12345678","headers":{"Retry-After":"1","x-ratelimit-a":"2"}}}'
    )

    said = msgspec.json.decode(passed_error(raw))

    assert said["error"] == {"message": "of org-***", "headers": {"Retry-After": "1"}}
    assert passed_error(b'{"type":"error",  "message":"flat"}') == '{"type":"error",  "message":"flat"}'


def test_a_type_stands_once():
    check_type(b'{"type":"a","x":{"type":"b"}}')
    for message in (b'{"type":"a","type":"b"}', b'{"type":"a","ty\\u0070e":"b"}'):
        with pytest.raises(InvalidCall) as raised:
            check_type(message)
        assert raised.value.code == "duplicate_member"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b'{"type":"error","error":{"message":"a"}}', "a"),
        (b'{"type":"response.failed","response":{"error":{"message":"b"}}}', "b"),
        (b'{"type":"response.failed","response":7}', "The response failed."),
        (b"", "The response failed."),
    ],
)
def test_how_a_response_failed(message, said):
    assert msgspec.json.decode(failure_in(message))["error"]["message"] == said
