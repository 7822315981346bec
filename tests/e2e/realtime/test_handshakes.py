"""Upgrades that are none, or lead nowhere, and callers who do not wait for their answer."""

import asyncio

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.raw import raw
from tests.e2e.realtime.kit import UPGRADE, dial, ended_call, handshake, refused
from tests.fakes.gateway_fixture import until
from tests.waits import PATIENCE_S


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param("/v1/responses/compact", 426, "websocket_not_supported", id="responses"),
        pytest.param("/v1/chat/completions", 426, "websocket_not_supported", id="chat"),
        pytest.param("/v1/nothing", 404, "unknown_url", id="unknown"),
        pytest.param("/", 404, "unknown_url", id="page"),
        pytest.param("/api/v1/calls", 404, "unknown_url", id="admin"),
    ],
)
async def test_other_paths_refuse_the_upgrade_in_words(gateway, upstream, path, status, code):
    got, _, body = await refused(gateway, "", path=path)

    assert (got, body["error"]["code"]) == (status, code)
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(handshake(*UPGRADE), 400, id="no-version"),
        pytest.param(handshake(*UPGRADE, "sec-websocket-version: 8"), 400, id="old-version"),
        pytest.param(handshake(*UPGRADE[:2], "sec-websocket-version: 13"), 400, id="no-key"),
        pytest.param(handshake(*UPGRADE, f"x: {'a' * 9000}"), 431, id="long-header"),
        pytest.param(handshake(*UPGRADE, path=f"/v1/realtime?{'a' * 9000}"), 414, id="long-path"),
    ],
)
async def test_a_handshake_that_is_none_is_refused_in_openais_shape(gateway, upstream, request_bytes, status):
    async with raw(gateway.port) as client:
        await client.send(request_bytes)
        got, body = await client.answer()

        assert (got, msgspec.json.decode(body)["error"]["code"]) == (status, "invalid_handshake")
        assert await client.rest() == b""
    assert upstream.seen == []


async def test_an_upgrade_of_another_method_is_passed_over(gateway):
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "content-length: 0", path="/v1/chat/completions", method="POST"))
        status, body = await client.answer()

    assert (status, msgspec.json.decode(body)["error"]["code"]) == (400, "invalid_json")


async def test_a_request_that_is_no_upgrade_is_told_so(gateway, upstream):
    answer = await gateway.get("/v1/realtime?model=gpt-realtime")

    assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


async def test_frames_that_are_none_end_the_session_with_1002(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        socket.transport.write(b"\x8f\x80\x00\x00\x00\x00")  # an opcode that nobody knows
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd.code == 1002
    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)


@pytest.mark.parametrize("early", [b"\x8f\x80\x00\x00\x00\x00", b"\x88\x80\x00\x00\x00\x00"], ids=["garbage", "close"])
async def test_a_caller_that_ends_before_it_is_answered_frees_the_upstream(gateway, upstream, early, caplog):
    async def script(socket, seen):
        await socket.wait_closed()

    upstream.script = script
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "sec-websocket-version: 13"))
        await until(lambda: upstream.seen, "the upgrade upstream")
        await client.send(early)
        await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)

    assert (await ended_call(gateway))["outcome"] == "cancelled"
    assert caplog.records == []


async def test_a_caller_may_speak_before_it_is_answered(gateway, upstream):
    async def slow(socket, seen):
        seen.received.append(await socket.recv())
        await socket.send("heard")
        await socket.wait_closed()

    upstream.script = slow
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "sec-websocket-version: 13"))
        await until(lambda: upstream.seen, "the upgrade upstream")
        await client.send(b"\x81\x85\x00\x00\x00\x00early")
        assert b" 101 " in await client.head()
        assert await client.until(b"heard") == b"\x81\x05heard"

    assert upstream.last.received == ["early"]
