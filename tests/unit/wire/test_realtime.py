import msgspec
import pytest

from gateway.core.call import Usage
from gateway.core.hints import Quota, RateLimits
from gateway.wire.realtime import Note, added, error_of_close, read_note


def event(type_: str, **fields: object) -> str:
    return msgspec.json.encode({"event_id": "event_1", "type": type_, **fields}).decode()


def test_usage_is_read_where_a_response_ended():
    note = read_note(event("response.done", response={"usage": {"input_tokens": 7, "output_tokens": 3}}))

    assert note == Note(usage=Usage(input_tokens=7, output_tokens=3), is_response=True)


def test_a_response_that_failed_says_why():
    details = {"type": "failed", "error": {"type": "insufficient_quota", "code": "insufficient_quota"}}
    note = read_note(event("response.done", response={"status": "failed", "status_details": details}))

    assert note is not None
    assert note.error is not None
    assert (note.error.code, note.is_response) == ("insufficient_quota", True)


def test_the_transcript_of_what_a_caller_said_is_charged_by_itself():
    usage = {"type": "tokens", "input_tokens": 20, "output_tokens": 4}
    note = read_note(event("conversation.item.input_audio_transcription.completed", transcript="hi", usage=usage))

    assert note == Note(usage=Usage(input_tokens=20, output_tokens=4))


def test_limits_are_read_by_name():
    told = [
        {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 60},
        {"name": "tokens", "limit": 50_000, "remaining": 49_950, "reset_seconds": 0.5},
        {"name": "sunshine", "limit": 1, "remaining": 0, "reset_seconds": 1},
    ]

    assert read_note(event("rate_limits.updated", rate_limits=told)) == Note(
        limits=RateLimits(Quota(1000, 999, 60.0), Quota(50_000, 49_950, 0.5))
    )


@pytest.mark.parametrize(
    "told",
    [
        None,
        5,
        [],
        [None],
        [{"name": "tokens"}],
        [{"name": "tokens", "limit": -1, "remaining": "x", "reset_seconds": -1}],
    ],
)
def test_limits_that_nobody_can_read_are_none(told):
    assert read_note(event("rate_limits.updated", rate_limits=told)) == Note(limits=None)


def test_an_error_is_read():
    note = read_note(event("error", error={"type": "invalid_request_error", "code": "x", "message": "no"}))

    assert note is not None
    assert note.error is not None
    assert (note.error.type, note.error.code, note.error.message) == ("invalid_request_error", "x", "no")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("response.done", id="no-json"),
        pytest.param('{"type":"response.done"', id="cut"),
        pytest.param('["response.done"]', id="no-object"),
        pytest.param(event("response.output_audio.delta", delta="AAAA"), id="sound"),
        pytest.param(event("response.output_text.delta", delta='"response.done"'), id="the-word-in-a-text"),
        pytest.param('{"type":{"a":"error"},"error":1}', id="type-of-another-type"),
        pytest.param('{"type":"error","error":"' + "[" * 200_000 + '"', id="hostile"),
        pytest.param('{"type":"\ud800","x":"error"}', id="no-unicode"),
    ],
)
def test_other_texts_tell_nothing(text):
    assert read_note(text) is None


@pytest.mark.parametrize(
    "response", [None, 5, [], {}, {"usage": 5, "status_details": 7}, {"status_details": {"error": 1}}]
)
def test_a_response_that_nobody_can_read_still_counts(response):
    assert read_note(event("response.done", response=response)) == Note(is_response=True)


def test_usages_are_summed_field_by_field():
    one = Usage(input_tokens=1, output_tokens=2, cached_tokens=3, seconds=0.5)

    assert added(None, None) is None
    assert added(one, None) == added(None, one) == one
    assert added(one, one) == Usage(input_tokens=2, output_tokens=4, cached_tokens=6, seconds=1.0)


@pytest.mark.parametrize(
    ("reason", "type_", "code"),
    [
        pytest.param("invalid_request_error.model_not_found", "invalid_request_error", "model_not_found", id="openai"),
        pytest.param("insufficient_quota", None, "insufficient_quota", id="code-alone"),
        pytest.param("Something went wrong.", None, None, id="words"),
        pytest.param("", None, None, id="nothing"),
    ],
)
def test_why_a_session_was_closed(reason, type_, code):
    error = error_of_close(reason)

    assert (error.type, error.code, error.message) == (type_, code, reason)
