"""The Responses API: a response as one body, and as typed events."""

from typing import Any

import msgspec

from gateway.sandbox.bodies import split_text
from gateway.sandbox.objects import Fields

_SEALED = "gAAAA-"
"""Beginning of what only the organisation that is named behind it can read."""


def write_response(fields: Fields, id_: str, message_id: str, created: int, org: str) -> Fields:
    """Answers with `echo: ` and the input's last text; an encrypted reasoning item where it is asked for."""
    text = "echo: " + _last_text(fields.get("input"))
    is_waited_for = fields.get("background") is not True
    message = {
        "id": message_id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    output: list[dict[str, Any]] = [message]
    if "reasoning.encrypted_content" in (fields.get("include") or []):
        item = {"id": "rs_" + message_id[4:], "type": "reasoning", "summary": [], "encrypted_content": sealed(org)}
        output.insert(0, item)
    return {
        "id": id_,
        "object": "response",
        "created_at": created,
        "status": "completed" if is_waited_for else "queued",
        "background": not is_waited_for,
        "error": None,
        "incomplete_details": None,
        "model": fields.get("model"),
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": fields.get("previous_response_id"),
        "conversation": fields.get("conversation"),
        "store": fields.get("store", True),
        "tools": fields.get("tools") or [],
        "tool_choice": "auto",
        "temperature": 1.0,
        "top_p": 1.0,
        "metadata": fields.get("metadata") or {},
        "usage": _used(text) if is_waited_for else None,
    }


def _used(text: str) -> Fields:
    words = len(text.split())
    return {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": words,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7 + words,
    }


def finish(response: Fields) -> None:
    """A response in the background is done when it is first asked for."""
    text = response["output"][-1]["content"][0]["text"]
    response |= {"status": "completed", "usage": response["usage"] or _used(text)}


def sealed(org: str) -> str:
    """What only this organisation can read."""
    return _SEALED + org


def can_read(fields: Fields, org: str) -> bool:
    """Whether all encrypted items of the input were made for this organisation."""
    items = fields.get("input")
    given = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return all(item.get("encrypted_content") in (None, sealed(org)) for item in given)


def events_of(response: Fields) -> list[bytes]:
    """The stream of a whole response."""
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(response["output"]):
        events += _item_events(place, item)
    ended = dict(response)
    finish(ended)
    events.append({"type": "response.completed", "response": ended})
    return [_write(event | {"sequence_number": number}) for number, event in enumerate(events)]


def _item_events(place: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    added = {"type": "response.output_item.added", "output_index": place, "item": item | {"status": "in_progress"}}
    done = {"type": "response.output_item.done", "output_index": place, "item": item}
    if item["type"] != "message":
        return [added, done]
    text = item["content"][0]["text"]
    at = {"item_id": item["id"], "output_index": place, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    return [
        added,
        {"type": "response.content_part.added", "part": part, **at},
        *[
            {"type": "response.output_text.delta", "delta": word, "logprobs": [], **at}
            for word in split_text(text, None)
        ],
        {"type": "response.output_text.done", "text": text, "logprobs": [], **at},
        {"type": "response.content_part.done", "part": part | {"text": text}, **at},
        done,
    ]


def _write(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def _last_text(given: object) -> str:
    """The text of the last item that has one."""
    if isinstance(given, str):
        return given
    for item in reversed(given) if isinstance(given, list) else ():
        content = item.get("content") if isinstance(item, dict) else None
        if isinstance(content, str):
            return content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                return str(part["text"])
    return ""
