"""Thoughts on their way to the caller and back: Claude takes its own, signed and where they stood."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.openai_anthropic.response import read_answer
from tests.unit.wire.openai_anthropic.chats import HI, refused, said

THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}
HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}
TEXT = {"type": "text", "text": "Let me look."}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}


def message_of(*blocks):
    """The assistant's message as a caller gets it."""
    body = json.dumps({"id": "m", "model": "claude", "content": blocks, "stop_reason": "tool_use"}).encode()
    return json.loads(read_answer(body, created=1))["choices"][0]["message"]


def sent_back(message, *behind):
    """The assistant's blocks when the caller's next call holds the message."""
    behind = behind or ({"role": "user", "content": "go on"},)
    return said(HI, message, *behind)["messages"][1]["content"]


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param((THOUGHT, TOOL), id="tool"),
        pytest.param((THOUGHT, HIDDEN, TEXT, TOOL), id="several"),
        pytest.param((HIDDEN, TEXT), id="redacted"),
        pytest.param((THOUGHT, TEXT, HIDDEN, TOOL), id="interleaved"),
        pytest.param((TEXT, TOOL, THOUGHT, TOOL | {"id": "toolu_2"}), id="between-tools"),
        pytest.param(({"type": "thinking", "thinking": "", "signature": "x"}, TOOL), id="not-shown"),
    ],
)
def test_a_message_that_is_sent_back_is_what_claude_said(blocks):
    assert sent_back(message_of(*blocks)) == list(blocks)


@pytest.mark.parametrize("signature", [None, 5, {}, ""], ids=repr)
def test_a_thought_that_nobody_signed_is_told_all_the_same(signature):
    message = message_of({"type": "thinking", "thinking": "Hm.", "signature": signature}, TEXT | {"data": {"x": 1}})

    assert message["reasoning_content"] == "Hm."
    assert message["thinking_blocks"] == [{"type": "thinking", "thinking": "Hm."}]


def test_the_order_is_told_only_where_it_is_needed():
    assert message_of(THOUGHT, TEXT, HIDDEN, TOOL)["thinking_blocks"] == [THOUGHT, HIDDEN | {"after": 1}]


def test_what_streams_add_to_a_thought_stays_here():
    message = {"role": "assistant", "content": "Hello", "thinking_blocks": [{"index": 0, **THOUGHT, "cache": 1}]}

    assert sent_back(message) == [THOUGHT, {"type": "text", "text": "Hello"}]


@pytest.mark.parametrize(
    "thought",
    [
        pytest.param({"type": "thinking", "thinking": "Hm."}, id="unsigned"),
        pytest.param({"type": "thinking", "thinking": "Hm.", "signature": ""}, id="empty-signature"),
        pytest.param({"type": "thinking", "thinking": None, "signature": "x"}, id="no-text"),
        pytest.param({"type": "thinking", "thinking": "Hm.", "signature": 5}, id="odd-signature"),
        pytest.param({"type": "redacted_thinking"}, id="no-data"),
        pytest.param({"type": "reasoning.text", "text": "Hm."}, id="of-another-vendor"),
        pytest.param({"type": ["thinking"]}, id="odd-type"),
        pytest.param("Hm.", id="no-object"),
    ],
)
def test_what_claude_did_not_sign_is_left_out(thought):
    message = {"role": "assistant", "content": "Hello", "thinking_blocks": [thought], "reasoning_content": "Hm."}

    assert sent_back(message) == [{"type": "text", "text": "Hello"}]


@pytest.mark.parametrize("after", [None, "1", 1.5, -1, 0], ids=repr)
def test_an_odd_place_is_the_beginning(after):
    message = {"role": "assistant", "content": "Hello", "thinking_blocks": [THOUGHT | {"after": after}]}

    assert sent_back(message)[0] == THOUGHT


def test_thoughts_behind_which_nothing_stands_are_left_out():
    alone = {"role": "assistant", "content": None, "thinking_blocks": [THOUGHT]}

    assert [turn["role"] for turn in said(HI, alone, HI)["messages"]] == ["user"]
    assert sent_back({"role": "assistant", "content": "So", "thinking_blocks": [THOUGHT | {"after": 1}]}) == [
        {"type": "text", "text": "So"}
    ]


def test_a_prefill_of_white_space_takes_its_thought_along():
    message = {"role": "assistant", "content": " \n", "thinking_blocks": [THOUGHT]}

    assert [turn["role"] for turn in said(HI, message)["messages"]] == ["user"]


def test_thoughts_are_an_array():
    error = refused(HI, {"role": "assistant", "content": "x", "thinking_blocks": {}})

    assert error.param == "messages[1].thinking_blocks"


ODD = st.none() | st.integers() | st.text(max_size=3) | st.dictionaries(st.text(max_size=9), st.text(max_size=3))
THOUGHTS = st.lists(
    st.sampled_from([THOUGHT, HIDDEN]).flatmap(lambda thought: st.just(thought | {"after": 1}) | st.just(thought))
    | ODD,
    max_size=6,
)


@given(THOUGHTS)
def test_whatever_comes_back_the_texts_and_tools_stay_and_the_last_block_is_no_thought(thoughts):
    call = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    message = {"role": "assistant", "content": "Let me look.", "tool_calls": [call], "thinking_blocks": thoughts}

    blocks = sent_back(message)

    assert [block for block in blocks if block["type"] in {"text", "tool_use"}] == [TEXT, TOOL]
    assert blocks[-1] == TOOL
    assert all(block in (THOUGHT, HIDDEN, TEXT, TOOL) for block in blocks)
