import msgspec
import pytest

from gateway.sandbox.answer import Answer, Pause, streamed, whole
from gateway.sandbox.config import Behaviour
from gateway.sandbox.errors import ErrorKind
from gateway.sandbox.typed_streams import pace, run_events, write_response_error, write_typed_error

OOPS = ErrorKind(500, "Oops", "server_error", "oops", "input")


def told(raw: bytes):
    name, _, data = raw.partition(b"\ndata: ")
    return name.removeprefix(b"event: ").decode(), msgspec.json.decode(data) if data.startswith(b"{") else data.strip()


@pytest.mark.parametrize(
    ("behaviour", "events"),
    [
        pytest.param(Behaviour(), [b"1", b"2", b"3"], id="none"),
        pytest.param(Behaviour(gap_s=0.5), [b"1", Pause(0.5), b"2", Pause(0.5), b"3"], id="gaps"),
        pytest.param(Behaviour(first_token_s=2.0), [b"1", Pause(2.0), b"2", b"3"], id="first"),
    ],
)
def test_events_keep_the_pace_of_a_chat(behaviour, events):
    answer = streamed([], [b"1", b"2", b"3"])

    pace(answer, behaviour)

    assert list(answer.events) == events


def test_one_body_has_no_pace():
    answer: Answer = whole(200, [], b"123")

    pace(answer, Behaviour(gap_s=0.5))

    assert list(answer.events) == [b"123"]


def test_a_run_ends_with_its_usage_and_done():
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1"}

    events = [told(raw) for raw in run_events({"id": "thread_1"}, run, "msg_1", "echo: hi there")]

    assert [name for name, _ in events][:2] == ["thread.created", "thread.run.created"]
    assert events[-2][0] == "thread.run.completed"
    assert events[-2][1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert events[-1] == ("done", b"[DONE]")
    assert told(run_events(None, run, "msg_1", "hi")[0])[0] == "thread.run.created"


def test_errors_have_the_form_of_their_stream():
    error = {"message": "Oops.", "type": "server_error", "param": "input", "code": "oops"}

    assert told(write_typed_error(OOPS, "Oops.")) == ("error", {"type": "error", "error": error})
    name, event = told(write_response_error(OOPS, "Oops."))
    assert (name, event["type"], event["code"], event["message"]) == ("error", "error", "oops", "Oops.")
