"""Messages that broke and go on with what another account says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import sent as sent_pieces
from gateway.wire.sent import Sent
from gateway.wire.splice_messages import ToldMessage
from tests.unit.wire.openai_anthropic.samples import (
    BEGIN_TEXT,
    PING,
    STOP,
    begin,
    delta,
    end,
    event,
    start,
    stop_block,
    text,
)

HEAD = (start(), BEGIN_TEXT)
TAIL = (stop_block(), end(), STOP)
WHOLE = (*HEAD, text("one two"), *TAIL)
TWO_BLOCKS = (*HEAD, text("one"), stop_block(), begin(1, type="text", text=""), text(" two", 1), stop_block(1))


def spliced(first, second):
    """The first answer's events and what of the second goes on behind them; None: they cannot be put together."""
    sent = Sent(ToldMessage())
    sent.add(b"".join(first))
    splicer = sent.splicer()
    if splicer is None:
        return None
    rests = [splicer.feed(raw.replace(b"msg_1", b"msg_2")) for raw in second]
    return None if None in rests else b"".join((*first, *rests))


def events_of(stream):
    return [json.loads(raw.partition(b"data: ")[2]) for raw in stream.split(b"\n\n") if raw]


def text_of(events):
    return "".join(said["delta"].get("text", "") for said in events if said["type"] == "content_block_delta")


def test_the_rest_goes_on_under_the_first_answers_id():
    events = events_of(spliced((*HEAD, text("one ")), (*HEAD, PING, text("on"), text("e two"), *TAIL)))

    assert [said["type"] for said in events] == [
        *("message_start", "content_block_start", "content_block_delta", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    assert [said["delta"]["text"] for said in events[2:4]] == ["one ", "two"]
    assert events[0]["message"]["id"] == "msg_1"
    assert events[-2]["usage"] == {"output_tokens": 9}


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(HEAD[:1], id="behind-the-start"),
        pytest.param((*HEAD, PING), id="before-the-text"),
        pytest.param((*HEAD, text("one two")), id="at-an-event-s-end"),
        pytest.param(WHOLE[:-2], id="behind-the-block"),
        pytest.param(WHOLE[:-1], id="behind-the-end"),
    ],
)
def test_every_place_can_be_gone_on_from(first):
    events = events_of(spliced(first, WHOLE))

    assert text_of(events) == "one two"
    assert [said["type"] for said in events].count("message_delta") == 1
    assert events[-1]["type"] == "message_stop"


def test_several_texts_keep_their_indexes():
    events = events_of(spliced(TWO_BLOCKS[:-2], (*TWO_BLOCKS, end(), STOP)))

    assert [(said["index"], said["delta"]["text"]) for said in events if "index" in said and "delta" in said] == [
        (0, "one"),
        (1, " two"),
    ]


def test_a_block_that_begins_with_text_goes_on_as_a_piece():
    begun = begin(0, type="text", text="one two")

    assert text_of(events_of(spliced(HEAD, (start(), begun, *TAIL)))) == "one two"
    assert text_of(events_of(spliced((*HEAD, text("one")), (start(), begun, *TAIL)))) == "one two"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param((start(), begin(0, type="thinking", thinking="")), id="thinking"),
        pytest.param((start(), begin(0, type="tool_use", id="t", name="f", input={})), id="tool"),
        pytest.param((*WHOLE[:-2], begin(1, type="server_tool_use", id="t")), id="tool-behind-a-text"),
        pytest.param((*HEAD, delta(0, type="citations_delta", citation={})), id="citation"),
        pytest.param((start(), begin(0, type="text", text="", citations=[{}])), id="cited-block"),
        pytest.param((*HEAD, event("content_block_new")), id="unknown"),
        pytest.param((*HEAD, b"data: {\n\n"), id="unreadable"),
    ],
)
def test_what_holds_more_than_text_is_never_put_together(first):
    assert spliced(first, (*first, *TAIL)) is None


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((*HEAD, text("two")), id="another-text"),
        pytest.param((*HEAD, text("on"), *TAIL), id="shorter"),
        pytest.param((start(), begin(0, type="thinking", thinking="")), id="thinks-first"),
        pytest.param((start(), begin(1, type="text", text="")), id="another-index"),
        pytest.param((start(), start()), id="another-order"),
        pytest.param((event("error", error={"type": "api_error", "message": "no"}),), id="an-error"),
        pytest.param((b"data: 5\n\n",), id="no-event"),
    ],
)
def test_an_answer_that_differs_is_refused(second):
    assert spliced((*HEAD, text("one")), second) is None


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((*WHOLE[:-2], end("max_tokens"), STOP), id="reason"),
        pytest.param((*HEAD, text("one two three"), *TAIL), id="grown"),
        pytest.param((*WHOLE[:-2], begin(1, type="text", text=""), *TAIL), id="more-blocks"),
    ],
)
def test_an_end_that_was_told_must_be_the_same(second):
    assert spliced(WHOLE[:-1], second) is None


def test_comments_and_errors_pass_by():
    sent = Sent(ToldMessage())
    sent.add(b"".join((*HEAD, b": hello\n\n", text("one"))))
    splicer = sent.splicer()
    failed = event("error", error={"type": "api_error", "message": "no"})

    assert splicer.feed(b"".join((*HEAD, b": hello\n\n", text("on")))) == b""
    assert splicer.renumbered(failed) == failed


def test_what_comes_behind_the_text_may_be_a_tool():
    tool = begin(1, type="tool_use", id="toolu_1", name="f", input={})

    spliced_stream = spliced((*HEAD, text("one")), (*HEAD, text("one two"), stop_block(), tool, end("tool_use"), STOP))

    assert spliced_stream.endswith(tool + end("tool_use") + STOP)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(sent_pieces, "READ_EVERY_BYTES", 1_000)
    monkeypatch.setattr(sent_pieces, "MAX_TEXT", 5_000)
    sent = Sent(ToldMessage())
    sent.add(b"".join(HEAD))
    for _ in range(100):
        sent.add(text("x" * 100))

    assert (sent._told, sent._pieces, sent.splicer()) == (None, [], None)


@given(st.text(max_size=30), st.text(max_size=30), st.lists(st.integers(1, 9)), st.lists(st.integers(1, 9)))
def test_texts_are_put_together_wherever_they_are_cut(sent, rest, first_cuts, second_cuts):
    def cut(said, sizes):
        pieces = []
        for size in [*sizes, len(said) + 1]:
            pieces.append(text(said[:size]))
            said = said[size:]
        return pieces

    whole = spliced((*HEAD, *cut(sent, first_cuts)), (*HEAD, *cut(sent + rest, second_cuts), *TAIL))

    assert text_of(events_of(whole)) == sent + rest
    assert whole.endswith(b"".join(TAIL))
