"""The server's side of a WebSocket, below an application of a few lines: who is dead, and who only reads slowly."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import uvicorn

from gateway.http_protocol import CoalescingProtocol, websocket_protocol
from gateway.relay.clock import SystemClock
from tests.e2e.raw import Raw, raw
from tests.waits import PATIENCE_S

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n"
)
PING_S = 0.05
App = Callable[..., Awaitable[None]]


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[int]:
    """The port."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(
        app,
        http=CoalescingProtocol,
        ws=websocket_protocol,  # type: ignore[arg-type]  # called as a class would be
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def opened(client: Raw) -> None:
    await client.send(HANDSHAKE)
    assert b" 101 " in await client.head()


async def frame(client: Raw) -> tuple[int, bytes]:
    """Opcode and payload of the next frame."""
    async with asyncio.timeout(PATIENCE_S):
        first, length = await client.reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await client.reader.readexactly(2))
        elif length == 127:
            length = int.from_bytes(await client.reader.readexactly(8))
        return first & 15, await client.reader.readexactly(length)


async def listening(scope, receive, send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def test_a_peer_that_answers_no_ping_is_closed_with_1011():
    async with serving(listening) as port, raw(port) as client:
        await opened(client)
        frames = [await frame(client), await frame(client)]

        assert frames[0][0] == 9
        assert (frames[1][0], frames[1][1][:2]) == (8, (1011).to_bytes(2))
        assert await client.rest() == b""


async def test_a_peer_that_answers_pings_lives():
    async with serving(listening) as port, raw(port) as client:
        await opened(client)
        for _ in range(6):
            opcode, payload = await frame(client)
            assert opcode == 9
            await client.send(b"\x8a" + bytes([0x80 | len(payload)]) + bytes(4) + payload)


async def test_a_peer_that_reads_slowly_lives():
    size = 8 * 2**20

    async def flood(scope, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(size)})
        await send({"type": "websocket.close", "code": 4000})

    async with serving(flood) as port, raw(port) as client:
        await opened(client)
        await SystemClock().sleep(10 * PING_S)

        assert await frame(client) == (2, bytes(size))
        while (told := await frame(client))[0] == 9:
            pass
        assert told == (8, (4000).to_bytes(2))


async def test_a_peer_is_not_dead_while_the_app_reads_nothing_from_it():
    go_on = asyncio.Event()
    heard = []

    async def busy(scope, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go_on.wait()
        heard.extend([(await receive())["text"] for _ in range(3)])
        await send({"type": "websocket.send", "text": "heard"})

    async with serving(busy) as port, raw(port) as client:
        await opened(client)
        for _ in range(3):
            await client.send(b"\x81\x81\x00\x00\x00\x00a")
            await SystemClock().sleep(PING_S / 5)
        await SystemClock().sleep(10 * PING_S)
        go_on.set()
        while (told := await frame(client))[0] == 9:
            pass

    assert told == (1, b"heard")
    assert heard == ["a", "a", "a"]


async def test_an_app_that_falls_is_a_500():
    async def falls(scope, receive, send) -> None:
        raise RuntimeError("oh")

    async with serving(falls) as port, raw(port) as client:
        await client.send(HANDSHAKE)
        status, body = await client.answer()

    assert (status, msgspec.json.decode(body)["error"]["code"]) == (500, "invalid_handshake")


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x81\x82\x00\x00\x00\x00\xc3\x28", id="whole"),
        pytest.param(b"\x01\x81\x00\x00\x00\x00\xc3\x80\x81\x00\x00\x00\x00\x28", id="in-fragments"),
        pytest.param(b"\x81\x81\x00\x00\x00\x00\xc3\x81\x81\x00\x00\x00\x00a", id="another-behind-it"),
    ],
)
async def test_a_text_that_is_no_utf8_ends_the_session_with_1007_and_without_a_traceback(frames, caplog):
    heard = []

    async def app(scope, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            heard.append(message["text"])
        heard.append(message["code"])

    async with serving(app) as port, raw(port) as client:
        await opened(client)
        await client.send(b"\x01\x81\x00\x00\x00\x00\xc3\x80\x81\x00\x00\x00\x00\xa4" + frames)
        opcode, told = await frame(client)

        assert (opcode, told[:2]) == (8, (1007).to_bytes(2))
        assert await client.rest() == b""

    assert heard == ["ä", 1007]
    assert not caplog.records


async def test_a_text_that_is_no_utf8_before_the_answer_ends_the_connection(caplog):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send) -> None:
        await receive()
        begun.set()
        assert (await receive())["type"] == "websocket.disconnect"
        ended.set()

    async with serving(app) as port, raw(port) as client, asyncio.timeout(PATIENCE_S):
        await client.send(HANDSHAKE)
        await begun.wait()
        await client.send(b"\x81\x81\x00\x00\x00\x00\xc3")
        await ended.wait()

    assert not [record for record in caplog.records if record.exc_info]
