import msgspec
import pytest

from gateway.core.call import Usage
from gateway.wire.endpoints import find
from gateway.wire.usage import read_usage, served_model, usage_of

CHAT = find("POST", "/chat/completions")


@pytest.mark.parametrize(
    ("path", "usage", "expected"),
    [
        pytest.param(
            "/chat/completions",
            {
                "prompt_tokens": 19,
                "completion_tokens": 10,
                "total_tokens": 29,
                "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
            },
            Usage(19, 10, 8, 4),
            id="chat",
        ),
        pytest.param("/completions", {"prompt_tokens": 5, "completion_tokens": 7}, Usage(5, 7), id="completion"),
        pytest.param("/embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Usage(8), id="embedding"),
        pytest.param(
            "/images/generations",
            {"input_tokens": 50, "output_tokens": 4160, "input_tokens_details": {"text_tokens": 50}},
            Usage(50, 4160),
            id="image",
        ),
        pytest.param(
            "/chat/completions",
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3},
            Usage(9, 1, 6),
            id="deepseek",
        ),
        pytest.param("/chat/completions", {}, Usage(), id="empty"),
        pytest.param(
            "/chat/completions",
            {"prompt_tokens": None, "completion_tokens": "7", "prompt_tokens_details": None},
            Usage(),
            id="unreadable-counts-are-zero",
        ),
        pytest.param("/chat/completions", {"prompt_tokens": -5, "completion_tokens": True}, Usage(), id="nonsense"),
        pytest.param("/chat/completions", None, None, id="null"),
        pytest.param("/chat/completions", [1], None, id="no-object"),
    ],
)
def test_usage_of_every_form_is_read(path, usage, expected):
    body = msgspec.json.encode({"id": "x", "choices": [], "usage": usage})

    assert read_usage(body, find("POST", path)) == expected


def test_usage_inside_of_an_answers_text_is_none():
    body = b'{"choices":[{"message":{"content":"\\"usage\\":{\\"prompt_tokens\\":5}","usage":{"prompt_tokens":9}}}]}'

    assert read_usage(body, CHAT) is None


@pytest.mark.parametrize("path", ["/moderations", "/audio/speech"])
def test_endpoints_without_usage_are_not_read(path):
    assert read_usage(b'{"usage":{"prompt_tokens":5}}', find("POST", path)) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"usage":{"prompt_tokens":', b'{"usage":' + b"[" * 9999])
def test_what_is_no_object_has_neither_usage_nor_model(body):
    assert read_usage(body, CHAT) is None
    assert served_model(body) is None


@pytest.mark.parametrize(
    ("body", "model"),
    [
        pytest.param(b'{"model":"gpt-4o-2024-08-06","choices":[{"model":"x"}]}', "gpt-4o-2024-08-06", id="named"),
        pytest.param(b'{"choices":[{"model":"x"}]}', None, id="nested-only"),
        pytest.param(b'{"model":5}', None, id="number"),
    ],
)
def test_served_model_is_the_answers_own(body, model):
    assert served_model(body) == model


def test_details_of_the_singular_spelling_are_read():
    usage = {"input_tokens": 9, "output_tokens": 2, "input_token_details": {"cached_tokens": 3}}

    assert usage_of(usage) == Usage(9, 2, 3)
