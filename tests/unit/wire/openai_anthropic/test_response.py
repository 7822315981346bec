import json

import pytest

from gateway.core.outcome import ErrorBody
from gateway.wire.openai_anthropic.response import read_answer, read_usage, write_error

CREATED = 1_790_000_000


def answer(*content, stop_reason="end_turn", **members) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": content}
    usage = {"input_tokens": 5, "output_tokens": 7}
    return json.dumps({**message, "stop_reason": stop_reason, "usage": usage, **members}).encode()


def translated(*content, **members) -> dict:
    body = read_answer(answer(*content, **members), created=CREATED)
    assert body is not None
    return json.loads(body)


def said(*content, **members) -> dict:
    return translated(*content, **members)["choices"][0]["message"]


TEXT = {"type": "text", "text": "Hello"}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}


def test_an_answer_becomes_a_chat_completion():
    assert translated(TEXT) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": CREATED,
        "model": "claude-opus-5-5",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_tools_become_tool_calls_with_arguments_as_text():
    message = said(TEXT, TOOL, {"type": "tool_use", "id": "toolu_2", "name": "now"}, stop_reason="tool_use")

    assert message["content"] == "Hello"
    assert message["tool_calls"] == [
        {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
        {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]


def test_tools_alone_have_no_content():
    assert said(TOOL)["content"] is None


def test_an_empty_answer_has_an_empty_content():
    assert said()["content"] == ""


def test_thoughts_are_reasoning_and_texts_are_joined():
    message = said({"type": "thinking", "thinking": "Hm.", "signature": "x"}, TEXT, {"type": "text", "text": "!"})

    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Hello!")


def test_blocks_that_only_anthropic_has_are_left_out():
    message = said({"type": "server_tool_use", "id": "s", "input": {}}, TEXT)

    assert message == {"role": "assistant", "content": "Hello", "refusal": None}


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("of_tomorrow", "stop"),
        (None, "stop"),
    ],
)
def test_every_stop_reason_has_a_finish_reason(stop_reason, finish_reason):
    assert translated(TEXT, stop_reason=stop_reason)["choices"][0]["finish_reason"] == finish_reason


def test_a_refusal_says_why():
    message = said(stop_reason="refusal", stop_details={"type": "refusal", "explanation": "Not that."})

    assert message["refusal"] == "Not that."


def test_usage_counts_the_cache_as_input():
    usage = read_usage(
        {
            "input_tokens": 5,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 30,
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 40},
        }
    )

    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (135, 50, 185)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 30}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 40}


def test_odd_counts_are_none():
    usage = read_usage({"input_tokens": "5", "output_tokens": -1, "cache_read_input_tokens": None})

    assert usage["total_tokens"] == 0


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"[]", b'{"content":"x"}', b'{"content":[{"text":5}]}', b"\xff"]
)
def test_what_is_no_answer_is_none(body):
    assert read_answer(body, created=CREATED) is None


@pytest.mark.parametrize(
    ("error", "status", "type_", "code"),
    [
        pytest.param(
            ErrorBody("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"),
            400, "invalid_request_error", "context_length_exceeded", id="too-long",
        ),
        pytest.param(
            ErrorBody("model: claude-9", "not_found_error"), 404, "invalid_request_error", "model_not_found", id="model"
        ),
        pytest.param(ErrorBody("No such batch", "not_found_error"), 404, "invalid_request_error", None, id="batch"),
        pytest.param(ErrorBody("Slow", "rate_limit_error"), 429, "rate_limit_error", "rate_limit_exceeded", id="limit"),
        pytest.param(
            ErrorBody("No", "rate_limit_error", code="enforced_spend_limit_reached"),
            429, "rate_limit_error", "enforced_spend_limit_reached", id="own-code",
        ),
        pytest.param(
            ErrorBody("Overloaded", "overloaded_error"),
            529, "service_unavailable_error", "server_is_overloaded", id="overloaded",
        ),
        pytest.param(ErrorBody("Oops", "api_error"), 500, "server_error", None, id="broken"),
        pytest.param(ErrorBody("Oops"), 500, "server_error", None, id="no-type"),
    ],
)  # fmt: skip
def test_an_error_reads_as_openais(error, status, type_, code):
    body = json.loads(write_error(error, status=status))

    assert body == {"error": {"message": error.message, "type": type_, "param": None, "code": code}}


def test_an_error_without_words_gets_some_and_accounts_are_masked():
    assert "upstream failed" in json.loads(write_error(ErrorBody(), status=500))["error"]["message"]
    assert b"sk-ant-api03-abcdefgh" not in write_error(ErrorBody("key sk-ant-api03-abcdefgh"), status=400)
