import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.classify import classify_stream_error
from gateway.core.outcome import OutcomeKind
from gateway.wire.errors import error_of
from gateway.wire.openai_anthropic.response import read_answer
from gateway.wire.openai_anthropic.stream import ChatTranslator
from gateway.wire.sse import DONE, KEEP_ALIVE
from gateway.wire.stream import MAX_EVENT_BYTES
from tests.unit.wire.openai_anthropic.samples import (
    BEGIN_TEXT,
    HELLO,
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
TOOL = begin(1, type="tool_use", id="toolu_1", name="weather", input={})


def translated(*pieces: bytes) -> bytes:
    translator = ChatTranslator(created=CREATED)
    return b"".join(map(translator.feed, pieces)) + translator.finish()


def chunks(stream: bytes) -> list[dict]:
    events = [line[6:] for line in stream.split(b"\n\n") if line.startswith(b"data: ")]
    return [json.loads(data) for data in events if data != b"[DONE]"]


def deltas(stream: bytes) -> list[dict]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(stream) if chunk["choices"]]


def assembled(stream: bytes) -> dict:
    """The message that an SDK makes of the chunks."""
    message: dict = {"role": None, "content": None, "refusal": None}
    calls: list[dict] = []
    thoughts: list[dict] = []
    for piece in deltas(stream):
        message["role"] = piece.get("role") or message["role"]
        for name in ("content", "reasoning_content", "refusal"):
            if piece.get(name):
                message[name] = (message.get(name) or "") + piece[name]
        for call in piece.get("tool_calls", ()):
            add(calls, {name: value for name, value in call.items() if name != "function"} | call["function"])
        for thought in piece.get("thinking_blocks", ()):
            add(thoughts, thought)
    if thoughts:
        message["thinking_blocks"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return message


def add(known: list[dict], piece: dict) -> None:
    """As OpenAI's SDK: by `index`; texts grow, but for the type."""
    if piece["index"] == len(known):
        known.append({})
    held = known[piece["index"]]
    for name, value in piece.items():
        if name != "index":
            held[name] = held[name] + value if name in held and name != "type" else value


def test_a_text_becomes_chunks_of_content():
    stream = translated(*HELLO)

    assert deltas(stream) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}]
    assert stream.endswith(b"\n\n" + DONE)
    assert KEEP_ALIVE in stream
    first, *_, last, usage = chunks(stream)
    assert {name: first[name] for name in ("id", "object", "created", "model")} == {
        "id": "msg_1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "claude-opus-5-5-20260922",
    }
    assert last["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"] == {
        "prompt_tokens": 35,
        "completion_tokens": 9,
        "total_tokens": 44,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_tools_become_tool_calls_counted_among_themselves():
    stream = translated(
        start(), BEGIN_TEXT, text("Looking."), stop_block(),
        TOOL, arguments("", 1), arguments('{"city": ', 1), arguments('"Rome"}', 1), stop_block(1),
        begin(2, type="tool_use", id="toolu_2", name="now", input={}), arguments("", 2), stop_block(2),
        end("tool_use"), STOP,
    )  # fmt: skip

    assert assembled(stream) == {
        "role": "assistant",
        "content": "Looking.",
        "refusal": None,
        "tool_calls": [
            {"id": "toolu_1", "type": "function", "name": "weather", "arguments": '{"city": "Rome"}'},
            {"id": "toolu_2", "type": "function", "name": "now", "arguments": "{}"},
        ],
    }
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks(stream) if chunk["choices"]][-1] == "tool_calls"


def test_a_tool_whose_input_came_at_once_keeps_it():
    block = begin(0, type="tool_use", id="toolu_1", name="weather", input={"city": "Rome"})

    stream = translated(start(), block, stop_block(), end("tool_use"), STOP)

    assert assembled(stream)["tool_calls"][0]["arguments"] == '{"city":"Rome"}'


@pytest.mark.parametrize("signature", [None, 5, ""], ids=repr)
def test_a_signature_that_is_none_is_passed_over(signature):
    stream = translated(
        start(), begin(0, type="thinking", thinking="Hm.", signature=signature),
        delta(0, type="signature_delta", signature=signature), stop_block(), end(), STOP,
    )  # fmt: skip

    assert assembled(stream)["thinking_blocks"] == [{"type": "thinking", "thinking": "Hm."}]


def test_thoughts_become_reasoning_and_go_along_signed():
    stream = translated(
        start(), begin(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="Hm. "), delta(0, type="thinking_delta", thinking="Yes."),
        delta(0, type="signature_delta", signature="EqQB"), stop_block(),
        begin(1, type="redacted_thinking", data="x"), stop_block(1),
        begin(2, type="text", text="4"), delta(2, type="citations_delta", citation={}), stop_block(2), end(), STOP,
    )  # fmt: skip

    assert assembled(stream)["reasoning_content"] == "Hm. Yes."
    assert assembled(stream)["content"] == "4"
    assert assembled(stream)["thinking_blocks"] == [
        {"type": "thinking", "thinking": "Hm. Yes.", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "x"},
    ]


def test_blocks_of_anthropics_own_tools_become_nothing():
    stream = translated(
        start(), begin(0, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
        arguments('{"query": "x"}', 0), stop_block(), begin(1, type="web_search_tool_result", content=[]),
        stop_block(1), event("of_tomorrow", delta="x"), end("of_tomorrow"), STOP,
    )  # fmt: skip

    assert deltas(stream) == [{"role": "assistant", "content": ""}, {}]
    assert chunks(stream)[-2]["choices"][0]["finish_reason"] == "stop"


def test_a_refusal_is_a_content_filter_with_its_reason():
    ended = event(
        "message_delta",
        delta={"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "Not that."}},
        usage={"output_tokens": 2, "input_tokens": None},
    )

    stream = translated(start(), ended, STOP)

    assert deltas(stream)[-1] == {"refusal": "Not that."}
    assert chunks(stream)[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert chunks(stream)[-1]["usage"]["prompt_tokens"] == 35


def test_a_start_without_anything_is_an_answer_all_the_same():
    stream = translated(
        event("message_start"), event("content_block_start", index=0), event("content_block_delta", index=0),
        event("message_delta"), end(None), end(), STOP,
    )  # fmt: skip

    assert deltas(stream) == [{"role": "assistant", "content": ""}, {}]


@pytest.mark.parametrize(
    ("type_", "kind", "said"),
    [
        pytest.param("overloaded_error", OutcomeKind.OVERLOADED, "service_unavailable_error", id="overloaded"),
        pytest.param("rate_limit_error", OutcomeKind.RATE_LIMITED, "rate_limit_error", id="rate-limit"),
        pytest.param("api_error", OutcomeKind.UPSTREAM_ERROR, "server_error", id="broken"),
        pytest.param("invalid_request_error", OutcomeKind.CALLER_FAULT, "invalid_request_error", id="caller"),
        pytest.param("billing_error", OutcomeKind.OUT_OF_QUOTA, "billing_error", id="money"),
        pytest.param("authentication_error", OutcomeKind.CREDENTIAL_REJECTED, "authentication_error", id="key"),
    ],
)
def test_an_error_event_is_one_of_openais_and_means_the_same(type_, kind, said):
    stream = translated(start(), event("error", error={"type": type_, "message": "Oh no: org-01ABCdefGHI23456"}))

    error = chunks(stream)[-1]["error"]
    assert (error["type"], error["message"]) == (said, "Oh no: org-***")
    assert classify_stream_error(error_of({"error": error})).kind is kind


@pytest.mark.parametrize("data", [b"Overloaded", b'{"type":"error","error":"Overloaded"}', b"[1,", b""])
def test_an_error_event_in_odd_words_is_an_error_all_the_same(data):
    stream = translated(start(), b"event: error\ndata: " + data + b"\n\n")

    assert set(chunks(stream)[-1]["error"]) == {"message", "type", "param", "code"}


def test_an_event_that_says_it_is_an_error_needs_no_name():
    assert chunks(translated(b'data: {"type":"error","error":{"type":"api_error","message":"x"}}\n\n'))[0]["error"]


def test_a_stream_without_its_stop_still_tells_its_usage():
    stream = translated(*HELLO[:-1])

    assert chunks(stream)[-1]["usage"]["total_tokens"] == 44
    assert DONE not in stream


def test_a_last_event_without_its_blank_line_is_read():
    assert translated(*HELLO[:-1], STOP.rstrip(b"\n")).endswith(DONE)


def test_a_stream_that_was_cut_tells_no_usage():
    stream = translated(*HELLO[:4])

    assert all("usage" not in chunk for chunk in chunks(stream))


def test_a_lost_piece_of_the_answer_breaks_the_translation():
    translator = ChatTranslator(created=CREATED)
    translator.feed(start() + BEGIN_TEXT + text("a"))

    sent = translator.feed(
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"te\n\n' + text("c")
    )

    assert (sent, translator.is_broken) == (b"", True)
    assert translator.feed(text("d") + end() + STOP) == b""


def test_half_an_event_behind_the_end_breaks_nothing():
    translator = ChatTranslator(created=CREATED)
    translator.feed(b"".join(HELLO[:-1]) + b'event: message_delta\ndata: {"delta"')

    assert b'"usage"' in translator.finish()
    assert not translator.is_broken


def test_garbage_without_content_is_left_out():
    translator = ChatTranslator(created=CREATED)

    assert translator.feed(b"event: ping\n\ndata: <html>\n\n: hello\n\n") == b": hello\n\n"
    assert not translator.is_broken


def test_an_event_without_end_breaks_the_translation():
    translator = ChatTranslator(created=CREATED)

    assert translator.feed(b"data: " + b"x" * MAX_EVENT_BYTES) == b""
    assert translator.is_broken


def test_half_a_surrogate_pair_is_read():
    piece = rb'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a\ud83d"}}'

    stream = translated(start(), BEGIN_TEXT, piece + b"\n\n")

    assert deltas(stream)[-1] == {"content": "a\ufffd"}


@pytest.mark.parametrize("body", [b'{"type":"error","error":{"type":"api_error","message":"x"}}', b"[]", b" {"])
def test_a_json_body_in_place_of_a_stream_goes_on_as_it_is(body):
    translator = ChatTranslator(created=CREATED)

    assert translator.feed(body) + translator.feed(b"..") + translator.finish() == body + b".."


STREAM = b"".join(
    [
        *HELLO[:4], stop_block(), begin(1, type="thinking", thinking="", signature=""),
        delta(1, type="thinking_delta", thinking="naïve   線"), stop_block(1),
        begin(2, type="tool_use", id="toolu_1", name="weather", input={}), arguments('{"a":"é"', 2),
        arguments("}", 2), stop_block(2), end("tool_use"), STOP,
    ]
)  # fmt: skip


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_it_may_be_cut_at_every_byte(ends):
    stream = STREAM.replace(b"\n", ends)
    whole = translated(stream)

    assert translated(*(stream[at : at + 1] for at in range(len(stream)))) == whole
    assert whole == translated(STREAM)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=20))
def test_it_may_be_cut_anywhere(cuts):
    places = [0, *sorted(set(cuts)), len(STREAM)]

    assert translated(*(STREAM[a:b] for a, b in pairwise(places))) == translated(STREAM)


PIECES = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), max_size=4)
JSON = st.dictionaries(
    st.text(max_size=3), st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4), max_size=3
)
BLOCKS = st.lists(
    st.tuples(st.sampled_from(["text", "thinking"]), PIECES)
    | st.tuples(st.just("redacted_thinking"), st.text(max_size=3))
    | st.tuples(st.just("tool_use"), JSON),
    max_size=5,
)
REASONS = st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence", "pause_turn"])


@given(BLOCKS, REASONS)
def test_chunks_put_together_are_the_whole_answers_translation(blocks, reason):
    content, events = [], [start()]
    for index, (type_, held) in enumerate(blocks):
        if type_ == "tool_use":
            block = {"type": type_, "id": f"toolu_{index}", "name": "f", "input": held}
            said = msgspec.json.encode(held).decode() if held else ""
            events += [begin(index, **{**block, "input": {}}), arguments(said[:3], index), arguments(said[3:], index)]
        elif type_ == "redacted_thinking":
            block = {"type": type_, "data": held}
            events.append(begin(index, **block))
        else:
            block = {"type": type_, type_: "".join(held)}
            events += [begin(index, **{"type": type_, type_: ""})]
            events += [delta(index, **{"type": f"{type_}_delta", type_: piece}) for piece in held]
            if type_ == "thinking":
                block["signature"] = f"signed-{index}"
                events.append(delta(index, type="signature_delta", signature=block["signature"]))
        content.append(block)
        events.append(stop_block(index))
    usage = {**USAGE, "output_tokens": 9}
    message = {"id": "msg_1", "model": "claude-opus-5-5-20260922", "content": content, "stop_reason": reason}

    whole = json.loads(read_answer(json.dumps({**message, "usage": usage}).encode(), created=CREATED) or b"")
    stream = translated(*events, end(reason), STOP)

    expected = whole["choices"][0]["message"]
    expected["content"] = expected["content"] or None
    for call in expected.get("tool_calls", ()):
        call.update(call.pop("function"))
    assert assembled(stream) == expected
    last, told = chunks(stream)[-2:]
    assert last["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert told["usage"] == whole["usage"]
