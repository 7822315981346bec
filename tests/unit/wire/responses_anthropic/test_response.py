"""Whole answers as responses, and on their way back."""

import json

import msgspec
import pytest

from gateway.wire.responses_anthropic.request import write_request
from gateway.wire.responses_anthropic.response import read_answer

MODEL = "claude-opus-5-5"
CREATED = 1_790_000_000
USAGE = {
    "input_tokens": 12, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 20, "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 4},
}  # fmt: skip
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB+/="}
HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}
TEXT = {"type": "text", "text": "Let me look."}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}


def answer(*content, stop_reason="end_turn", **members):
    message = {"id": "msg_01AB", "model": MODEL, "content": content, "stop_reason": stop_reason, "usage": USAGE}
    return json.dumps({**message, **members}).encode()


def told(*content, asked=None, **members):
    body = read_answer(answer(*content, **members), created=CREATED, asked=json.dumps(asked or {}).encode())
    return json.loads(body)


def test_a_text_is_a_message():
    response = told(TEXT)

    assert response["output"] == [
        {
            "id": "msg_01AB_0", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}],
        }
    ]  # fmt: skip
    assert {name: response[name] for name in ("id", "object", "created_at", "status", "model", "store", "error")} == {
        "id": "resp_01AB", "object": "response", "created_at": CREATED, "status": "completed", "model": MODEL,
        "store": False, "error": None,
    }  # fmt: skip


def test_the_usage_counts_what_the_cache_gave():
    assert told(TEXT)["usage"] == {
        "input_tokens": 35, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 3},
        "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 44,
    }  # fmt: skip


def test_tools_and_thoughts_are_items_of_their_own():
    thought, hidden, message, call = told(THOUGHT, HIDDEN, TEXT, TOOL, stop_reason="tool_use")["output"]

    assert (thought["id"], thought["type"]) == ("rs_01AB_0", "reasoning")
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert (hidden["summary"], hidden["encrypted_content"] is None) == ([], False)
    assert message["id"] == "msg_01AB_2"
    assert call == {
        "id": "fc_01AB_3", "type": "function_call", "status": "completed", "call_id": "toolu_1", "name": "weather",
        "arguments": '{"city":"Rome"}',
    }  # fmt: skip


def test_blocks_that_only_anthropic_has_are_left_out():
    assert len(told({"type": "server_tool_use", "id": "s", "input": {}}, TEXT)["output"]) == 1


@pytest.mark.parametrize(
    ("stop_reason", "status", "reason"),
    [
        ("end_turn", "completed", None),
        ("tool_use", "completed", None),
        ("of_tomorrow", "completed", None),
        (None, "completed", None),
        ("max_tokens", "incomplete", "max_output_tokens"),
        ("model_context_window_exceeded", "incomplete", "max_output_tokens"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_why_it_ended(stop_reason, status, reason):
    response = told(TEXT, stop_reason=stop_reason)

    assert (response["status"], response["output"][0]["status"]) == (status, status)
    assert response["incomplete_details"] == (None if reason is None else {"reason": reason})


def test_a_refusal_says_why():
    refusal = told(stop_reason="refusal", stop_details={"explanation": "No."})["output"][0]

    assert refusal["content"] == [{"type": "refusal", "refusal": "No."}]


def test_what_was_asked_is_repeated():
    asked = {"instructions": "Be brief", "temperature": 0.5, "metadata": {"a": "b"}, "tools": [{"type": "function"}]}

    response = told(TEXT, asked=asked | {"tool_choice": None, "unknown": 1})

    assert {name: response[name] for name in asked} == asked
    assert (response["tool_choice"], response["parallel_tool_calls"]) == ("auto", True)
    assert "unknown" not in response


@pytest.mark.parametrize("asked", [b"", b"[]", b"{", b'{"tools":null}'])
def test_what_cannot_be_repeated_is_left_alone(asked):
    assert json.loads(read_answer(answer(TEXT), created=1, asked=asked))["tools"] == []


@pytest.mark.parametrize("depth", [100, 800, 900, 950, 1000, 5000])
def test_what_is_nested_too_deeply_is_not_repeated(depth):
    asked = b'{"user":"u","metadata":{"a":' + b"[" * depth + b"]" * depth + b"}}"

    response = msgspec.json.decode(read_answer(answer(TEXT), created=1, asked=asked), type=dict[str, msgspec.Raw])

    assert bytes(response["output"]).startswith(b"[{")
    assert (bytes(response["metadata"]) == b"{}") is (bytes(response["user"]) == b"null")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"content":5}', b'{"content":[{"type":5}]}', b"\xff"])
def test_what_is_no_answer_is_none(body):
    assert read_answer(body, created=1, asked=b"{}") is None


# -- back again --------------------------------------------------------------------------------------------------


def sent_back(items):
    """What Claude reads as its own turn when the caller's next input holds the items."""
    given = [{"role": "user", "content": "hi"}, *items, {"role": "user", "content": "go on"}]
    return json.loads(write_request({"input": given}, MODEL, is_stream=False))["messages"][1]


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param((TEXT,), id="text"),
        pytest.param((THOUGHT, TOOL), id="tool"),
        pytest.param((THOUGHT, HIDDEN, TEXT, TOOL, TOOL | {"id": "toolu_2"}), id="several"),
        pytest.param((THOUGHT, TEXT, HIDDEN, TOOL), id="interleaved"),
        pytest.param((THOUGHT | {"thinking": ""}, TEXT), id="not-shown"),
    ],
)
def test_items_that_are_sent_back_are_what_claude_said(blocks):
    assert sent_back(told(*blocks)["output"]) == {"role": "assistant", "content": list(blocks)}


def test_a_refusal_that_is_sent_back_is_a_text():
    refusal = told(stop_reason="refusal", stop_details={"explanation": "No."})["output"]

    assert sent_back(refusal)["content"] == [{"type": "text", "text": "No."}]


@pytest.mark.parametrize(
    "sealed", [None, 5, "gAAAAAB", "claude.", "claude.!", "claude.eyJ9", "claude.WzFd", "claude.e30=", "claude.é"]
)
def test_thoughts_of_others_are_left_out(sealed):
    reasoning = {"type": "reasoning", "summary": [], "encrypted_content": sealed}
    message = {"role": "assistant", "content": "So"}

    assert sent_back([reasoning, message]) == {"role": "assistant", "content": [{"type": "text", "text": "So"}]}


def test_a_thought_behind_which_the_user_speaks_is_left_out():
    given = [*told(THOUGHT)["output"], {"role": "user", "content": "x"}, {"role": "assistant", "content": "So"}]
    asked = {"input": [{"role": "user", "content": "hi"}, *given, {"role": "user", "content": "go on"}]}

    turns = json.loads(write_request(asked, MODEL, is_stream=False))["messages"]

    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in turns] == [
        ("user", ["hi", "x"]),
        ("assistant", ["So"]),
        ("user", ["go on"]),
    ]


def test_an_unsigned_thought_is_told_and_not_sealed():
    assert told({"type": "thinking", "thinking": "Hm."})["output"][0]["encrypted_content"] is None
