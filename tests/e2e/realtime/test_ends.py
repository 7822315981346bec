"""How realtime sessions end, and how their two sides slow each other down."""

import asyncio
import contextlib

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.settings import ServerSettings
from tests.e2e.raw import raw
from tests.e2e.realtime.kit import NO_UTF8, UPGRADE, dial, ended_call, handshake, refused
from tests.fakes.gateway_fixture import DEFAULTS, running_gateway, until
from tests.fakes.socket_upstream import CREATED
from tests.waits import PATIENCE_S


async def test_the_callers_close_reaches_the_upstream(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        await socket.close(4001, "bye")

    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)
    assert (upstream.last.close_code, upstream.last.close_reason) == (4001, "bye")


async def test_the_upstreams_close_reaches_the_caller_with_accounts_masked(gateway, upstream):
    async def script(socket, seen):
        await socket.send(CREATED)
        await socket.send("last words")
        await socket.close(4100, "over for org-AbCd12345678")

    upstream.script = script

    async with dial(gateway) as socket:
        assert [await socket.recv(), await socket.recv()] == [CREATED, "last words"]
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4100, "over for org-***")


async def test_a_callers_text_that_is_no_utf8_ends_both_sides_with_1007(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        socket.transport.write(NO_UTF8)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)
    assert closed.value.rcvd.code == upstream.last.close_code == 1007


async def test_a_lost_upstream_closes_the_caller_with_1011(gateway, upstream):
    async def script(socket, seen):
        await socket.send(CREATED)
        socket.transport.abort()

    upstream.script = script

    async with dial(gateway) as socket:
        assert await socket.recv() == CREATED
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd.code == 1011
    await until(lambda: gateway.service.board.in_flight_calls == 0, "the account to be free")
    call = await ended_call(gateway)
    assert (call["outcome"], call["is_complete"]) == ("broken", False)


async def test_a_caller_that_hangs_up_frees_the_upstream_within_a_second(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        account = upstream.last
        socket.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            await account.ended.wait()

    await until(lambda: gateway.service.board.in_flight_calls == 0, "the account to be free")
    assert (await ended_call(gateway))["outcome"] == "cancelled"


async def test_a_caller_that_hangs_up_while_the_upstream_is_dialled_frees_it(gateway, upstream):
    async def script(socket, seen):
        await socket.wait_closed()

    upstream.script = script
    dialling = asyncio.create_task(dial(gateway).connect())
    await until(lambda: upstream.seen, "the upgrade upstream")
    dialling.cancel()
    await asyncio.gather(dialling, return_exceptions=True)

    async with asyncio.timeout(PATIENCE_S):
        await upstream.last.ended.wait()
    await until(lambda: gateway.service.board.in_flight_calls == 0, "the account to be free")


async def test_a_session_holds_its_place_on_the_account(gateway, registry, upstream):
    await registry.execute("UPDATE accounts SET max_concurrency = 1")
    limited = lambda: all(each.max_concurrency == 1 for each in gateway.snapshot.accounts.values())  # noqa: E731  # used once
    await until(limited, "the limit")

    async with dial(gateway) as one, dial(gateway) as two:
        await one.recv()
        await two.recv()
        status, _, body = await refused(gateway, additional_headers={"x-gateway-max-wait": "0"})

    assert upstream.keys() == ["sk-a", "sk-b"]
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_a_drain_ends_sessions_with_1012_at_its_deadline(database_url, registry, upstream):
    settings = msgspec.structs.replace(DEFAULTS, server=ServerSettings(drain_s=1.0))
    await registry.add_provider("openai", upstream.url, supported_models=[])
    await registry.add_account("sk-a")
    async with running_gateway(database_url, settings) as gateway:
        await gateway.serves(accounts=1)
        socket = await dial(gateway)
        await socket.recv()
        gateway.server.should_exit = True
        await socket.send("still served")
        assert await socket.recv() == "still served"
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(PATIENCE_S):
                await socket.recv()

    assert closed.value.rcvd.code == 1012
    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)
    assert upstream.last.close_code == 1012


async def test_a_caller_that_reads_slowly_slows_the_upstream(gateway, upstream):
    sent = 0
    message = b"a" * 1024 * 1024

    async def script(socket, seen):
        nonlocal sent
        await socket.send(CREATED)
        for _ in range(200):
            await socket.send(message)
            sent += 1
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway, max_queue=1) as socket:
        await socket.recv()
        before = -1
        while sent != before:  # until nothing moves
            before = sent
            await gateway.service.clock.sleep(0.3)
        assert sent < 40
        for _ in range(200):
            assert len(await socket.recv()) == len(message)
    assert sent == 200


async def test_an_upstream_that_reads_slowly_slows_the_caller(gateway, upstream):
    go_on = asyncio.Event()
    received = 0

    async def script(socket, seen):
        nonlocal received
        await socket.send(CREATED)
        await go_on.wait()
        async for _ in socket:
            received += 1

    upstream.script = script
    sent = 0

    async def speak(socket: ClientConnection) -> None:
        nonlocal sent
        for _ in range(200):
            await socket.send(b"a" * 1024 * 1024)
            sent += 1

    async with dial(gateway) as socket:
        await socket.recv()
        speaking = asyncio.create_task(speak(socket))
        before = -1
        while sent != before:
            before = sent
            await gateway.service.clock.sleep(0.3)
        assert sent < 60
        go_on.set()
        await speaking
        await until(lambda: received == 200, "all messages")


async def test_a_caller_that_sends_pings_and_reads_no_pongs_is_read_no_further(gateway, upstream):
    pings = (b"\x89\xfd\x00\x00\x00\x00" + bytes(125)) * 1000
    sent = 0
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "sec-websocket-version: 13"))
        assert b"101" in await client.head()
        client.reader._transport.pause_reading()
        with contextlib.suppress(TimeoutError):
            while sent < 2**26:
                async with asyncio.timeout(1):
                    await client.send(pings)
                sent += len(pings)
        (connection,) = [each for each in gateway.server.server_state.connections if hasattr(each, "conn")]
        unsent = connection.transport.get_write_buffer_size()

    assert sent < 2**26, "it stopped reading"
    assert unsent < 2**21
    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)
