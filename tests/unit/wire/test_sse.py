import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sse import DONE, KEEP_ALIVE, Event, EventSplitter, read_event, with_data


def split(*chunks: bytes) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.rest


@pytest.mark.parametrize(
    ("stream", "events", "rest"),
    [
        pytest.param(b"data: 1\n\ndata: 2\n\n", [b"data: 1\n\n", b"data: 2\n\n"], b"", id="lf"),
        pytest.param(b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"data: 1\r\n\r\n", b"data: 2\r\n\r\n"], b"", id="crlf"),
        pytest.param(b"data: 1\r\rdata: 2\n\n", [b"data: 1\r\r", b"data: 2\n\n"], b"", id="cr"),
        pytest.param(b"data: 1\n\r\ndata: 2\r\n\n", [b"data: 1\n\r\n", b"data: 2\r\n\n"], b"", id="mixed"),
        pytest.param(b"a: 1\r\nb: 2\r\n\r\n", [b"a: 1\r\nb: 2\r\n\r\n"], b"", id="two-lines-are-one-event"),
        pytest.param(b"data: 1\n\n\ndata: 2\n\n", [b"data: 1\n\n", b"\ndata: 2\n\n"], b"", id="a-line-too-many"),
        pytest.param(b"data: 1\n", [], b"data: 1\n", id="no-blank-line"),
        pytest.param(b"data: 1\n\ndata", [b"data: 1\n\n"], b"data", id="half-an-event"),
        pytest.param(b"data: 1\r\r", [], b"data: 1\r\r", id="a-last-cr-may-be-half-of-a-crlf"),
        pytest.param(b"data: \xe2\x80\xa8\n\n", [b"data: \xe2\x80\xa8\n\n"], b"", id="u2028-ends-no-line"),
        pytest.param(b"", [], b"", id="empty"),
    ],
)
def test_a_blank_line_ends_an_event(stream, events, rest):
    assert split(stream) == (events, rest)


def test_what_is_no_stream_is_held_unsplit_up_to_a_bound():
    splitter = EventSplitter()

    assert splitter.hold(b'{"a":\n\n', 10)
    assert splitter.hold(b"1}", 10)
    assert splitter.rest == b'{"a":\n\n1}'
    assert not splitter.hold(b" ", len(splitter.rest))
    assert splitter.rest == b""


def test_a_whole_event_is_handed_on_without_a_copy():
    chunk = b'data: {"a":1}\n\n'

    assert EventSplitter().feed(chunk)[0] is chunk


@given(st.lists(st.sampled_from([b"data: 1", b":c", b"\n", b"\r\n", b"\r", b"\n\n", b"x"])), st.data())
def test_events_are_the_same_however_the_stream_is_cut(parts, data):
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    whole = split(stream)

    assert split(*pieces) == whole
    assert split(*[stream[i : i + 1] for i in range(len(stream))]) == whole
    assert b"".join(whole[0]) + whole[1] == stream


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        pytest.param(b"data: x\n\n", Event(data=b"x"), id="data"),
        pytest.param(b"data:x\n\n", Event(data=b"x"), id="no-space"),
        pytest.param(b"data:  x\r\n\r\n", Event(data=b" x"), id="one-space-is-dropped"),
        pytest.param(b"data: a\ndata: b\n\n", Event(data=b"a\nb"), id="two-lines"),
        pytest.param(b"data\n\n", Event(data=b""), id="no-colon"),
        pytest.param(b"event: error\ndata: x\n\n", Event(name="error", data=b"x"), id="named"),
        pytest.param(b"event: ping\n\n", Event(name="ping"), id="no-data"),
        pytest.param(b"id: 5\nretry: 10\n\n", Event(), id="other-fields"),
        pytest.param(b": hello\n\n", Event(is_comment=True), id="comment"),
        pytest.param(b"\n\n", Event(is_comment=True), id="blank"),
        pytest.param(b"\xef\xbb\xbfdata: x\n\n", Event(data=b"x"), id="byte-order-mark"),
    ],
)
def test_an_event_is_read_by_its_lines(raw, event):
    assert read_event(raw) == event


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"event: a\r\ndata: old\r\n\r\n", b"event: a\r\ndata: new\n1\r\n\r\n", id="one-line"),
        pytest.param(b"id: 1\ndata: o\ndata: ld\n\n", b"id: 1\ndata: new\ndata: 1\n\n", id="several-lines"),
    ],
)
def test_data_is_replaced_and_other_lines_stay(raw, expected):
    assert with_data(raw, read_event(raw).data or b"", b"new\n1") == expected


def test_what_we_write_reads_as_meant():
    assert read_event(KEEP_ALIVE).is_comment
    assert read_event(DONE).data == b"[DONE]"
