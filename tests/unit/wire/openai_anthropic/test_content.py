import pytest

from tests.unit.wire.openai_anthropic.chats import HI, NEW, PNG, SAID_HI, refused, said


def turns(*messages) -> list:
    return said(*messages)["messages"]


def test_the_least_call_becomes_the_least_call():
    assert said() == {"model": NEW, "messages": [SAID_HI], "max_tokens": 64_000}


def test_a_stream_is_asked_for_as_one():
    assert said(is_stream=True)["stream"] is True


def test_instructions_go_to_the_front_whatever_their_place():
    system = {"role": "system", "content": "Be brief."}
    developer = {
        "role": "developer",
        "content": [{"type": "text", "text": "In Latin.", "cache_control": {"type": "e"}}],
    }

    call = said(system, HI, developer)

    assert call["system"] == [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "In Latin.", "cache_control": {"type": "e"}},
    ]
    assert call["messages"] == [SAID_HI]


def test_neighbours_of_one_role_are_one_turn():
    answer = {"role": "assistant", "content": "Hello"}

    assert turns(HI, HI, answer, answer, HI) == [
        {"role": "user", "content": SAID_HI["content"] * 2},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}] * 2},
        SAID_HI,
    ]


def test_images_and_files_become_blocks():
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": "https://example.com/cat.jpg"},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file_011"}},
    ]

    assert turns({"role": "user", "content": parts})[0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "file", "file_id": "file_011"}},
    ]


def test_tool_calls_and_their_results_become_blocks_of_neighbouring_turns():
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
        {"id": "call:2", "type": "function", "function": {"name": "now", "arguments": ""}},
    ]
    messages = turns(
        HI,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "18 °C"},
        {"role": "tool", "tool_call_id": "call:2", "content": ""},
        HI,
    )

    assert messages[1]["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
    ]
    assert messages[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "18 °C"}]},
            {"type": "tool_result", "tool_use_id": "call_2"},
            {"type": "text", "text": "hi"},
        ],
    }


def test_a_last_turn_of_the_assistant_is_a_prefill_without_white_space_at_its_end():
    assert turns(HI, {"role": "assistant", "content": "The answer is: \n"})[1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "The answer is:"}],
    }
    assert turns(HI, {"role": "assistant", "content": "  "}) == [SAID_HI]
    call = {"id": "c", "type": "function", "function": {"name": "now"}}
    assert turns(HI, {"role": "assistant", "tool_calls": [call]})[1]["content"][0]["type"] == "tool_use"


def test_what_says_nothing_is_left_out():
    empty = {"role": "assistant", "content": ""}
    parts = {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "hi"}]}

    assert turns(HI, empty, parts) == [{"role": "user", "content": SAID_HI["content"] * 2}]


def test_a_refusal_is_told_as_the_assistants_text():
    part = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}

    for message in (part, {"role": "assistant", "content": None, "refusal": "No."}):
        assert turns(HI, message, HI)[1]["content"] == [{"type": "text", "text": "No."}]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        pytest.param({"role": "function", "name": "f", "content": "x"}, "messages[0].role", id="function-role"),
        pytest.param({"role": "user", "content": [5]}, "messages[0].content[0]", id="part-no-object"),
        pytest.param({"role": "user", "content": [{}]}, "messages[0].content[0].type", id="part-without-type"),
        pytest.param({"role": "user", "content": {}}, "messages[0].content", id="content-object"),
        pytest.param(
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            "messages[0].content[0]", id="audio",
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text", id="text-missing"
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "text", "text": 5}]}, "messages[0].content[0].text", id="text-number"
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "messages[0].content[0].image_url.url", id="image-without-url",
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
            "messages[0].content[0].image_url.url", id="image-scheme",
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "file", "file": "x"}]}, "messages[0].content[0].file", id="file"
        ),
        pytest.param(
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
            "messages[0].content", id="image-in-instructions",
        ),
        pytest.param(
            {"role": "assistant", "function_call": {"name": "f"}}, "messages[0].function_call", id="function-call"
        ),
        pytest.param({"role": "assistant", "tool_calls": 5}, "messages[0].tool_calls", id="calls-number"),
        pytest.param({"role": "assistant", "tool_calls": [5]}, "messages[0].tool_calls[0]", id="call-number"),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"id": "c", "custom": {}}]}, "messages[0].tool_calls[0]", id="custom"
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, "messages[0].tool_calls[0].id", id="id"
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]},
            "messages[0].tool_calls[0].function.name", id="nameless",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[1]"}}]},
            "messages[0].tool_calls[0].function.arguments", id="arguments-array",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]},
            "messages[0].tool_calls[0].function.arguments", id="arguments-half",
        ),
        pytest.param({"role": "tool", "content": "x"}, "messages[0].tool_call_id", id="result-of-nothing"),
        pytest.param({"role": "tool", "content": "x", "tool_call_id": 5}, "messages[0].tool_call_id", id="result-id"),
    ],
)  # fmt: skip
def test_what_has_no_form_is_refused_by_its_place(message, param):
    assert refused(message).param == param
