import json

import pytest

from gateway.core.errors import UpstreamFailed
from gateway.core.outcome import ErrorBody
from gateway.wire.stream import write_error_event
from tests.fakes.chat_chunks import TEXT, chunk, event, reader


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        pytest.param(
            event({"error": {"message": "m", "type": "server_error", "param": None, "code": "c"}}),
            ErrorBody("m", "server_error", "c", is_readable=True),
            id="canonical",
        ),
        pytest.param(
            b"event: error\n" + event({"message": "m", "type": "t", "code": "c"}),
            ErrorBody("m", "t", "c", is_readable=True),
            id="flat-by-its-name",
        ),
        pytest.param(event({"error": "text"}), ErrorBody("text", is_readable=True), id="bare-text"),
        pytest.param(
            chunk({"content": ""}, "error", error={"message": "m", "code": 502}),
            ErrorBody("m", code="502", is_readable=True),
            id="openrouter-beside-choices",
        ),
        pytest.param(
            event({"object": "error", "message": "m", "code": 400}),
            ErrorBody("m", code="400", is_readable=True),
            id="vllm",
        ),
        pytest.param(
            event({"type": "error", "message": "m"}), ErrorBody("m", "error", is_readable=True), id="by-its-type"
        ),
        pytest.param(event([{"error": {"message": "m"}}]), ErrorBody("m", is_readable=True), id="google-list"),
        pytest.param(b"event: error\ndata: Overloaded\n\n", ErrorBody("Overloaded"), id="no-json"),
        pytest.param(b"event: error\ndata: 5\n\n", ErrorBody(), id="a-number"),
        pytest.param(b"event: error\n" + TEXT, ErrorBody(), id="a-chunk-called-error"),
    ],
)
@pytest.mark.parametrize("before", [pytest.param(b"", id="first"), pytest.param(TEXT, id="after-content")])
def test_an_error_event_ends_the_stream_and_is_not_sent_on(raw, error, before):
    read = reader()

    sent = read.feed(before + raw + TEXT)

    assert sent == before
    assert read.error == error
    assert read.is_over
    assert read.finish() is None


@pytest.mark.parametrize("nothing", [None, "", {}, False])
def test_an_empty_error_is_none(nothing):
    read = reader()
    raw = chunk({"content": "a"}, error=nothing)

    assert read.feed(raw) == raw
    assert read.error is None


def test_a_json_body_in_place_of_a_stream_is_read_as_an_error():
    read = reader()

    assert read.feed(b' {"error":{"message":"m",') == b""
    assert read.feed(b'"code":"c"}}') == b""
    assert read.is_json
    assert read.finish() is None
    assert read.error == ErrorBody("m", code="c", is_readable=True)


def test_our_error_event_is_the_canonical_one():
    assert write_error_event(UpstreamFailed("It broke.")) == (
        b'data: {"error":{"message":"It broke.","type":"server_error","param":null,"code":"upstream_error"}}\n\n'
    )


def test_an_upstreams_error_event_names_no_account():
    error = ErrorBody("Rate limit reached in organization org-AbCdEfGh12345678", code="rate_limit_exceeded")

    raw = write_error_event(error)

    assert b"org-AbCd" not in raw
    assert json.loads(raw[6:])["error"]["code"] == "rate_limit_exceeded"


def test_an_error_without_words_still_says_something():
    error = json.loads(write_error_event(ErrorBody())[6:])["error"]

    assert error["message"]
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
