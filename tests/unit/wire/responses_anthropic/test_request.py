"""Responses that are asked for, and the call of Messages that asks the same."""

import json

import pytest

from gateway.core.errors import InvalidCall
from gateway.wire.openai_anthropic.request import write_request as write_chat
from gateway.wire.responses_anthropic.request import HANDLED, LEFT_OUT, OWN, REFUSED, write_request

MODEL = "claude-opus-5-5"
PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "name": "weather", "description": "Of a city", "parameters": SCHEMA, "strict": True}
CALL = {"type": "function_call", "call_id": "toolu_1", "name": "weather", "arguments": '{"city":"Rome"}'}
OUTPUT = {"type": "function_call_output", "call_id": "toolu_1", "output": "18 °C"}


def said(given="hi", *, model=MODEL, is_stream=False, **fields):
    return json.loads(write_request({"input": given, **fields}, model, is_stream=is_stream))


def refused(given="hi", **fields):
    with pytest.raises(InvalidCall) as caught:
        said(given, **fields)
    assert caught.value.status == 400
    return caught.value


def text(words):
    return {"type": "text", "text": words}


def turn(role, *blocks):
    return {"role": role, "content": list(blocks)}


def test_a_text_is_a_turn_of_the_user():
    assert said("hi", is_stream=True) == {
        "model": MODEL, "messages": [turn("user", text("hi"))], "max_tokens": 64_000, "stream": True,
    }  # fmt: skip


def test_instructions_go_before_all_other_systems():
    call = said([{"role": "developer", "content": "Two"}, {"role": "user", "content": "hi"}], instructions="One")

    assert call["system"] == [text("One"), text("Two")]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        pytest.param({"type": "input_text", "text": "a"}, text("a"), id="text"),
        pytest.param({"type": "text", "text": "a"}, text("a"), id="text-of-a-chat"),
        pytest.param(
            {"type": "input_image", "image_url": PNG, "detail": "auto"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            id="image",
        ),
        pytest.param(
            {"type": "input_image", "image_url": "https://a.example/x.png"},
            {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
            id="image-by-address",
        ),
        pytest.param(
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
            {
                "type": "document", "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            },
            id="file",
        ),
        pytest.param(
            {"type": "input_file", "file_url": "https://a.example/x.pdf"},
            {"type": "document", "source": {"type": "url", "url": "https://a.example/x.pdf"}},
            id="file-by-address",
        ),
        pytest.param(
            {"type": "input_file", "file_id": "file_1"},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            id="file-by-id",
        ),
        pytest.param(
            {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {**text("a"), "cache_control": {"type": "ephemeral"}},
            id="cached",
        ),
    ],
)  # fmt: skip
def test_parts_become_blocks(part, block):
    assert said([{"type": "message", "role": "user", "content": [part]}])["messages"] == [turn("user", block)]


def test_a_round_trip_of_tools():
    asked = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]}
    call = said([{"role": "user", "content": "Rome?"}, asked, CALL, OUTPUT], tools=[TOOL], tool_choice="auto")

    tool_use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("18 °C")]}
    assert call["messages"] == [
        turn("user", text("Rome?")), turn("assistant", text("Let me look."), tool_use), turn("user", result),
    ]  # fmt: skip
    assert call["tools"] == [{"name": "weather", "input_schema": SCHEMA, "description": "Of a city"}]
    assert call["tool_choice"] == {"type": "auto"}


def test_an_output_may_be_an_image():
    output = OUTPUT | {"output": [{"type": "input_image", "image_url": PNG}]}

    block = said(["?", CALL, output][1:])["messages"][-1]["content"][0]["content"][0]

    assert block["type"] == "image"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "name": "weather"}, {"type": "tool", "name": "weather"}),
    ],
)
def test_choices_of_tools(choice, expected):
    assert said(tools=[TOOL], tool_choice=choice)["tool_choice"] == expected


def test_what_tunes_goes_as_from_a_chat():
    fields = {"temperature": 0.5, "user": "u", "parallel_tool_calls": False, "top_k": 5}
    chat = {"messages": [{"role": "user", "content": "hi"}], **fields, "max_completion_tokens": 9}
    schema = {"name": "c", "schema": SCHEMA, "strict": True}
    chat |= {"reasoning_effort": "high", "response_format": {"type": "json_schema", "json_schema": schema}}

    call = said(
        **fields,
        max_output_tokens=9,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", **schema}, "verbosity": "low"},
    )

    assert call == json.loads(write_chat(chat, MODEL, is_stream=False))
    assert (call["max_tokens"], call["output_config"]["effort"]) == (9, "high")


def test_a_mere_object_and_a_text_are_formats():
    assert said(text={"format": {"type": "text"}}) == said()
    assert "JSON" in said(text={"format": {"type": "json_object"}})["system"][0]["text"]


@pytest.mark.parametrize("param", REFUSED)
def test_what_nothing_here_keeps_is_refused_by_name(param):
    error = refused(**{param: True})

    assert (error.param, error.code) == (param, "unsupported_value")


@pytest.mark.parametrize("value", [None, False, 0])
@pytest.mark.parametrize("param", REFUSED)
def test_what_says_no_is_no_wish(param, value):
    assert said(**{param: value}) == said()


def test_what_only_tunes_is_left_out():
    assert said(**{name: {"a": "b"} for name in LEFT_OUT if name != "include"}, include=["x"], unknown=1) == said()


def test_every_parameter_has_one_place():
    names = [*HANDLED, *LEFT_OUT, *REFUSED, *OWN]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("given", "fields", "param"),
    [
        pytest.param(None, {}, "input", id="no-input"),
        pytest.param({}, {}, "input", id="an-object"),
        pytest.param(["hi"], {}, "input[0]", id="no-item"),
        pytest.param([{"content": "x"}], {}, "input[0].role", id="no-role"),
        pytest.param([{"role": "tool", "content": "x"}], {}, "input[0].role", id="another-role"),
        pytest.param([{"role": ["user"], "content": "x"}], {}, "input[0].role", id="odd-role"),
        pytest.param([{"role": "user", "content": 5}], {}, "input[0].content", id="odd-content"),
        pytest.param([{"role": "user", "content": [5]}], {}, "input[0].content[0]", id="odd-part"),
        pytest.param([{"role": "user", "content": [{}]}], {}, "input[0].content[0].type", id="no-type"),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_audio"}]}], {}, "input[0].content[0].type", id="audio"
        ),
        pytest.param([{"role": "user", "content": [{"type": ["x"]}]}], {}, "input[0].content[0].type", id="odd-type"),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}],
            {}, "input[0].content[0].file_id", id="image-by-id",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]}],
            {}, "input[0].content[0].image_url", id="image-elsewhere",
        ),
        pytest.param([{"type": "item_reference", "id": "msg_1"}], {}, "input[0].id", id="reference"),
        pytest.param([{"type": "web_search_call"}], {}, "input[0].type", id="search"),
        pytest.param([CALL | {"call_id": None}], {}, "input[0].call_id", id="no-call-id"),
        pytest.param([CALL | {"arguments": "{"}], {}, "input[0].arguments", id="half-arguments"),
        pytest.param(["x", OUTPUT | {"call_id": 5}][1:], {}, "input[0].call_id", id="odd-call-id"),
        pytest.param("hi", {"instructions": 5}, "instructions", id="odd-instructions"),
        pytest.param("hi", {"tools": {"a": 1}}, "tools", id="odd-tools"),
        pytest.param("hi", {"tools": [{"type": "web_search"}]}, "tools[0].type", id="search-tool"),
        pytest.param("hi", {"tools": [{"type": "function"}]}, "tools[0].name", id="nameless-tool"),
        pytest.param("hi", {"tools": [TOOL | {"parameters": [1]}]}, "tools[0].parameters", id="odd-parameters"),
        pytest.param("hi", {"tools": [TOOL], "tool_choice": {"type": "mcp"}}, "tool_choice", id="odd-choice"),
        pytest.param("hi", {"text": "json"}, "text", id="odd-text"),
        pytest.param("hi", {"text": {"format": {"type": "grammar"}}}, "text.format", id="odd-format"),
        pytest.param("hi", {"text": {"format": {"type": "json_schema"}}}, "text.format.schema", id="no-schema"),
        pytest.param("hi", {"include": ["message.output_text.logprobs"]}, "include", id="logprobs"),
    ],
)  # fmt: skip
def test_what_has_no_form_is_refused_by_the_callers_own_names(given, fields, param):
    error = refused(given, **fields)

    assert error.param == param
    assert "messages[" not in error.message
    assert "function." not in error.message
