"""Calls and connections that are over are freed at once: none leaves a circle of objects that waits for the collector.

A worker's collector comes by once tens of thousands of objects wait for it: connections that left circles behind held
40 MB of a worker.
"""

import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect

from gateway.sandbox.config import Behaviour
from gateway.sandbox.server import Sandbox
from tests.fakes.gateway_fixture import Gateway, until

ASKED = '{"type": "response.create", "model": "gpt-4o", "input": "hi", "store": false}'
Call = Callable[[Gateway], Awaitable[None]]


@contextlib.contextmanager
def kept_circles() -> Iterator[list[str]]:
    """Names of the gateway's own classes of which an object was left to the collector meanwhile."""
    gc.collect()
    gc.disable()
    left: list[str] = []
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        names = {f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage}
        left += sorted(name for name in names if name.startswith("gateway.") and ".sandbox." not in name)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def chat(gateway: Gateway) -> None:
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False, verify=False) as client:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        assert (await client.post("/v1/chat/completions", json=body | {"messages": []})).status_code == 400


async def hang_up(gateway: Gateway) -> None:
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        httpx2.AsyncClient(base_url=gateway.url, trust_env=False, verify=False) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        async for _ in answer.aiter_bytes():
            break


async def keep_a_response(gateway: Gateway) -> None:
    made = await gateway.client.post("/v1/responses", json={"model": "gpt-4o", "input": "hi"})
    path = f"/v1/responses/{made.json()['id']}"
    assert (await gateway.client.get(path)).status_code == 200
    assert (await gateway.client.delete(path)).status_code == 200


async def converse(gateway: Gateway) -> None:
    async with connect(f"{gateway.url.replace('http', 'ws')}/v1/responses", compression=None) as caller:
        for _ in range(2):
            await caller.send(ASKED)
            while msgspec.json.decode(await caller.recv())["type"] != "response.completed":
                pass


async def leave_a_conversation(gateway: Gateway) -> None:
    async with connect(f"{gateway.url.replace('http', 'ws')}/v1/responses", compression=None) as caller:
        await caller.send(ASKED)
        await caller.recv()
        caller.transport.abort()


async def speak(gateway: Gateway) -> None:
    async with connect(f"{gateway.url.replace('http', 'ws')}/v1/realtime?model=gpt-4o", compression=None) as caller:
        await caller.recv()


@pytest.mark.parametrize("call", [chat, hang_up, keep_a_response, converse, leave_a_conversation, speak])
async def test_what_is_over_leaves_no_circles(pair: Gateway, sandbox: Sandbox, call: Call) -> None:
    sandbox.behave("gpt-4o", Behaviour(delay_s=0.1, tokens=20, gap_s=0.01))  # so long that its caller is watched
    await call(pair)  # the first one imports and fills what stays
    connections = pair.server.server_state.connections
    await until(lambda: len(connections) <= 1, "one connection")

    with kept_circles() as left:
        await call(pair)
        await until(lambda: len(connections) <= 1, "the connections' end")

    assert left == []
