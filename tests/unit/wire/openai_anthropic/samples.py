"""Streams of Messages, as Anthropic writes them."""

import json
from typing import Any

USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 20, "output_tokens": 1}


def event(type_: str, **members: Any) -> bytes:
    data = json.dumps({"type": type_, **members}, ensure_ascii=False)
    return f"event: {type_}\ndata: {data}\n\n".encode()


def start(**members: Any) -> bytes:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5-20260922",
        "content": [],
    }
    return event("message_start", message={**message, "stop_reason": None, "usage": USAGE, **members})


def begin(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, **members: Any) -> bytes:
    return event("content_block_delta", index=index, delta=members)


def text(piece: str, index: int = 0) -> bytes:
    return delta(index, type="text_delta", text=piece)


def arguments(piece: str, index: int = 0) -> bytes:
    return delta(index, type="input_json_delta", partial_json=piece)


def stop_block(index: int = 0) -> bytes:
    return event("content_block_stop", index=index)


def end(stop_reason: str | None = "end_turn", **usage: Any) -> bytes:
    return event(
        "message_delta", delta={"stop_reason": stop_reason, "stop_sequence": None}, usage={"output_tokens": 9, **usage}
    )


PING = event("ping")
STOP = event("message_stop")
BEGIN_TEXT = begin(0, type="text", text="")
HELLO = [start(), BEGIN_TEXT, PING, text("Hel"), text("lo"), stop_block(), end(), STOP]
