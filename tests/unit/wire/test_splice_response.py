import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import sent as sent_so_far
from gateway.wire.sent import Sent
from gateway.wire.splice_response import ToldResponse


def event(type_, number=0, **members):
    data = {"type": type_, "sequence_number": number, **members}
    return f"event: {type_}\ndata: {json.dumps(data)}\n\n".encode()


def delta(text, **members):
    return event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text, **members)


RESPONSE = {"id": "resp_1", "created_at": 5, "model": "gpt-4", "output": []}
MESSAGE = {"id": "msg_1", "type": "message", "content": []}
PART = {"type": "output_text", "text": ""}
CREATED = event("response.created", response=RESPONSE)
ITEM = event("response.output_item.added", item=MESSAGE, output_index=0)
PART_ADDED = event("response.content_part.added", item_id="msg_1", part=PART, output_index=0, content_index=0)
HEAD = (CREATED, ITEM, PART_ADDED)
TEXT_DONE = event("response.output_text.done", item_id="msg_1", text="one two", output_index=0, content_index=0)
ITEM_DONE = event("response.output_item.done", item=MESSAGE | {"content": [PART]}, output_index=0)
COMPLETED = event("response.completed", response=RESPONSE | {"output": [MESSAGE]})
TAIL = (TEXT_DONE, ITEM_DONE, COMPLETED)


def numbered(events, start=0):
    """The same events, one after another."""
    written = []
    for number, raw in enumerate(events, start):
        line, _, data = raw.partition(b"data: ")
        value = json.loads(data) | {"sequence_number": number}
        written.append(line + b"data: " + json.dumps(value).encode() + b"\n\n")
    return written


def renamed(events):
    """What another account says of the same."""
    names = ((b"resp_1", b"resp_2"), (b"msg_1", b"msg_2"), (b'"created_at": 5', b'"created_at": 6'))
    for old, new in names:
        events = [raw.replace(old, new) for raw in events]
    return events


def spliced(first, second):
    """The first answer's events and what of the second goes on behind them; None: they cannot be put together."""
    sent = Sent(ToldResponse())
    first, second = numbered(first), renamed(numbered(second))
    sent.add(b"".join(first))
    splicer = sent.splicer()
    if splicer is None:
        return None
    parts = []
    for raw in second:
        rest = splicer.feed(raw)
        if rest is None:
            return None
        parts.append(rest)
    return first, b"".join(parts)


def told(first, rest):
    return [json.loads(raw.partition(b"data: ")[2]) for raw in (b"".join(first) + rest).split(b"\n\n") if raw]


def test_the_rest_goes_on_under_the_first_answers_names():
    events = told(*spliced((*HEAD, delta("one ")), (*HEAD, delta("on"), delta("e two"), *TAIL)))

    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["delta"] for event in events if "delta" in event] == ["one ", "two"]
    assert [event["sequence_number"] for event in events] == list(range(8))
    assert events[-1]["response"] == RESPONSE | {"output": [MESSAGE]}
    assert {event["item_id"] for event in events if "item_id" in event} == {"msg_1"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((CREATED,), (*HEAD, delta("one two"), *TAIL), id="behind-the-announcement"),
        pytest.param(HEAD, (*HEAD, delta("one two"), *TAIL), id="before-the-text"),
        pytest.param((*HEAD, delta("one two")), (*HEAD, delta("one two"), *TAIL), id="at-an-event's-end"),
        pytest.param((*HEAD, delta("one two"), TEXT_DONE), (*HEAD, delta("one"), delta(" two"), *TAIL), id="text-done"),
        pytest.param((*HEAD, delta("one two"), TEXT_DONE, ITEM_DONE), (*HEAD, delta("one two"), *TAIL), id="all-done"),
        pytest.param(
            (*HEAD, delta("one")), (CREATED, event("keepalive"), ITEM, PART_ADDED, delta("one two"), *TAIL), id="alive"
        ),
    ],
)
def test_every_place_can_be_gone_on_from(first, second):
    events = told(*spliced(first, second))

    assert "".join(event.get("delta", "") for event in events) == "one two"
    assert [event["type"] for event in events].count("response.completed") == 1
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


REASONING = event("response.output_item.added", item={"id": "rs_1", "type": "reasoning"}, output_index=0)
CALL = event("response.output_item.added", item={"id": "fc_1", "type": "function_call"}, output_index=1)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param((CREATED, REASONING), id="reasoning"),
        pytest.param((*HEAD, delta("one"), CALL), id="tool-call"),
        pytest.param((*HEAD, delta("one", logprobs=[{"token": "one"}])), id="logprobs"),
        pytest.param((*HEAD, event("response.refusal.delta", delta="no")), id="refusal"),
        pytest.param((CREATED, event("response.web_search_call.searching")), id="search"),
        pytest.param((*HEAD, event("response.output_text.delta", delta="x", content_index=1)), id="second-part"),
        pytest.param((CREATED, ITEM, event("response.content_part.added", part={"type": "refusal"})), id="other-part"),
        pytest.param((*HEAD, b'data: {"type":5}\n\n'.replace(b"5", b'"response.odd"')), id="unknown"),
    ],
)
def test_what_holds_more_than_a_text_is_never_put_together(first):
    assert spliced(first, (*first, *TAIL)) is None


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((*HEAD, delta("two")), id="another-text"),
        pytest.param((*HEAD, delta("on"), *TAIL), id="shorter"),
        pytest.param((*HEAD, delta("on"), CALL), id="a-tool-instead"),
        pytest.param((CREATED, REASONING), id="reasoning"),
        pytest.param((CREATED, CREATED), id="another-order"),
        pytest.param((CREATED, ITEM, PART_ADDED, ITEM), id="one-more"),
        pytest.param((event("response.in_progress", response=RESPONSE),), id="begins-otherwise"),
    ],
)
def test_an_answer_that_differs_is_refused(second):
    assert spliced((*HEAD, delta("one")), second) is None


def test_a_text_that_was_ended_may_not_grow():
    assert spliced((*HEAD, delta("one two"), TEXT_DONE), (*HEAD, delta("one two three"), *TAIL)) is None


def test_what_comes_behind_the_text_may_be_a_tool_call():
    events = told(*spliced((*HEAD, delta("one two")), (*HEAD, delta("one two"), TEXT_DONE, ITEM_DONE, CALL, COMPLETED)))

    assert [event["type"] for event in events][-2:] == ["response.output_item.added", "response.completed"]
    assert events[-2]["item"]["id"] == "fc_1"


def test_an_unreadable_rest_is_refused():
    sent = Sent(ToldResponse())
    sent.add(b"".join(numbered(HEAD)))
    splicer = sent.splicer()

    assert splicer.feed(b"data: {\n\n") is None
    assert sent.splicer().feed(b"data: 5\n\n") is None


def test_an_error_has_the_number_that_follows():
    sent = Sent(ToldResponse())
    sent.add(b"".join(numbered(HEAD)))
    splicer = sent.splicer()

    written = splicer.renumbered(event("error", 77, message="x"))

    assert json.loads(written.partition(b"data: ")[2])["sequence_number"] == 3


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(sent_so_far, "READ_EVERY_BYTES", 1_000)
    monkeypatch.setattr(sent_so_far, "MAX_TEXT", 5_000)
    sent = Sent(ToldResponse())
    sent.add(b"".join(HEAD))
    for _ in range(100):
        sent.add(delta("x" * 100))

    assert sent._told is None
    assert sent._pieces == []
    assert sent.splicer() is None


@given(st.text(max_size=30), st.text(max_size=30), st.lists(st.integers(1, 9)), st.lists(st.integers(1, 9)))
def test_texts_are_put_together_wherever_they_are_cut(sent, rest, first_cuts, second_cuts):
    def cut(text, sizes):
        pieces = []
        for size in [*sizes, len(text) + 1]:
            pieces.append(delta(text[:size]))
            text = text[size:]
        return pieces

    events = told(*spliced((*HEAD, *cut(sent, first_cuts)), (*HEAD, *cut(sent + rest, second_cuts), *TAIL)))

    assert "".join(event.get("delta", "") for event in events) == sent + rest
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_a_text_that_ends_sooner_is_another_one():
    assert spliced((*HEAD, delta("one two"), TEXT_DONE), (*HEAD, delta("one"), TEXT_DONE)) is None


def joined():
    sent = Sent(ToldResponse())
    sent.add(b"".join(numbered((*HEAD, delta("one")))))
    splicer = sent.splicer()
    assert splicer.feed(b"".join(numbered((*HEAD, delta("one"))))) == b""
    return splicer


def test_what_follows_needs_no_number_but_must_be_an_event():
    splicer = joined()

    assert b"sequence_number" not in splicer.feed(b'data: {"type":"response.new"}\n\n')
    assert splicer.feed(b"data: 5\n\n") is None
