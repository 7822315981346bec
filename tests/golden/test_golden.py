"""What the gateway makes of the golden bodies (README.md says where they come from)."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.core.call import Endpoint, StreamKind, Usage
from gateway.core.classify import classify
from gateway.core.outcome import ErrorBody, LimitSpan, OutcomeKind
from gateway.wire.endpoints import find
from gateway.wire.errors import read_error
from gateway.wire.openai_anthropic.reader import TranslatedReader
from gateway.wire.openai_anthropic.request import write_request
from gateway.wire.openai_anthropic.response import read_answer, write_error
from gateway.wire.reading import reader_for
from gateway.wire.stream import StreamReader
from gateway.wire.usage import read_event_usage, read_usage

HERE = Path(__file__).parent
MESSAGES = "/messages"


def golden(name: str) -> bytes:
    return (HERE / name).read_bytes()


@pytest.mark.parametrize(
    ("folder", "kind", "path", "usage"),
    [
        pytest.param("openai", "chat", "/chat/completions", Usage(19, 10), id="openai-chat"),
        pytest.param("openai", "completion", "/completions", Usage(5, 7), id="openai-completion"),
        pytest.param("azure", "chat", "/chat/completions", Usage(19, 10), id="azure-chat"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_a_caller_who_did_not_ask_gets_the_plain_stream(folder, kind, path, usage, size):
    asked, plain = golden(f"{folder}/{kind}_asked.sse"), golden(f"{folder}/{kind}_plain.sse")
    reader = StreamReader(find("POST", path), hides_usage=True)

    sent = b"".join(reader.feed(asked[at : at + size]) for at in range(0, len(asked), size))

    assert sent == plain
    assert (reader.usage, reader.left_out) == (usage, 0)
    assert reader.is_done
    assert reader.is_finished


@pytest.mark.parametrize("name", ["openai/chat_asked.sse", "openai/completion_asked.sse", "azure/chat_asked.sse"])
def test_a_caller_who_asked_gets_every_byte(name):
    stream = golden(name)
    reader = StreamReader(find("POST", "/chat/completions"), hides_usage=False)

    assert reader.feed(stream) == stream


TYPED = {
    "openai/response.sse": ("/responses", Usage(37, 11, 32, 4)),
    "openai/image_generation.sse": ("/images/generations", Usage(50, 50, image_input_tokens=40)),
    "openai/image_edit.sse": ("/images/edits", Usage(50, 50, image_input_tokens=40)),
    "openai/speech.sse": ("/audio/speech", Usage(14, 101)),
    "openai/transcription.sse": ("/audio/transcriptions", Usage(14, 31, audio_input_tokens=4)),
    "openai/run.sse": ("/threads/runs", Usage(20, 11)),
    "anthropic/message.sse": (MESSAGES, Usage(1125, 15, 1000, cache_write_tokens=100)),
}


def endpoint_of(path: str) -> Endpoint:
    return find("POST", path) or Endpoint(name="messages", method="POST", path=path, stream=StreamKind.EVENTS)


@pytest.mark.parametrize(("name", "path", "usage"), [(name, *row) for name, row in TYPED.items()], ids=TYPED)
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_a_stream_of_typed_events_goes_on_byte_for_byte_and_has_its_end(name, path, usage, size):
    stream = golden(name)
    reader = reader_for(endpoint_of(path), hides_usage=False)

    sent = b"".join(reader.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert sent == stream
    assert reader.finish() == b""
    assert (reader.usage, reader.error, reader.has_content) == (usage, None, True)


@pytest.mark.parametrize(("name", "path"), [(name, row[0]) for name, row in TYPED.items()], ids=TYPED)
def test_a_stream_of_typed_events_that_is_cut_anywhere_is_never_whole(name, path):
    stream = golden(name)
    last = stream.removesuffix(b"event: done\ndata: [DONE]\n\n").rstrip(b"\n")
    for cut in range(len(last)):
        reader = reader_for(endpoint_of(path), hides_usage=False)
        reader.feed(stream[:cut])
        assert reader.finish() is None


def test_what_fails_in_a_stream_of_typed_events_is_read():
    failed = reader_for(endpoint_of("/responses"), hides_usage=False)
    failed.feed(golden("openai/response_failed.sse"))
    broken = reader_for(endpoint_of("/responses"), hides_usage=False)
    broken.feed(golden("openai/response_error.sse"))

    assert (failed.error.code, failed.has_content) == ("rate_limit_exceeded", False)
    assert (broken.error.code, broken.has_content) == ("server_error", True)
    assert broken.error.message.startswith("The server had an error")


def test_usage_of_a_realtime_response_is_read():
    expected = Usage(132, 121, 64, audio_input_tokens=13, audio_output_tokens=91)

    assert read_event_usage(golden("openai/realtime_response_done.json")) == expected


def test_an_error_in_the_middle_of_a_stream_ends_it():
    reader = StreamReader(find("POST", "/chat/completions"), hides_usage=True)

    sent = reader.feed(golden("openrouter/chat_broken.sse"))

    assert sent.count(b": OPENROUTER PROCESSING\n\n") == 2
    assert sent.count(b"data: ") == 1
    assert reader.error == ErrorBody("Provider disconnected", code="502", is_readable=True)


@pytest.mark.parametrize(
    ("name", "path", "usage"),
    [
        pytest.param("openai/chat.json", "/chat/completions", Usage(19, 10, 8, 3), id="chat"),
        pytest.param("openai/embedding.json", "/embeddings", Usage(8), id="embedding"),
        pytest.param("openai/response.json", "/responses", Usage(37, 11, 32, 4), id="response"),
        pytest.param(
            "openai/images.json",
            "/images/generations",
            Usage(50, 50, image_input_tokens=40, image_output_tokens=50, images=2),
            id="images",
        ),
        pytest.param(
            "openai/transcription.json", "/audio/transcriptions", Usage(14, 31, audio_input_tokens=4), id="transcript"
        ),
        pytest.param(
            "openai/transcription_verbose.json", "/audio/transcriptions", Usage(seconds=9.0), id="verbose-transcript"
        ),
        pytest.param("gemini/chat.json", "/chat/completions", Usage(9, 51, reasoning_tokens=49), id="gemini"),
    ],
)
def test_usage_of_whole_answers_is_read(name, path, usage):
    assert read_usage(golden(name), find("POST", path)) == usage


@pytest.mark.parametrize(
    ("name", "type_", "code", "words"),
    [
        pytest.param("openai/error_rate_limited.json", "tokens", "rate_limit_exceeded", "in 644ms", id="rate-limit"),
        pytest.param("openai/error_quota.json", "insufficient_quota", "insufficient_quota", "quota", id="quota"),
        pytest.param("openai/error_invalid_key.json", "invalid_request_error", "invalid_api_key", "key", id="key"),
        pytest.param("anthropic/error_overloaded.json", "overloaded_error", None, "Overloaded", id="anthropic"),
        pytest.param("gemini/error_exhausted.json", "RESOURCE_EXHAUSTED", "429", "quota", id="gemini"),
        pytest.param("azure/error_gateway.json", None, "429", "37 seconds", id="azure"),
    ],
)
def test_errors_of_every_vendor_are_read(name, type_, code, words):
    error = read_error(golden(name), "application/json")

    assert (error.type, error.code, error.is_readable) == (type_, code, True)
    assert words in error.message


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_a_stream_of_messages_becomes_one_of_chat_chunks(size):
    stream = golden("anthropic/tools.sse")
    reader = TranslatedReader(find("POST", "/chat/completions"), hides_usage=False, created=1_790_000_000)

    sent = b"".join(reader.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert sent == golden("anthropic/tools_chat.sse")
    assert reader.usage == Usage(1436, 89, 1024, 21)


def test_a_message_becomes_a_chat_completion():
    body = read_answer(golden("anthropic/tools.json"), created=1_790_000_000)

    assert json.loads(body) == json.loads(golden("anthropic/tools_chat.json"))
    assert read_usage(body, find("POST", "/chat/completions")) == Usage(1436, 89, 1024, 21)


def test_a_chat_becomes_a_call_of_messages():
    made = write_request(json.loads(golden("anthropic/chat_request.json")), "claude-opus-5-5", is_stream=True)

    assert json.loads(made) == json.loads(golden("anthropic/messages_request.json"))


def test_a_prompt_too_long_for_claude_is_one_in_openais_words():
    error = read_error(golden("anthropic/error_too_long.json"), "application/json")

    assert json.loads(write_error(error, status=400))["error"]["code"] == "context_length_exceeded"


def test_a_page_is_no_readable_error():
    error = read_error(golden("cloudflare/error_502.html"), "text/html; charset=UTF-8")

    assert error == ErrorBody("api.openai.com | 502: Bad gateway")


@pytest.mark.parametrize(
    ("name", "delay_s", "span"),
    [
        pytest.param("gemini/error_exhausted.json", 34.0, LimitSpan.MINUTE, id="a-minute"),
        pytest.param("gemini/error_day.json", 43_200.0, LimitSpan.DAY, id="a-day"),
    ],
)
def test_googles_delay_is_found_in_its_details(name, delay_s, span):
    outcome = classify(429, {}, read_error(golden(name), "application/json"), wall_now=datetime.now(UTC))

    assert (outcome.kind, outcome.retry_after_s, outcome.span) == (OutcomeKind.RATE_LIMITED, delay_s, span)
