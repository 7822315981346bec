"""What all streams of typed events have in common: pace and errors. And the events of an assistant's run."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.sandbox.answer import Answer, Events, Pause
from gateway.sandbox.bodies import split_text
from gateway.sandbox.config import Behaviour
from gateway.sandbox.errors import ErrorKind

Fields = dict[str, Any]


def pace(answer: Answer, behaviour: Behaviour) -> None:
    """The pauses that a chat's stream has between its words, between the events of `answer`."""
    if answer.length is None and (behaviour.gap_s > 0 or behaviour.first_token_s > 0):
        answer.events = _paced(answer.events, behaviour)


def _paced(events: Events, behaviour: Behaviour) -> Iterator[bytes | Pause]:
    for number, event in enumerate(events):
        pause_s = behaviour.first_token_s if number == 1 else 0.0
        pause_s = pause_s or behaviour.gap_s
        if number and pause_s > 0:
            yield Pause(pause_s)
        yield event


def write_typed_error(kind: ErrorKind, message: str) -> bytes:
    """An error as images, speech and runs tell it."""
    error = {"message": message, "type": kind.type, "param": kind.param, "code": kind.code}
    return b"event: error\ndata: " + msgspec.json.encode({"type": "error", "error": error}) + b"\n\n"


def write_response_error(kind: ErrorKind, message: str) -> bytes:
    """An error as the Responses API documents it."""
    event = {"type": "error", "code": kind.code, "message": message, "param": kind.param, "sequence_number": 99}
    return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"


def run_events(thread: Fields | None, run: Fields, message_id: str, text: str) -> list[bytes]:
    """The stream of a run, from its making to its end; of the thread, too, where it was made with it."""
    message = {"id": message_id, "object": "thread.message", "thread_id": run.get("thread_id"), "role": "assistant"}
    step = {
        "id": "step_" + message_id[4:],
        "object": "thread.run.step",
        "run_id": run["id"],
        "type": "message_creation",
    }
    begun = run | {"status": "queued", "usage": None}
    words = split_text(text, None)
    usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}
    events: list[tuple[str, Fields]] = [
        *([("thread.created", thread)] if thread is not None else []),
        ("thread.run.created", begun),
        ("thread.run.queued", begun),
        ("thread.run.in_progress", begun | {"status": "in_progress"}),
        ("thread.run.step.created", step),
        ("thread.message.created", message | {"status": "in_progress", "content": []}),
        *[("thread.message.delta", _delta(message_id, word)) for word in words],
        ("thread.message.completed", message | {"status": "completed", "content": [_text(text)]}),
        ("thread.run.completed", run | {"status": "completed", "usage": usage}),
    ]
    done = b"event: done\ndata: [DONE]\n\n"
    return [b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data)) for name, data in events] + [done]


def _delta(message_id: str, word: str) -> Fields:
    return {"id": message_id, "object": "thread.message.delta", "delta": {"content": [{"index": 0, **_text(word)}]}}


def _text(value: str) -> Fields:
    return {"type": "text", "text": {"value": value, "annotations": []}}
