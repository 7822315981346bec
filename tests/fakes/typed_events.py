"""Typed events as upstreams write them, and readers of them."""

import json

from gateway.core.call import Endpoint, StreamKind
from gateway.wire.typed_stream import TypedReader


def endpoint(path="/responses", method="POST", stream=StreamKind.RESPONSES) -> Endpoint:
    return Endpoint(name="x", method=method, path=path, stream=stream)


def responses(method="POST") -> TypedReader:
    return TypedReader(endpoint(method=method))


def other(path="/images/generations", method="POST") -> TypedReader:
    return TypedReader(endpoint(path, method, StreamKind.EVENTS))


def event(type_, name=None, **members) -> bytes:
    """An event of type `type_`; `name`: of its `event:` line, "" leaves the line out, None repeats the type."""
    data = json.dumps({"type": type_, **members}, separators=(",", ":"))
    line = type_ if name is None else name
    return (f"event: {line}\n" if line else "").encode() + f"data: {data}\n\n".encode()


def named(name, data) -> bytes:
    """As assistants write them: the type is the name alone."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def data_of(raw: bytes):
    return json.loads(raw.partition(b"data: ")[2])


USAGE = {"input_tokens": 5, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 2}}
CREATED = event("response.created", sequence_number=0, response={"id": "resp_1", "usage": None, "status": "queued"})
IN_PROGRESS = event("response.in_progress", sequence_number=1, response={"id": "resp_1"})
ITEM = event("response.output_item.added", sequence_number=2, item={"id": "msg_1", "content": []})
DELTA = event("response.output_text.delta", sequence_number=3, item_id="msg_1", delta="hello")
COMPLETED = event("response.completed", sequence_number=4, response={"id": "resp_1", "usage": USAGE})
FAILED = event(
    "response.failed",
    sequence_number=4,
    response={"id": "resp_1", "error": {"code": "rate_limit_exceeded", "message": "Rate limit of org-abcdefgh"}},
)
DONE = b"data: [DONE]\n\n"
PARTIAL = event("image_generation.partial_image", b64_json="eA==", partial_image_index=0)
IMAGE = event("image_generation.completed", b64_json="eA==", usage=USAGE)
RUN = named("thread.run.created", {"id": "run_1", "object": "thread.run", "usage": None})
STEP = named("thread.run.step.created", {"id": "step_1", "type": "message_creation"})
WORDS = named("thread.message.delta", {"id": "msg_1", "delta": {"content": [{"text": {"value": "hi"}}]}})
RUN_END = named("thread.run.completed", {"id": "run_1", "usage": {"prompt_tokens": 4, "completion_tokens": 2}})
RUN_DONE = b"event: done\ndata: [DONE]\n\n"
