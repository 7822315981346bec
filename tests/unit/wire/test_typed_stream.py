import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Endpoint, Schema, StreamKind, Usage
from gateway.core.errors import UpstreamFailed
from gateway.core.outcome import ErrorBody
from gateway.wire import typed_stream
from gateway.wire.reading import reader_for
from gateway.wire.sse import KEEP_ALIVE
from gateway.wire.typed_stream import TypedReader
from tests.fakes.typed_events import (
    COMPLETED,
    CREATED,
    DELTA,
    DONE,
    FAILED,
    IMAGE,
    IN_PROGRESS,
    ITEM,
    PARTIAL,
    RUN,
    RUN_DONE,
    RUN_END,
    STEP,
    WORDS,
    data_of,
    endpoint,
    event,
    other,
    responses,
)

# -- responses ---------------------------------------------------------------------------------------------------


def test_a_whole_response_goes_on_as_it_came():
    read = responses()
    stream = [CREATED, IN_PROGRESS, KEEP_ALIVE, ITEM, DELTA, COMPLETED]

    sent = [read.feed(piece) for piece in stream]

    assert sent == stream
    assert (read.has_content, read.is_done, read.is_finished, read.is_over) == (True, True, True, True)
    assert (read.events, read.left_out, read.error) == (5, 0, None)
    assert read.usage == Usage(5, 7, 2)
    assert read.object_id == "resp_1"
    assert read.finish() == b""


@pytest.mark.parametrize(
    ("raw", "has_content"),
    [
        pytest.param(CREATED, False, id="created"),
        pytest.param(event("response.queued", response={}), False, id="queued"),
        pytest.param(IN_PROGRESS, False, id="in-progress"),
        pytest.param(ITEM, False, id="item"),
        pytest.param(event("response.content_part.added", part={"text": ""}), False, id="part"),
        pytest.param(event("response.output_text.delta", delta=""), False, id="empty-delta"),
        pytest.param(event("keepalive"), False, id="keep-alive"),
        pytest.param(DELTA, True, id="text"),
        pytest.param(event("response.output_text.delta", name="", delta="a"), True, id="without-a-name"),
        pytest.param(event("response.refusal.delta", delta="no"), True, id="refusal"),
        pytest.param(event("response.web_search_call.searching", item_id="ws_1"), True, id="a-tool-acts"),
        pytest.param(event("response.incomplete", response={}), True, id="an-end-without-words"),
        pytest.param(event("response.of.another.year"), True, id="unknown"),
    ],
)
def test_content_is_anything_but_an_announcement(raw, has_content):
    read = responses()

    assert read.feed(raw) == raw
    assert read.has_content is has_content


@pytest.mark.parametrize("type_", ["response.completed", "response.incomplete"])
def test_nothing_is_read_behind_the_last_event(type_):
    read = responses()
    last = event(type_, response={})

    assert read.feed(DELTA + last + DONE + DELTA) == DELTA + last
    assert read.feed(DELTA) == b""


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(CREATED, id="created"),
        pytest.param(CREATED + DELTA, id="text"),
        pytest.param(CREATED + DELTA + COMPLETED[:-9], id="half-of-the-end"),
        pytest.param(KEEP_ALIVE, id="comments"),
        pytest.param(CREATED + DELTA + DONE, id="done-in-place-of-the-end"),
        pytest.param(DONE, id="nothing-but-done"),
    ],
)
def test_an_early_end_is_told(stream):
    read = responses()
    read.feed(stream)

    assert read.finish() is None
    assert not read.is_done


def test_the_last_event_may_lack_its_blank_line():
    read = responses()
    read.feed(DELTA + COMPLETED.strip())

    assert read.finish() == COMPLETED
    assert read.usage == Usage(5, 7, 2)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        pytest.param(
            event("error", code="server_error", message="Oops", param=None, sequence_number=1),
            ErrorBody("Oops", code="server_error", is_readable=True),
            id="flat",
        ),
        pytest.param(
            event("error", sequence_number=1, error={"type": "tokens", "code": "rate_limit_exceeded", "message": "No"}),
            ErrorBody("No", type="tokens", code="rate_limit_exceeded", is_readable=True),
            id="nested",
        ),
        pytest.param(event("error", name="", message="Oops"), ErrorBody("Oops", is_readable=True), id="without-a-name"),
        pytest.param(b'data: {"error":{"message":"No"}}\n\n', ErrorBody("No", is_readable=True), id="as-of-chats"),
        pytest.param(
            FAILED,
            ErrorBody("Rate limit of org-abcdefgh", code="rate_limit_exceeded", is_readable=True),
            id="failed",
        ),
        pytest.param(event("response.failed", response={"error": None}), ErrorBody(), id="failed-without-a-word"),
        pytest.param(event("response.failed", response=5), ErrorBody(), id="failed-oddly"),
        pytest.param(b'event: error\ndata: {"message":"No","x":1e999}\n\n', ErrorBody(), id="number-out-of-range"),
    ],
)
def test_errors_end_a_stream_and_are_not_sent_on(raw, error):
    read = responses()

    assert read.feed(CREATED + raw + DELTA) == CREATED
    assert read.error == error
    assert read.is_over
    assert read.finish() is None


def test_an_error_of_ours_is_both_forms_in_one():
    read = responses()
    read.feed(CREATED + IN_PROGRESS)

    event_ = read.write_error(UpstreamFailed("It broke."))

    assert event_.startswith(b"event: error\ndata: ")
    assert event_.endswith(b"\n\n")
    assert data_of(event_) == {
        "type": "error",
        "code": "upstream_error",
        "message": "It broke.",
        "param": None,
        "sequence_number": 2,
        "error": {"type": "server_error", "code": "upstream_error", "message": "It broke.", "param": None},
    }


def test_the_upstreams_error_event_is_written_in_both_forms():
    read = responses()
    read.feed(CREATED + event("error", code="server_error", message="Oops in org-abcdefgh", sequence_number=1))

    told = data_of(read.write_error(read.error))

    assert (told["code"], told["error"]["code"], told["sequence_number"]) == ("server_error", "server_error", 1)
    assert told["message"] == told["error"]["message"] == "Oops in org-***"


def test_a_failed_response_goes_on_as_it_came_but_for_identifiers():
    read = responses()
    read.feed(CREATED + FAILED)

    assert read.write_error(read.error) == FAILED.replace(b"org-abcdefgh", b"org-***")
    assert b"It broke" in read.write_error(UpstreamFailed("It broke."))


def test_a_response_that_is_only_read_tells_of_errors_that_are_not_its_own():
    read = responses("GET")
    stream = CREATED + FAILED

    assert read.feed(stream) == stream
    assert (read.error, read.is_done, read.usage) == (None, True, None)
    again = responses("GET")
    assert again.feed(event("error", message="Oops") + DELTA) == event("error", message="Oops")
    assert again.finish() == b""


def test_usage_of_a_response_that_is_only_read_was_counted_before():
    read = responses("GET")
    read.feed(CREATED + DELTA + COMPLETED)

    assert read.is_done
    assert read.usage is None


# -- what is no event --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [responses, other])
def test_a_json_body_goes_on_when_it_is_whole_and_no_error(make):
    whole, failed, cut = make(), make(), make()
    body = b'{"id":"resp_1","status":"completed","error":null}'

    assert whole.feed(body[:9]) + whole.feed(body[9:]) == b""
    assert whole.finish() == body
    failed.feed(b'{"error":{"message":"No","code":"server_error"}}')
    assert failed.finish() is None
    assert failed.error == ErrorBody("No", code="server_error", is_readable=True)
    cut.feed(b'{"id":"resp_1"')
    assert cut.finish() is None
    assert cut.error is not None


@pytest.mark.parametrize(
    ("raw", "is_broken"),
    [
        pytest.param(b'event: response.output_text.delta\ndata: {"type":"resp\n\n', True, id="half-an-event"),
        pytest.param(b"data: <<noise>>\n\n", False, id="noise"),
        pytest.param(b"event: ping\n\n", False, id="a-name-alone"),
        pytest.param(b"retry: 5\n\n", False, id="a-time-alone"),
    ],
)
def test_what_is_no_json_is_left_out_and_breaks_the_stream_where_it_held_an_answer(raw, is_broken):
    read = responses()

    assert read.feed(CREATED + raw) == CREATED
    assert (read.is_broken, read.left_out) == (is_broken, 1)


def test_json_that_is_no_object_goes_on():
    read = other("/what/is/new")

    assert read.feed(b"data: 5\n\n") == b"data: 5\n\n"
    assert read.events == 1


def test_half_of_a_surrogate_pair_is_no_reason_to_lose_an_event():
    read = responses()
    raw = b'data: {"type":"response.output_text.delta","delta":"\\ud83d"}\n\n'

    assert read.feed(raw) == raw
    assert read.has_content


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(typed_stream, "MAX_EVENT_BYTES", 100_000)
    events, body = other(), other()
    for _ in range(60):
        events.feed(b"data: " + b"x" * 2_000)
        body.feed(b'{"a":"' + b"x" * 2_000)

    assert events.is_broken
    assert body.is_broken


def test_large_events_come_whole_however_they_are_cut():
    read = other()
    big = event("image_generation.completed", b64_json="x" * 300_000)

    sent = [read.feed((PARTIAL + big)[at : at + 1_000]) for at in range(0, len(PARTIAL + big), 1_000)]

    assert b"".join(sent) == PARTIAL + big
    assert [piece for piece in sent if piece] == [PARTIAL, big]


STREAMS = [
    ("/responses", StreamKind.RESPONSES, CREATED + IN_PROGRESS + KEEP_ALIVE + ITEM + DELTA + COMPLETED),
    ("/responses", StreamKind.RESPONSES, CREATED + DELTA + FAILED),
    ("/images/edits", StreamKind.EVENTS, PARTIAL + IMAGE),
    ("/threads/runs", StreamKind.EVENTS, RUN + STEP + WORDS + RUN_END + RUN_DONE),
]


@pytest.mark.parametrize(("path", "kind", "stream"), STREAMS)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_cut_at_every_byte_changes_nothing(path, kind, stream, line_end):
    stream = stream.replace(b"\n", line_end)
    whole = TypedReader(endpoint(path, stream=kind))
    sent = whole.feed(stream)

    for at in range(len(stream)):
        read = TypedReader(endpoint(path, stream=kind))
        assert read.feed(stream[:at]) + read.feed(stream[at:]) == sent
        seen = (read.usage, read.object_id, read.error, read.events, read.is_done, read.is_finished)
        assert seen == (whole.usage, whole.object_id, whole.error, whole.events, whole.is_done, whole.is_finished)


@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 40), max_size=60))
def test_cuts_anywhere_change_nothing(case, sizes):
    path, kind, stream = case
    read = reader_for(endpoint(path, stream=kind), hides_usage=False)
    whole = TypedReader(endpoint(path, stream=kind)).feed(stream)
    sent, at = b"", 0
    for size in [*sizes, len(stream)]:
        sent += read.feed(stream[at : at + size])
        at += size

    assert sent == whole


def test_an_id_that_cannot_be_read_is_none():
    read = responses()

    read.feed(b'data: {"type":"response.created","response":{"id":"resp_1","error":1e999}}\n\n')

    assert read.object_id is None
    assert read.events == 1


def test_anthropics_callers_read_anthropics_errors():
    read = TypedReader(
        Endpoint(name="m", method="POST", path="/messages", stream=StreamKind.EVENTS, schema=Schema.ANTHROPIC)
    )

    told = read.write_error(UpstreamFailed("It broke."))

    assert told.startswith(b"event: error\ndata: ")
    assert (data_of(told)["type"], data_of(told)["error"]["message"]) == ("error", "It broke.")
