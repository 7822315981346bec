"""Connecting to a name with several addresses, and being cut while connecting."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Limits, Origin
from gateway.upstream import dial
from gateway.upstream.http1 import Http1Engine
from tests.fakes.raw_server import Peer, answering, ok, raw_server, ticks
from tests.integration.upstream.calls import fetch, get, post
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")

Resolve = Callable[[list[dial.Address]], None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Makes every name mean these addresses."""

    def as_(addresses: list[dial.Address]) -> None:
        async def look_up(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[dial.Address]:
            return addresses

        monkeypatch.setattr(dial, "_look_up", look_up)

    return as_


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _at(port: int) -> dial.Address:
    return socket.AF_INET, ("127.0.0.1", port)


async def test_second_address_serves_when_the_first_refuses(resolve: Resolve) -> None:
    async with raw_server(answering(ok())) as server:
        engine = Http1Engine()
        resolve([_at(_free_port()), _at(server.origin.port)])
        assert await fetch(engine, get(Origin("http", "two.example", 80))) == (200, b"hello")
        await engine.aclose()


async def test_second_address_serves_when_the_first_is_silent(
    resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "_HEAD_START_S", 0.02)
    with socket.socket() as deaf:
        fillers = _made_deaf(deaf)
        async with raw_server(answering(ok())) as server:
            engine = Http1Engine()
            resolve([_at(deaf.getsockname()[1]), _at(server.origin.port)])
            assert await fetch(engine, get(Origin("http", "two.example", 80))) == (200, b"hello")
            assert len(server.peers) == 1
            await engine.aclose()
        for filler in fillers:
            filler.close()


async def test_fault_is_that_of_the_first_address_when_all_fail(resolve: Resolve) -> None:
    engine = Http1Engine()
    resolve([_at(_free_port()), (socket.AF_INET, ("255.255.255.255", 1)), _at(_free_port())])

    fault = await engine.attempt(get(Origin("http", "three.example", 80)))

    assert fault == Fault(FaultKind.CONNECT, "connection refused")
    await engine.aclose()


async def test_real_name_is_looked_up() -> None:
    async with raw_server(answering(ok())) as server:
        engine = Http1Engine()
        assert await fetch(engine, get(Origin("http", "localhost", server.origin.port))) == (200, b"hello")
        await engine.aclose()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_attempt_cancelled_while_connecting_leaves_nothing(scheme: str) -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        begun.set()
        await peer.wait_hang_up()

    async with raw_server(script) as server:
        engine = Http1Engine()
        origin = Origin(scheme, "127.0.0.1", server.origin.port)
        call = asyncio.ensure_future(engine.attempt(get(origin)))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)
        await ticks(5)
        assert engine.stats()[origin].open == 0
        await engine.aclose()


async def test_upload_that_is_cancelled_hangs_up() -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        begun.set()
        await ticks(20)
        await peer.wait_hang_up()

    async with raw_server(script) as server:
        engine = Http1Engine()
        call = asyncio.ensure_future(engine.attempt(post(server.origin, bytes(50_000_000))))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)
        assert engine.stats()[server.origin].idle == 0
        await engine.aclose()


async def test_connect_limit_counts_all_addresses_together(resolve: Resolve) -> None:
    with socket.socket() as deaf:
        fillers = _made_deaf(deaf)
        engine = Http1Engine()
        resolve([_at(deaf.getsockname()[1])] * 3)
        fault = await engine.attempt(get(Origin("http", "three.example", 80), limits=Limits(connect_s=0.05)))

        assert fault == Fault(FaultKind.CONNECT, "no connection within 0.05 s")
        await engine.aclose()
        for filler in fillers:
            filler.close()


def _made_deaf(sock: socket.socket) -> list[socket.socket]:
    """Listens with a full backlog: further connections get no answer. Close what it gives."""
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
    return fillers
