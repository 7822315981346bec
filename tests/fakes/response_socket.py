"""Responses over a WebSocket as OpenAI serves them: a script for `SocketUpstream`, and what it can be told to do."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection

from tests.fakes.socket_upstream import Seen

Event = dict[str, Any]


def error_event(status: int | None, code: str, message: str = "no", type_: str = "x", **error: Any) -> Event:
    told = {} if status is None else {"status": status}
    return {"type": "error", **told, "error": {"type": type_, "code": code, "message": message, "param": None, **error}}


RATE_LIMITED = error_event(
    429,
    "rate_limit_exceeded",
    "Rate limit reached for gpt-4o in organization org-AbCd12345678 on requests per min.",
    "requests",
    headers={"retry-after": "30", "x-ratelimit-limit-requests": "10"},
)


class ResponseSocket:
    """Fits `socket_upstream.Script`. Each answer is "one two"; ids count up over all connections."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Event]] = []
        """Key and message of all that was asked for."""
        self.heard: list[Event] = []
        """Other messages."""
        self.answers: Callable[[str, Event], list[Event] | None] = lambda _key, _asked: None
        """Events in place of the usual ones."""
        self.between = asyncio.Event()
        """Cleared: it stops after the first word."""
        self.between.set()
        self.on_other: Callable[[Event], list[Event]] = lambda _heard: []
        self._count = 0

    async def __call__(self, socket: ServerConnection, seen: Seen) -> None:
        lanes: dict[str | None, asyncio.Task[None]] = {}
        try:
            await self._hear(socket, seen, lanes)
        finally:
            for task in lanes.values():
                task.cancel()
            await asyncio.gather(*lanes.values(), return_exceptions=True)

    async def _hear(self, socket: ServerConnection, seen: Seen, lanes: "dict[str | None, asyncio.Task[None]]") -> None:
        async for raw in socket:
            seen.received.append(raw)
            message = json.loads(raw)  # takes half a surrogate pair, as upstreams do
            lane = message.get("stream_id")
            if message.get("type") != "response.create":
                self.heard.append(message)
                await self._say(socket, None, self.on_other(message))
                continue
            self.asked.append((seen.key, message))
            instead = self.answers(seen.key, message)  # at once: a test that sees it asked may say other answers
            lanes[lane] = asyncio.create_task(self._answer(socket, message, instead, lanes.get(lane)))

    async def _answer(
        self, socket: ServerConnection, asked: Event, instead: list[Event] | None, before: "asyncio.Task[None] | None"
    ) -> None:
        if before is not None:
            await before
        lane = asked.get("stream_id")
        if instead is not None:
            await self._say(socket, lane, instead)
            return
        events = self.usual(asked)
        await self._say(socket, lane, events[:2])
        await self.between.wait()
        await self._say(socket, lane, events[2:])

    def usual(self, asked: Event) -> list[Event]:
        self._count += 1
        response = {
            "id": f"resp_{self._count}",
            "object": "response",
            "model": asked.get("model"),
            "store": asked.get("store", True),
            "output": [],
            "status": "in_progress",
        }
        usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
        part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        return [
            {"type": "response.created", "response": response},
            {"type": "response.output_text.delta", "delta": "one ", **part},
            {"type": "response.output_text.delta", "delta": "two", **part},
            {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}},
        ]

    async def _say(self, socket: ServerConnection, lane: str | None, events: list[Event]) -> None:
        for place, event in enumerate(events):
            said = {**event, "sequence_number": place} | ({} if lane is None else {"stream_id": lane})
            await socket.send(msgspec.json.encode(said).decode())
