"""Streams of Messages as the typed events of a response."""

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.endpoints import find
from gateway.wire.responses_anthropic import stream as responses_stream
from gateway.wire.responses_anthropic.reader import ResponseReader
from gateway.wire.responses_anthropic.response import read_answer
from gateway.wire.responses_anthropic.stream import ResponseTranslator
from gateway.wire.sse import KEEP_ALIVE
from tests.unit.wire.openai_anthropic.samples import (
    BEGIN_TEXT,
    HELLO,
    PING,
    STOP,
    USAGE,
    arguments,
    begin,
    delta,
    end,
    event,
    start,
    stop_block,
    text,
)

CREATED = 1_790_000_000
ASKED = b'{"instructions":"Be brief"}'
ENDPOINT = find("POST", "/responses")
TOOL = begin(1, type="tool_use", id="toolu_1", name="weather", input={})


def translated(*pieces):
    translator = ResponseTranslator(created=CREATED, asked=ASKED)
    return b"".join(map(translator.feed, pieces)) + translator.finish()


def events(stream):
    lines = [raw for raw in stream.split(b"\n\n") if raw.startswith(b"event: ")]
    read = [json.loads(raw.partition(b"\ndata: ")[2]) for raw in lines]
    names = [raw.partition(b"\n")[0].removeprefix(b"event: ").decode() for raw in lines]
    assert names == [said["type"] for said in read]
    assert [said["sequence_number"] for said in read] == list(range(len(read)))
    return read


def types(stream):
    return [said["type"].removeprefix("response.") for said in events(stream)]


def test_a_text_becomes_an_item_with_one_part():
    stream = translated(*HELLO)

    assert types(stream) == [
        *(
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
        ),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    said = events(stream)
    assert (said[0]["response"]["status"], said[0]["response"]["output"]) == ("in_progress", [])
    assert [one["delta"] for one in said[4:6]] == ["Hel", "lo"]
    assert {one["item_id"] for one in said[3:8]} == {"msg_1_0"}
    assert said[-1]["response"]["output"] == [said[-2]["item"]]
    assert said[-1]["response"]["instructions"] == "Be brief"
    assert said[-1]["response"]["usage"]["total_tokens"] == 44
    assert KEEP_ALIVE in stream


def test_a_tool_becomes_a_function_call():
    stream = translated(
        start(), TOOL, arguments('{"city":', 1), arguments('"Rome"}', 1), stop_block(1), end("tool_use"), STOP
    )

    assert types(stream)[2:-1] == [
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
    ]
    added, *_, done, _, last = events(stream)[2:]
    assert (added["item"]["arguments"], added["item"]["status"]) == ("", "in_progress")
    assert done["arguments"] == '{"city":"Rome"}'
    assert last["response"]["output"][0]["call_id"] == "toolu_1"


@pytest.mark.parametrize(("given_input", "told"), [({}, "{}"), ({"city": "Rome"}, '{"city":"Rome"}')])
def test_a_tool_that_says_no_piece_has_an_object_all_the_same(given_input, told):
    block = begin(0, type="tool_use", id="toolu_1", name="weather", input=given_input)

    said = events(translated(start(), block, stop_block(), end("tool_use"), STOP))

    assert [one["delta"] for one in said if one["type"].endswith("arguments.delta")] == [told]
    assert said[-1]["response"]["output"][0]["arguments"] == told


def test_thoughts_become_reasoning_with_a_summary():
    stream = translated(
        start(), begin(0, type="thinking", thinking="", signature=""), delta(0, type="thinking_delta", thinking="Hm."),
        delta(0, type="signature_delta", signature="EqQB"), stop_block(),
        begin(1, type="redacted_thinking", data="x"), stop_block(1), end(), STOP,
    )  # fmt: skip

    assert types(stream)[2:-1] == [
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "output_item.done"),
    ]
    thought, hidden = events(stream)[-1]["response"]["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert thought["encrypted_content"].startswith("claude.")
    assert hidden["summary"] == []


@pytest.mark.parametrize("signature", [None, 5, ""], ids=repr)
def test_a_thought_that_nobody_signed_is_told_all_the_same(signature):
    stream = translated(
        start(), begin(0, type="thinking", thinking="Hm.", signature=signature),
        delta(0, type="signature_delta", signature=signature), stop_block(), end(), STOP,
    )  # fmt: skip

    assert events(stream)[-1]["response"]["output"][0]["encrypted_content"] is None


def test_a_refusal_is_told_as_one():
    refusal = event("message_delta", delta={"stop_reason": "refusal", "stop_details": {"explanation": "No."}}, usage={})

    stream = translated(start(), refusal, STOP)

    assert types(stream)[2:] == [
        *("output_item.added", "content_part.added", "refusal.delta", "refusal.done", "content_part.done"),
        *("output_item.done", "incomplete"),
    ]


def test_what_was_cut_off_is_incomplete():
    last = events(translated(*HELLO[:-2], end("max_tokens"), STOP))[-1]

    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_blocks_that_only_anthropic_has_leave_no_trace():
    stream = translated(
        start(), begin(0, type="server_tool_use", id="s", name="x", input={}), arguments("{}"), stop_block(),
        begin(1, type="text", text=""), text("hi", 1), stop_block(1), end(), STOP,
    )  # fmt: skip

    assert [one["output_index"] for one in events(stream) if "output_index" in one] == [0] * 6


# -- as the reader sees it ---------------------------------------------------------------------------------------


def read(*pieces):
    reader = ResponseReader(ENDPOINT, created=CREATED, asked=ASKED)
    sent = b"".join(map(reader.feed, pieces))
    return reader, sent, reader.finish()


def test_the_reader_knows_the_usage_and_the_end():
    reader, sent, added = read(*HELLO)

    assert (reader.is_done, reader.is_broken, added) == (True, False, b"")
    assert (reader.usage.input_tokens, reader.usage.output_tokens, reader.usage.cached_tokens) == (35, 9, 20)
    assert sent == translated(*HELLO)


def test_nothing_is_content_before_a_piece():
    reader = ResponseReader(ENDPOINT, created=CREATED, asked=ASKED)

    reader.feed(start() + BEGIN_TEXT + PING)
    assert not reader.has_content
    reader.feed(text("Hel"))
    assert reader.has_content


@pytest.mark.parametrize("cut", range(1, len(HELLO)))
def test_a_truncated_stream_never_ends_cleanly(cut):
    reader, _, added = read(*HELLO[:cut])

    assert (added, reader.is_done) == (None, False)


def test_an_error_is_told_in_the_form_of_responses():
    overloaded = event("error", error={"type": "overloaded_error", "message": "Overloaded"})

    reader, sent, added = read(start(), BEGIN_TEXT, text("Hel"), overloaded)

    assert (reader.error.code, added) == ("server_is_overloaded", None)
    last = json.loads(reader.write_error(reader.error).partition(b"\ndata: ")[2])
    assert (last["type"], last["code"], last["sequence_number"]) == ("error", "server_is_overloaded", len(events(sent)))


def test_an_event_that_was_lost_breaks_the_stream():
    reader, _, _ = read(start(), BEGIN_TEXT, b'event: content_block_delta\ndata: {"delta":{\n\n')

    assert reader.is_broken


def test_an_answer_without_end_breaks_the_stream(monkeypatch):
    monkeypatch.setattr(responses_stream, "MAX_CHARACTERS", 10)

    reader, sent, added = read(start(), BEGIN_TEXT, text("12345678"), text("90"), text("x"), stop_block(), end(), STOP)

    assert (reader.is_broken, added) == (True, None)
    assert b"completed" not in sent


def test_the_last_event_may_lack_its_blank_line():
    _, sent, added = read(*HELLO[:-1], STOP[:-2])

    assert sent + added == translated(*HELLO)


def test_a_json_body_in_place_of_a_stream_is_read_as_an_error():
    reader, sent, added = read(b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}')

    assert (sent, added, reader.error.type) == (b"", None, "overloaded_error")


# -- the same as a whole answer ----------------------------------------------------------------------------------


STREAM = b"".join(
    [
        *(*HELLO[:6], begin(1, type="thinking", thinking="é"), stop_block(1)),
        *(TOOL.replace(b'"index": 1', b'"index": 2'), arguments('{"a":"線"}', 2), stop_block(2), end("tool_use"), STOP),
    ]
)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=20))
def test_it_may_be_cut_anywhere(cuts):
    places = [0, *sorted(set(cuts)), len(STREAM)]

    assert translated(*(STREAM[a:b] for a, b in pairwise(places))) == translated(STREAM)


PIECES = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), max_size=4)
JSON = st.dictionaries(st.text(max_size=3), st.none() | st.booleans() | st.integers(-99, 99), max_size=3)
BLOCKS = st.lists(
    st.tuples(st.sampled_from(["text", "thinking"]), PIECES)
    | st.tuples(st.just("redacted_thinking"), st.text(max_size=3))
    | st.tuples(st.just("tool_use"), JSON),
    max_size=5,
)
REASONS = st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence", "pause_turn"])


def streamed(index, type_, held):
    """A block, whole and as events."""
    if type_ == "tool_use":
        block = {"type": type_, "id": f"toolu_{index}", "name": "f", "input": held}
        said = msgspec.json.encode(held).decode() if held else ""
        pieces = [arguments(piece, index) for piece in (said[:3], said[3:]) if piece]
        return block, [begin(index, **{**block, "input": {}}), *pieces, stop_block(index)]
    if type_ == "redacted_thinking":
        block = {"type": type_, "data": held}
        return block, [begin(index, **block), stop_block(index)]
    block = {"type": type_, type_: "".join(held)}
    pieces = [delta(index, **{"type": f"{type_}_delta", type_: piece}) for piece in held]
    if type_ == "thinking":
        block["signature"] = f"signed-{index}"
        pieces.append(delta(index, type="signature_delta", signature=block["signature"]))
    return block, [begin(index, **{"type": type_, type_: ""}), *pieces, stop_block(index)]


@given(BLOCKS, REASONS)
def test_the_last_event_holds_the_whole_answers_translation(blocks, reason):
    made = [streamed(index, *block) for index, block in enumerate(blocks)]
    message = {"id": "msg_1", "model": "claude-opus-5-5-20260922", "content": [block for block, _ in made]}
    message |= {"stop_reason": reason, "usage": {**USAGE, "output_tokens": 9}}

    said = events(translated(start(), *(one for _, events_ in made for one in events_), end(reason), STOP))

    assert said[-1]["response"] == json.loads(read_answer(json.dumps(message).encode(), created=CREATED, asked=ASKED))
    done = [one["item"] for one in said if one["type"] == "response.output_item.done"]
    assert [item["id"] for item in done] == [item["id"] for item in said[-1]["response"]["output"]]
