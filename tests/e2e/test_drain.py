"""Requests that have come half when the worker drains."""

import msgspec
import pytest

from gateway import http_protocol
from tests.e2e.raw import chat, post, raw
from tests.fakes.gateway_fixture import until


@pytest.mark.parametrize(
    "begun",
    [b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-", post(chat())[:-5]],
    ids=["half-a-head", "half-a-body"],
)
async def test_a_request_that_stays_half_holds_no_drain(pair, sandbox, monkeypatch, begun):
    monkeypatch.setattr(http_protocol, "HALF_S", 0.05)
    async with raw(pair.port) as client:
        await client.send(begun)
        connections = pair.server.server_state.connections
        await until(lambda: any(each._is_in_head or each._is_in_body for each in connections), "it has begun")
        pair.server.should_exit = True
        head = await client.head()
        body = await client.rest()

    assert head.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1\r\n" in head
    assert msgspec.json.decode(body)["error"]["code"] == "shutting_down"
    await until(lambda: not connections, "nothing is left")


async def test_a_request_that_comes_whole_during_the_drain_is_served(pair, sandbox):
    request = post(chat())
    async with raw(pair.port) as client:
        await client.send(request[:-5])
        await until(lambda: pair.service.gate.calls == 1, "it has begun")
        pair.server.should_exit = True
        await until(lambda: pair.service.gate.is_draining, "the drain")
        await client.send(request[-5:])
        status, _ = await client.answer()

    assert status == 200
