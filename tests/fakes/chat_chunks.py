"""Chunks of chats as upstreams write them, and readers of them."""

import json

from gateway.wire.endpoints import find
from gateway.wire.stream import StreamReader

CHAT = find("POST", "/chat/completions")
COMPLETION = find("POST", "/completions")


def reader(endpoint=CHAT, *, hides_usage=False) -> StreamReader:
    return StreamReader(endpoint, hides_usage=hides_usage)


def event(value) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def chunk(delta, finish_reason=None, index=0, **more) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return event({"id": "c", "model": "gpt-4o-2024-08-06", "choices": [choice], **more})


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
TEXT = chunk({"content": "hello"})
STOP = chunk({}, "stop")
USAGE = event({"id": "c", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}})
