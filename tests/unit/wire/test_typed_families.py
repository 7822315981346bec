import pytest

from gateway.core.call import Usage
from gateway.core.errors import UpstreamFailed
from gateway.core.outcome import ErrorBody
from gateway.wire.sse import KEEP_ALIVE
from tests.fakes.typed_events import (
    DONE,
    IMAGE,
    PARTIAL,
    RUN,
    RUN_DONE,
    RUN_END,
    STEP,
    USAGE,
    WORDS,
    data_of,
    event,
    named,
    other,
)


def test_images_end_with_their_framing_for_there_may_be_several():
    read = other()

    assert read.feed(PARTIAL + IMAGE + PARTIAL + IMAGE) == PARTIAL + IMAGE + PARTIAL + IMAGE
    assert (read.is_over, read.is_finished) == (False, False)
    assert read.usage == Usage(5, 7, 2)
    assert read.finish() == b""


def test_an_image_that_never_came_is_told():
    read = other()
    read.feed(PARTIAL)

    assert read.finish() is None


@pytest.mark.parametrize(
    ("path", "stream", "usage"),
    [
        pytest.param(
            "/audio/speech",
            [event("speech.audio.delta", name="", audio="eA=="), event("speech.audio.done", name="", usage=USAGE)],
            Usage(5, 7, 2),
            id="speech",
        ),
        pytest.param(
            "/audio/transcriptions",
            [
                event("transcript.text.delta", delta="hi"),
                event("transcript.text.segment", id="s", text="hi"),
                event("transcript.text.done", text="hi", usage=USAGE),
            ],
            Usage(5, 7, 2),
            id="transcript",
        ),
        pytest.param(
            "/messages",
            [
                event("message_start", message={"id": "msg_1", "usage": {"input_tokens": 9, "output_tokens": 1}}),
                event("ping"),
                event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
                event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"}),
                event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 15}),
                event("message_stop"),
            ],
            Usage(9, 15),
            id="anthropic",
        ),
    ],
)
def test_every_family_has_its_own_end(path, stream, usage):
    read = other(path)

    assert [read.feed(piece) for piece in stream] == stream
    assert read.is_done
    assert read.usage == usage
    for cut in range(1, len(stream)):
        short = other(path)
        short.feed(b"".join(stream[:cut]))
        assert short.finish() is None


def test_runs_end_with_done_which_is_added_where_it_is_missing():
    whole, short = other("/threads/runs"), other("/threads/runs")
    stream = RUN + STEP + WORDS + RUN_END

    assert whole.feed(stream + RUN_DONE) == stream + RUN_DONE
    assert whole.is_done
    assert whole.object_id == "run_1"
    assert whole.usage == Usage(4, 2)
    assert short.feed(stream) == stream
    assert (short.is_over, short.is_finished) == (False, True)
    assert short.finish() == RUN_DONE


def test_a_run_without_its_end_is_cut():
    read = other("/threads/runs")
    read.feed(RUN + WORDS)

    assert read.finish() is None
    assert other("/threads/runs").feed(RUN + RUN_DONE) == RUN  # a `[DONE]` before the end of the run is none


def test_an_object_that_was_made_is_no_content_of_a_run():
    read = other("/threads/runs")
    read.feed(named("thread.created", {"id": "thread_1"}) + RUN + STEP)

    assert (read.has_content, read.object_id) == (False, "thread_1")
    read.feed(WORDS)
    assert read.has_content


def test_of_an_unknown_family_the_framing_decides():
    read = other("/what/is/new")

    assert read.feed(event("new.thing", id="new_1")) == event("new.thing", id="new_1")
    assert (read.has_content, read.object_id, read.is_over) == (True, "new_1", False)
    assert read.finish() == b""


def test_a_stream_that_says_nothing_is_no_answer_but_of_a_session():
    assert other().finish() is None
    nothing = other()
    nothing.feed(KEEP_ALIVE + DONE)
    assert nothing.finish() is None
    assert other("/agents/sessions/{session_id}/events", "GET").finish() == b""


def test_errors_in_a_session_are_part_of_it():
    read = other("/agents/sessions")
    failed = event("error", event_id="e", session_id="s", error={"message": "a turn failed"})

    assert read.feed(failed) == failed
    assert (read.error, read.object_id) == (None, "s")


def test_an_upstreams_error_goes_on_as_it_came_where_both_sdks_raise_on_it():
    read = other()
    told = event("error", error={"code": "moderation_blocked", "message": "No, org-abcdefgh", "request": "r"})

    assert read.feed(PARTIAL + told) == PARTIAL
    assert read.error == ErrorBody("No, org-abcdefgh", code="moderation_blocked", is_readable=True)
    assert read.write_error(read.error) == told.replace(b"org-abcdefgh", b"org-***")


def test_an_error_of_ours_has_the_form_that_both_sdks_raise_on():
    told = other().write_error(UpstreamFailed("It broke."))

    assert data_of(told) == {
        "type": "error",
        "error": {"type": "server_error", "code": "upstream_error", "message": "It broke.", "param": None},
    }
    flat = other()
    flat.feed(event("error", code="server_error", message="Oops"))
    assert data_of(flat.write_error(flat.error))["error"]["message"] == "Oops"
