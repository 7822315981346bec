"""What tests of responses over WebSockets say."""

import asyncio
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.realtime.kit import dial
from tests.fakes.gateway_fixture import Gateway, until_answered
from tests.waits import PATIENCE_S

Event = dict[str, Any]
ENDS = {"response.completed", "response.failed", "response.incomplete", "error"}


def opened(gateway: Gateway, **options: Any) -> connect:
    return dial(gateway, options.pop("query", ""), path="/v1/responses", **options)


async def ask(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(msgspec.json.encode({"type": "response.create", "model": "gpt-4o", **fields}).decode())


async def heard(socket: ClientConnection) -> list[Event]:
    """All up to the end of one response."""
    events = []
    while not events or events[-1]["type"] not in ENDS:
        events.append(await said(socket))
    return events


async def said(socket: ClientConnection) -> Event:
    """The next message."""
    event: Event = msgspec.json.decode(await asyncio.wait_for(socket.recv(), PATIENCE_S))
    return event


async def told(socket: ClientConnection, **fields: Any) -> Event:
    """The last event of the response to that."""
    await ask(socket, **fields)
    return (await heard(socket))[-1]


async def refusal(socket: ClientConnection, **fields: Any) -> tuple[int, str]:
    """Status and code of the error event to that."""
    event = await told(socket, **fields)
    assert event["type"] == "error", event
    return event["status"], event["error"]["code"]


async def calls_of(gateway: Gateway, count: int) -> list[Event]:
    """The latest calls, oldest first."""

    async def ended() -> list[Event]:
        calls = (await gateway.client.get("/api/v1/calls", headers={"authorization": "Bearer token"})).json()["data"]
        return calls[::-1] if len(calls) >= count else []

    await until_answered(ended, f"{count} calls")
    return await ended()
