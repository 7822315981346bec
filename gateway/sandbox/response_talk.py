"""Responses over a WebSocket: each `response.create` is answered as the call that it would be over HTTP.

A response that is not stored is remembered by its connection alone.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.sandbox.answer import Answer

PATH = "/v1/responses"
Event = dict[str, Any]


class ResponseTalk:
    """Fits `answer.Speaker`. One connection."""

    def __init__(self, ask: Callable[[bytes], Answer]) -> None:
        """`ask` answers the body of a call."""
        self._ask = ask
        self._made: set[str] = set()

    def greeting(self) -> list[bytes]:
        return []

    def hear(self, raw: bytes) -> list[bytes]:
        """What it says to a message of the client."""
        try:
            message = msgspec.json.decode(raw, type=dict)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [_refusal(400, {"message": "The message is no JSON object."}, None)]
        lane = message.pop("stream_id", None)
        if message.pop("type", None) != "response.create":
            return [_refusal(400, {"message": "Only `response.create` is served here.", "param": "type"}, lane)]
        previous = message.get("previous_response_id")
        if previous in self._made:
            del message["previous_response_id"]
        answer = self._ask(msgspec.json.encode(message | {"stream": True}))
        told = [event for event in answer.events if isinstance(event, bytes)]
        if answer.length is not None:
            error = msgspec.json.decode(b"".join(told)).get("error") or {}
            return [_refusal(answer.status, error, lane, dict(answer.headers))]
        return [self._said(msgspec.json.decode(event.partition(b"data: ")[2]), previous, lane) for event in told]

    def _said(self, event: Event, previous: str | None, lane: str | None) -> bytes:
        response = event.get("response")
        if response is not None:
            self._made.add(response["id"])
            response["previous_response_id"] = previous
        return _written(event, lane)


def _refusal(status: int, error: Event, lane: str | None, headers: dict[str, str] | None = None) -> bytes:
    told = {name: value for name, value in (headers or {}).items() if name.startswith(("x-ratelimit-", "retry-"))}
    usual = {"type": "invalid_request_error", "code": None, "param": None}
    return _written({"type": "error", "status": status, "error": usual | error | {"headers": told}}, lane)


def _written(event: Event, lane: str | None) -> bytes:
    return msgspec.json.encode(event if lane is None else event | {"stream_id": lane})
