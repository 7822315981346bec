"""What the gateway makes of the golden bodies (README.md says where they come from)."""

from pathlib import Path

import pytest

from gateway.core.call import Usage
from gateway.core.outcome import ErrorBody
from gateway.wire.endpoints import find
from gateway.wire.errors import read_error
from gateway.wire.stream import StreamReader
from gateway.wire.usage import read_usage

HERE = Path(__file__).parent


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


def test_a_page_is_no_readable_error():
    error = read_error(golden("cloudflare/error_502.html"), "text/html; charset=UTF-8")

    assert error == ErrorBody("api.openai.com | 502: Bad gateway")
