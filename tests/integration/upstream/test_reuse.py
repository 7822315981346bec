"""Connections of `Http1Engine` are kept, reused, expired and replaced; both engines survive stale ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Limits
from gateway.upstream.http1 import Http1Engine
from gateway.upstream.pool import OriginStats
from tests.fakes.raw_server import Peer, answering, ok, raw_server, ticks
from tests.integration.upstream.calls import fault_of, fetch, get, post
from tests.integration.upstream.conftest import OpenEngine
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")


async def test_second_call_uses_the_connection_of_the_first(open_engine: OpenEngine) -> None:
    async with raw_server(answering(ok())) as server, open_engine() as engine:
        for _ in range(5):
            assert await fetch(engine, post(server.origin)) == (200, b"hello")

        assert len(server.peers) == 1


async def test_two_hundred_calls_at_once_get_two_hundred_answers(open_engine: OpenEngine) -> None:
    async def echo(peer: Peer) -> None:
        while (seen := await peer.read_request()) is not None:
            await peer.send(ok(seen.body))

    async with raw_server(echo) as server, open_engine() as engine:
        bodies = [b"call %d" % number for number in range(200)]
        answers = await asyncio.gather(*[fetch(engine, post(server.origin, body)) for body in bodies])

        assert answers == [(200, body) for body in bodies]


async def test_origins_do_not_share_connections(open_engine: OpenEngine) -> None:
    async with (
        raw_server(answering(ok(b"one"))) as one,
        raw_server(answering(ok(b"two"))) as two,
        open_engine() as engine,
    ):
        assert await fetch(engine, get(one.origin)) == (200, b"one")
        assert await fetch(engine, get(two.origin)) == (200, b"two")


async def test_connection_that_the_upstream_closed_while_idle_is_not_used(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok(b"%d" % peer.number))
        peer.close()

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"0")
        await ticks(10)
        assert await fetch(engine, post(server.origin)) == (200, b"1")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(ok(b"hello", b"connection: close"), id="connection close"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", id="HTTP 1.0"),
    ],
)
async def test_connection_that_the_upstream_will_close_is_not_reused(open_engine: OpenEngine, message: bytes) -> None:
    async with raw_server(answering(message)) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"hello")
        assert await fetch(engine, post(server.origin)) == (200, b"hello")

        assert len(server.peers) == 2


@pytest.mark.parametrize("excess", [b"HTTP/1.1 200 OK\r\nx: ", ok(b"smuggled"), b"rubbish", b"H"])
async def test_connection_with_bytes_behind_the_end_is_not_reused(excess: bytes) -> None:
    async with raw_server(answering(ok() + excess)) as server, _http1() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"hello")
        assert await fetch(engine, post(server.origin)) == (200, b"hello")

        assert len(server.peers) == 2


async def test_answer_with_two_framings_is_not_taken() -> None:
    both = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with raw_server(answering(both)) as server, _http1() as engine:
        assert (await fault_of(engine, post(server.origin))).kind is FaultKind.GARBAGE
        assert engine.stats()[server.origin].idle == 0


async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    may_speak = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok(b"%d" % peer.number))
        if peer.number == 0:
            await may_speak.wait()
            await peer.send(ok(b"smuggled"))
        await peer.wait_hang_up()

    async with raw_server(script) as server, _http1() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"0")
        may_speak.set()
        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)

        assert await fetch(engine, post(server.origin)) == (200, b"1")


async def test_answer_read_but_not_taken_still_gives_its_connection_back() -> None:
    async with raw_server(answering(ok())) as server, _http1() as engine:
        for _ in range(2):
            answer = await engine.attempt(get(server.origin))
            assert not isinstance(answer, Fault)
            answer.close()

        assert engine.stats() == {server.origin: OriginStats(open=1, idle=1, opened=1, reused=1)}


async def test_pool_hands_out_the_connection_that_was_used_last() -> None:
    async def script(peer: Peer) -> None:
        while await peer.read_request() is not None:
            await peer.send(ok(b"%d" % peer.number))

    async with raw_server(script) as server, _http1() as engine:
        first, second = await engine.attempt(get(server.origin)), await engine.attempt(get(server.origin))
        assert not isinstance(first, Fault)
        assert not isinstance(second, Fault)
        second.close()
        first.close()

        assert await fetch(engine, get(server.origin)) == (200, b"0")
        assert await fetch(engine, get(server.origin)) == (200, b"0")


async def test_idle_connections_beyond_the_limit_are_closed_oldest_first() -> None:
    async with raw_server(_numbered) as server, _http1() as engine:
        limits = Limits(max_idle=2)
        answers = [await engine.attempt(get(server.origin, limits=limits)) for _ in range(3)]
        for answer in answers:
            assert not isinstance(answer, Fault)
            answer.close()

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)
        assert engine.stats()[server.origin] == OriginStats(open=2, idle=2, opened=3, reused=0)


async def test_idle_connection_is_closed_when_its_time_is_up() -> None:
    async with raw_server(_numbered) as server, _http1() as engine:
        for _ in range(2):
            await fetch(engine, get(server.origin, limits=Limits(keep_alive_s=0.03)))
            await asyncio.wait_for(server.peers[-1].hung_up.wait(), PATIENCE_S)

        assert engine.stats()[server.origin] == OriginStats(open=0, idle=0, opened=2, reused=0)


async def test_connection_older_than_the_call_allows_is_not_taken() -> None:
    async with raw_server(_numbered) as server, _http1() as engine:
        assert await fetch(engine, get(server.origin)) == (200, b"0")
        assert await fetch(engine, get(server.origin, limits=Limits(keep_alive_s=0.0))) == (200, b"1")


async def _numbered(peer: Peer) -> None:
    while await peer.read_request() is not None:
        await peer.send(ok(b"%d" % peer.number))
    peer.hung_up.set()


async def _dying_when_reused(peer: Peer) -> None:
    """Serves one call a connection and resets when the second request comes."""
    await peer.read_request()
    await peer.send(ok(b"%d" % peer.number))
    await peer.read_request()
    peer.reset()


async def test_stale_connection_is_replaced_once() -> None:
    async with raw_server(_dying_when_reused) as server, _http1() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"0")
        assert await fetch(engine, post(server.origin)) == (200, b"1")
        assert len(server.peers) == 2


async def test_request_that_must_not_be_repeated_is_not_sent_again() -> None:
    async with raw_server(_dying_when_reused) as server, _http1() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"0")
        fault = await engine.attempt(post(server.origin, may_resend=False))

        assert isinstance(fault, Fault)
        assert (fault.kind, fault.is_body_sent, len(server.peers)) == (FaultKind.RESET, True, 1)


async def test_fresh_connection_that_dies_is_not_replaced() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        peer.reset()

    async with raw_server(script) as server, _http1() as engine:
        assert (await fault_of(engine, post(server.origin))).kind is FaultKind.RESET
        assert len(server.peers) == 1


async def test_connection_that_dies_within_its_answer_is_not_replaced() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok())
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200", b"")
        peer.reset()

    async with raw_server(script) as server, _http1() as engine:
        await fetch(engine, post(server.origin))

        assert (await fault_of(engine, post(server.origin))).kind is FaultKind.RESET
        assert len(server.peers) == 1


async def test_failed_replacement_says_that_the_request_may_have_arrived() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok())
        await peer.read_request()
        server.stop_listening()
        peer.reset()

    async with raw_server(script) as server, _http1() as engine:
        await fetch(engine, post(server.origin))
        fault = await engine.attempt(post(server.origin))

        assert fault == Fault(FaultKind.CONNECT, "connection refused", is_body_sent=True)


async def test_closing_the_engine_ends_calls_and_later_attempts() -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        begun.set()
        await peer.wait_hang_up()

    async with raw_server(script) as server:
        engine = Http1Engine()
        call = asyncio.ensure_future(engine.attempt(post(server.origin)))
        await begun.wait()
        await engine.aclose()

        first, second = await call, await engine.attempt(post(server.origin))
        assert isinstance(first, Fault)
        assert first.kind is FaultKind.RESET
        assert second == Fault(FaultKind.CONNECT, "the engine is closed")
        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)


@asynccontextmanager
async def _http1() -> AsyncIterator[Http1Engine]:
    engine = Http1Engine()
    try:
        yield engine
    finally:
        await engine.aclose()
