import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Usage
from gateway.wire.endpoints import find
from gateway.wire.sse import DONE, KEEP_ALIVE
from gateway.wire.stream import MAX_EVENT_BYTES, StreamReader
from tests.fakes.chat_chunks import COMPLETION, ROLE, STOP, TEXT, USAGE, chunk, event, reader


def test_a_whole_stream_goes_on_as_it_came():
    read = reader()
    stream = [ROLE, KEEP_ALIVE, TEXT, STOP, USAGE, DONE]

    sent = [read.feed(piece) for piece in stream]

    assert sent == stream
    assert all(piece is sent_piece for piece, sent_piece in zip(stream, sent, strict=True))
    assert (read.has_content, read.is_done, read.is_over, read.is_finished) == (True, True, True, True)
    assert (read.events, read.chunks, read.left_out) == (4, 6, 0)
    assert read.usage == Usage(5, 7)
    assert read.object_id == "c"
    assert read.finish() == b""


def test_nothing_is_read_after_the_end():
    read = reader()
    read.feed(TEXT + DONE + TEXT)

    assert read.feed(TEXT) == b""
    assert read.events == 1


@pytest.mark.parametrize(
    ("delta", "has_content"),
    [
        pytest.param({"role": "assistant"}, False, id="role"),
        pytest.param({"role": "assistant", "content": ""}, False, id="role-and-empty-text"),
        pytest.param({"role": "assistant", "content": None, "refusal": None, "tool_calls": []}, False, id="nulls"),
        pytest.param({}, False, id="empty"),
        pytest.param(None, False, id="null"),
        pytest.param({"content": "a"}, True, id="text"),
        pytest.param({"role": "assistant", "content": "a"}, True, id="role-and-text"),
        pytest.param({"content": "", "refusal": "no"}, True, id="refusal"),
        pytest.param({"content": None, "tool_calls": [{"index": 0}]}, True, id="tool-call"),
        pytest.param({"reasoning_content": "hm"}, True, id="reasoning"),
        pytest.param({"content": '"role":"x"}'}, True, id="text-that-looks-like-a-role"),
        pytest.param({"content": "\\"}, True, id="backslash"),
    ],
)
@pytest.mark.parametrize("space", ["", " ", "\n"])
def test_content_is_anything_but_a_role(delta, has_content, space):
    data = json.dumps({"choices": [{"index": 0, "delta": delta}]}, separators=("," + space, ":" + space))
    read = reader()

    read.feed("".join(f"data: {line}\n" for line in data.split("\n")).encode() + b"\n")

    assert read.has_content is has_content


@pytest.mark.parametrize(
    ("choice", "has_content"),
    [
        pytest.param({"index": 0, "text": ""}, False, id="empty"),
        pytest.param({"index": 0, "text": None}, False, id="null"),
        pytest.param({"index": 0, "text": "a"}, True, id="text"),
        pytest.param({"index": 0, "text": "", "finish_reason": "length"}, True, id="the-end"),
    ],
)
def test_content_of_a_completion_is_its_text(choice, has_content):
    read = reader(COMPLETION)

    read.feed(event({"choices": [choice]}))

    assert read.has_content is has_content


def test_an_end_without_content_counts_as_content():
    read = reader()

    read.feed(chunk({}, "content_filter"))

    assert read.has_content


def test_filter_results_without_choices_are_no_content():
    read = reader()

    assert read.feed(event({"choices": [], "prompt_filter_results": [{"a": 1}]})) != b""
    assert not read.has_content
    assert read.events == 1


def test_comments_restart_nothing_and_go_on():
    read = reader()

    assert read.feed(KEEP_ALIVE) == KEEP_ALIVE
    assert read.feed(b"\n\n") == b"\n\n"
    assert read.events == 0


def test_every_choice_must_be_finished():
    read = reader()
    read.feed(chunk({"content": "a"}, index=0) + chunk({"content": "b"}, index=1) + chunk({}, "stop", index=0))

    assert not read.is_finished
    read.feed(chunk({}, "stop", index=1))
    assert read.is_finished


def test_a_missing_done_after_a_finished_answer_is_added():
    read = reader()
    read.feed(TEXT + STOP)

    assert read.finish() == DONE


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(ROLE, id="role"),
        pytest.param(TEXT, id="text"),
        pytest.param(TEXT + b'data: {"choices":[{"del', id="half-an-event"),
        pytest.param(TEXT + STOP.rstrip()[:-9], id="half-of-the-end"),
        pytest.param(KEEP_ALIVE, id="comments"),
    ],
)
def test_an_early_end_is_told(stream):
    read = reader()
    read.feed(stream)

    assert read.finish() is None
    assert not read.is_done


@pytest.mark.parametrize(
    ("rest", "added"),
    [
        pytest.param(b"data: [DONE]", DONE, id="no-line-end"),
        pytest.param(b"data: [DONE]\r", DONE, id="half-a-crlf"),
        pytest.param(b"data: [DONE]\n", DONE, id="no-blank-line"),
        pytest.param(USAGE.strip(), USAGE + DONE, id="usage"),
        pytest.param(b'data: {"choices":[],"usage":{"pro', DONE, id="half-a-usage"),
        pytest.param(b"\n", DONE, id="a-line-end-too-many"),
    ],
)
def test_the_last_event_may_lack_its_blank_line(rest, added):
    read = reader()
    read.feed(TEXT + STOP + rest)

    assert read.finish() == added


def test_the_end_may_stand_in_an_event_without_its_blank_line():
    read = reader()
    read.feed(TEXT + STOP.strip())

    assert read.finish() == STOP + DONE


def test_a_stream_of_cr_lines_ends_with_its_body():
    read = reader()
    stream = (TEXT + STOP + DONE).replace(b"\n", b"\r")

    assert read.feed(stream) + (read.finish() or b"") == stream[:-2] + b"\n\n"
    assert read.is_done


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"data: {broken json}\n\n", id="broken"),
        pytest.param(b"data: hello\n\n", id="text"),
        pytest.param(b"data:\n\n", id="empty"),
        pytest.param(b"event: ping\n\n", id="no-data"),
        pytest.param(b"id: 5\n\n", id="only-an-id"),
        pytest.param(b"data: 5\n\n", id="number"),
        pytest.param(b"data: []\n\n", id="list"),
        pytest.param(b"data: {\xff\n\n", id="not-utf-8"),
        pytest.param(b"data: " + b"[" * 5000 + b"\n\n", id="deep"),
        pytest.param(b'data: {"a":' + b"[" * 5000 + b"\n\n", id="deep-object"),
    ],
)
def test_an_event_that_is_no_json_is_left_out_and_counted(raw):
    read = reader()

    assert read.feed(TEXT + raw + STOP) == TEXT + STOP
    assert read.left_out == 1
    assert read.events == 2
    assert not read.is_over


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'data: {"choices":[{"delta":{"content":"hel\n\n', id="cut-delta"),
        pytest.param(b'data: {"choices":[{"index":0,"text":"a}]}\n\n', id="cut-text"),
        pytest.param(b'data: {"id":"x","delta":}\n\n', id="broken-delta"),
    ],
)
def test_a_lost_piece_of_the_answer_breaks_the_stream(raw):
    read = reader()

    assert read.feed(TEXT + raw + STOP + DONE) == TEXT
    assert read.is_broken
    assert read.is_over
    assert read.feed(STOP) == b""
    assert read.finish() is None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(event({"choices": [{"index": None, "delta": {"content": "a"}}]}), id="index-null"),
        pytest.param(event({"choices": {"not": "a list"}}), id="choices-object"),
        pytest.param(event({"id": "x", "x_groq": {"id": "y"}}), id="no-choices"),
        pytest.param(event({"choices": [{"finish_reason": 5}]}), id="finish-number"),
        pytest.param(b'data: {"choices":[null],"n":1e999}\n\n', id="number-out-of-range"),
        pytest.param(b"event: chunk\n" + TEXT, id="named"),
        pytest.param(event({"choices": [], "usage": 5}), id="usage-number"),
    ],
)
@pytest.mark.parametrize("hides_usage", [True, False])
def test_json_of_a_form_we_do_not_know_goes_on(raw, hides_usage):
    read = reader(hides_usage=hides_usage)

    assert read.feed(raw) == raw
    assert read.events == 1
    assert not read.is_over


def test_half_a_surrogate_pair_goes_on_as_it_came():
    read = reader(hides_usage=True)
    raw = b'data: {"choices":[{"delta":{"content":"\\ud83d"}}], "usage": null}\n\n'

    assert read.feed(raw) == b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n'
    assert read.has_content


STREAM = b"".join(
    [
        KEEP_ALIVE,
        chunk({"role": "assistant", "content": ""}, usage=None),
        chunk({"content": 'a ",\\"usage\\":null\n\n \u2028 é'}, usage=None),
        b"event: ping\n\n",
        chunk({"content": "b"}, usage=None).replace(b"\n", b"\r\n"),
        chunk({}, "stop", usage=None),
        USAGE,
        DONE,
    ]
)


@pytest.mark.parametrize("hides_usage", [True, False])
@given(data=st.data())
def test_a_stream_reads_the_same_however_it_is_cut(hides_usage, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(STREAM)), max_size=8)))
    pieces = [STREAM[start:end] for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    whole, cut, single = (
        reader(hides_usage=hides_usage),
        reader(hides_usage=hides_usage),
        reader(hides_usage=hides_usage),
    )

    expected = whole.feed(STREAM)

    assert b"".join(map(cut.feed, pieces)) == expected
    assert b"".join(single.feed(STREAM[place : place + 1]) for place in range(len(STREAM))) == expected
    for read in (cut, single):
        assert (read.events, read.left_out, read.usage) == (5, 1, Usage(5, 7))
        assert read.is_done
        assert read.is_finished


@pytest.mark.parametrize("lead", [pytest.param(b"data: ", id="event"), pytest.param(b"{", id="json")])
def test_an_endless_event_breaks_the_stream(lead):
    read = reader()
    read.feed(lead)

    assert read.feed(b"x" * (MAX_EVENT_BYTES + 1)) == b""
    assert read.is_broken
    assert read.finish() is None


def test_a_reader_for_an_endpoint_without_events_is_a_bug():
    with pytest.raises(AssertionError):
        StreamReader(find("POST", "/embeddings"), hides_usage=False)
