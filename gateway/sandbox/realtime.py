"""A realtime session as OpenAI's: events in, events out. Text alone; what is said to it comes back as an echo."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from gateway.sandbox.limits import Verdict, refusal_message
from gateway.sandbox.request import Request

PATH = "/v1/realtime"
DEFAULT_MODEL = "gpt-realtime"
Event = dict[str, Any]


def is_upgrade(request: Request) -> bool:
    """Whether a request asks for a WebSocket."""
    return request.method == "GET" and request.header(b"upgrade").lower() == "websocket"


def upgrade_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of an answer that an upgrade's may have: it has no body, and the library writes the date."""
    return [pair for pair in headers if pair[0] not in {"content-type", "date"}]


class Talk:
    """One session. Every response is charged as a call is. Fits `answer.Speaker`."""

    def __init__(self, *, model: str, number: int, admit: Callable[[int], Verdict]) -> None:
        """`admit` charges so many tokens."""
        self._id = f"sess_{number:024x}"
        self._session: Event = {"type": "realtime", "object": "realtime.session", "id": self._id, "model": model}
        self._admit = admit
        self._said = ""
        self._count = 0

    def greeting(self) -> list[bytes]:
        return [self._event("session.created", session=self._session)]

    def hear(self, raw: bytes) -> list[bytes]:
        """What it says to an event of the client."""
        try:
            event = msgspec.json.decode(raw, type=dict)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [self._refusal("The event is no JSON object.")]
        match event.get("type"):
            case "session.update":
                self._session |= event.get("session") or {}
                return [self._event("session.updated", session=self._session)]
            case "conversation.item.create":
                item = {"id": f"item_{self._count}", "object": "realtime.item", **(event.get("item") or {})}
                self._said = _text_in(item) or self._said
                return [self._event("conversation.item.added", item=item)]
            case "input_audio_buffer.append":
                return []
            case "response.create":
                return list(self._response())
            case other:
                return [self._refusal(f"Invalid value: '{other}'.", param="type")]

    def _response(self) -> Iterator[bytes]:
        verdict = self._admit(math.ceil(len(self._said) / 4))
        response: Event = {"id": f"resp_{self._count}", "object": "realtime.response", "status": "in_progress"}
        yield self._event("response.created", response=response)
        told = [
            {"name": one.what, "limit": one.limit, "remaining": one.remaining, "reset_seconds": one.reset_s}
            for one in verdict.readings
        ]
        if told:
            yield self._event("rate_limits.updated", rate_limits=told)
        if verdict.refusal is not None:
            message = refusal_message(verdict.refusal, sends_delay=True)
            error = {"type": verdict.refusal.what, "code": "rate_limit_exceeded", "message": message}
            details = {"type": "failed", "error": error}
            yield self._event("response.done", response=response | {"status": "failed", "status_details": details})
            return
        text = f"echo: {self._said}"
        for word in text.split(" "):
            yield self._event("response.output_text.delta", response_id=response["id"], delta=f"{word} ")
        yield self._event("response.output_text.done", response_id=response["id"], text=text)
        usage = {"input_tokens": math.ceil(len(self._said) / 4), "output_tokens": len(text.split(" "))}
        usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]
        yield self._event("response.done", response=response | {"status": "completed", "usage": usage})

    def _refusal(self, message: str, *, param: str | None = None) -> bytes:
        error = {"type": "invalid_request_error", "code": "invalid_value", "message": message, "param": param}
        return self._event("error", error=error)

    def _event(self, type_: str, **fields: object) -> bytes:
        self._count += 1
        return msgspec.json.encode({"type": type_, "event_id": f"event_{self._count}", **fields})


def _text_in(item: Event) -> str:
    parts = item.get("content")
    texts = [part.get("text") or "" for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "".join(map(str, texts))
