"""Realtime sessions through real worker processes: shared among them, ended by a stop, light in memory."""

import asyncio
import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.relay.clock import SystemClock
from tests.databases import temporary_state
from tests.e2e.realtime.kit import NO_UTF8
from tests.e2e.service import Service, running
from tests.fakes.socket_upstream import CREATED, SocketUpstream
from tests.waits import PATIENCE_S

SESSIONS = 12
GROWTH_MB = 40.0
"""Of a worker while an upstream offers 400 MB to a caller that reads nothing: some messages wait."""


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_state() as state:
        yield state


def started(service: Service) -> int:
    port = service.event("service.started")["port"]
    assert isinstance(port, int)
    return port


async def opened(port: int, **options: object) -> ClientConnection:
    socket = await connect(
        f"ws://127.0.0.1:{port}/v1/realtime?model=gpt-realtime", proxy=None, compression=None, max_size=None, **options
    )
    assert await socket.recv() == CREATED
    return socket


async def closed_with(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def test_sessions_are_spread_over_workers_and_ended_by_a_stop(home, database_url):
    async with SocketUpstream().running() as upstream:
        variables = {
            "OPENAI_API_KEYS": "sk-a,sk-b",
            "OPENAI_BASE_URL": upstream.url,
            "DATABASE_URL": database_url,
            "GATEWAY_SERVER__DRAIN_S": "1",
        }
        with running(home, app="", **variables) as service:
            port = await asyncio.to_thread(started, service)
            sockets = [await opened(port) for _ in range(SESSIONS)]
            for socket in sockets:
                await socket.send("hello")
                assert await socket.recv() == "hello"

            service.signal(signal.SIGTERM)
            codes = await asyncio.gather(*map(closed_with, sockets))
            code = await asyncio.to_thread(service.exit_code)

            assert set(codes) == {1012}
            assert code == 0
            assert sorted({*upstream.keys()}) == ["sk-a", "sk-b"]
            ends = [event for event in service.events if event["event"] == "session.ended"]
            assert len(ends) == SESSIONS
            assert {(end["ended_by"], end["close_code"], end["messages_in"]) for end in ends} == {("gateway", 1012, 1)}


async def test_a_text_that_is_no_utf8_is_one_line_of_the_log(home, database_url):
    async with SocketUpstream().running() as upstream:
        variables = {"OPENAI_API_KEYS": "sk-a", "OPENAI_BASE_URL": upstream.url, "DATABASE_URL": database_url}
        with running(home, app="", GATEWAY_SERVER__WORKERS="1", **variables) as service:
            socket = await opened(await asyncio.to_thread(started, service))
            socket.transport.write(NO_UTF8)
            assert await closed_with(socket) == 1007
            end = await asyncio.to_thread(service.event, "session.ended")

    assert end["close_code"] == 1007
    assert len(service.errors) == 1, "its words at the start"


async def test_memory_stays_flat_while_a_caller_does_not_read(home, database_url):
    sent = 0

    async def flood(socket, seen) -> None:
        nonlocal sent
        await socket.send(CREATED)
        for _ in range(400):
            await socket.send(bytes(2**20))
            sent += 1

    async with SocketUpstream().running() as upstream:
        upstream.script = flood
        variables = {"OPENAI_API_KEY": "sk-a", "OPENAI_BASE_URL": upstream.url, "DATABASE_URL": database_url}
        with running(home, app="", GATEWAY_SERVER__WORKERS="1", **variables) as service:
            port = await asyncio.to_thread(started, service)
            (await opened(port)).transport.abort()  # what only the first session makes is made then
            status = Path(f"/proc/{service.event('worker.started')['pid']}/status")
            (status.parent / "clear_refs").write_text("5")  # the highest is counted anew from here
            before, sent = megabytes(status, "VmRSS"), 0
            socket = await opened(port, max_queue=1)
            last = -1
            while sent != last:  # until nothing moves
                last = sent
                await SystemClock().sleep(0.5)
            growth = megabytes(status, "VmHWM") - before
            socket.transport.abort()

    assert sent < 100
    assert growth < GROWTH_MB


def megabytes(status: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
