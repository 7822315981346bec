"""Every way in which a transport fails becomes a `Fault` that says so."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from math import inf

import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Limits, Origin
from tests.fakes.raw_server import Peer, answering, ok, raw_server
from tests.integration.upstream.calls import fault_of, fetch, get, post
from tests.integration.upstream.conftest import OpenEngine
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")

LONG_S = 2.0
"""A limit that an upstream keeps to, on a machine that may be busy. Waiting for it costs nothing but time."""


async def test_refused_connection(open_engine: OpenEngine) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening
        origin = Origin("http", "127.0.0.1", closed.getsockname()[1])
        async with open_engine() as engine:
            assert await engine.attempt(post(origin)) == Fault(FaultKind.CONNECT, "connection refused")


async def test_name_that_nobody_knows(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        fault = await fault_of(engine, post(Origin("http", "no-such-host.invalid", 80)))

    assert fault.kind is FaultKind.CONNECT
    assert fault.detail.startswith("name not found")
    assert not fault.is_body_sent


async def test_name_that_cannot_be_asked_for(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        fault = await fault_of(engine, post(Origin("http", "x" * 70 + ".example", 80)))

    assert (fault.kind, fault.is_body_sent) == (FaultKind.CONNECT, False)


async def test_connect_timeout(open_engine: OpenEngine) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(3)]  # the backlog is full: further SYNs get no answer
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        async with open_engine() as engine:
            request = post(Origin("http", "127.0.0.1", deaf.getsockname()[1]), limits=Limits(connect_s=0.05))
            assert await engine.attempt(request) == Fault(FaultKind.CONNECT, "no connection within 0.05 s")
        for filler in fillers:
            filler.close()


async def test_headers_timeout_hangs_up(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nx: ")
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        fault = await engine.attempt(post(server.origin, limits=Limits(headers_s=0.05)))

        assert fault == Fault(FaultKind.HEADERS_TIMEOUT, "no answer head within 0.05 s", is_body_sent=True)
        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)


async def test_stall_limit_of_the_request_and_of_the_chunk(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        for limits, timeout_s, named in [(Limits(stall_s=0.05), None, 0.05), (Limits(), 0.03, 0.03)]:
            answer = await engine.attempt(post(server.origin, limits=limits))
            assert not isinstance(answer, Fault)
            assert await answer.next_chunk() == b"abc"
            stalled = Fault(FaultKind.STALL, f"no byte of the body within {named} s", is_body_sent=True)

            assert await answer.next_chunk(timeout_s) == stalled
            assert await answer.next_chunk() == stalled
            answer.close()
        await asyncio.wait_for(asyncio.gather(*[peer.hung_up.wait() for peer in server.peers]), PATIENCE_S)


async def test_each_piece_starts_the_stall_limit_anew(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        for _ in range(5):
            await _after(LONG_S / 4)
            await peer.send(b"x")

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin, limits=Limits(stall_s=LONG_S))) == (200, b"x" * 5)


async def test_limit_of_one_call_is_not_that_of_the_next_on_its_connection(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        for pause_s in (0.0, 1.1 * LONG_S, 0.0):
            await peer.read_request()
            await _after(pause_s)
            await peer.send(ok())
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin, limits=Limits(headers_s=LONG_S))) == (200, b"hello")
        assert await fetch(engine, post(server.origin, limits=Limits(headers_s=PATIENCE_S))) == (200, b"hello")
        await _after(1.1 * LONG_S)
        assert await fetch(engine, post(server.origin, limits=Limits(headers_s=inf))) == (200, b"hello")
        fault = await fault_of(engine, post(server.origin, limits=Limits(headers_s=0.02)))

        assert fault == Fault(FaultKind.HEADERS_TIMEOUT, "no answer head within 0.02 s", is_body_sent=True)
        assert len(server.peers) == 1


async def _after(seconds: float) -> None:
    """A pause of the upstream's own; real time, as the engines' timers are the event loop's."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()


CUTS = [
    pytest.param(b"", FaultKind.RESET, "before a whole answer head", id="nothing"),
    pytest.param(b"HTTP/1.1 200 OK\r\nx: y", FaultKind.RESET, "before a whole answer head", id="half a head"),
    pytest.param(ok(b"x" * 583)[: -583 + 120], FaultKind.RESET, "after 120 of 583 bytes", id="half a body"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        FaultKind.RESET,
        "after 3 bytes",
        id="chunked",
    ),
]


@pytest.mark.parametrize(("message", "kind", "detail"), CUTS)
@pytest.mark.parametrize("ending", [Peer.close, Peer.end, Peer.reset], ids=["close", "half-close", "reset"])
async def test_cut_answer_is_never_a_clean_end(
    open_engine: OpenEngine, message: bytes, kind: FaultKind, detail: str, ending: Callable[[Peer], None]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(message, b"")
        ending(peer)

    async with raw_server(script) as server, open_engine() as engine:
        fault = await fault_of(engine, post(server.origin))

    assert (fault.kind, fault.is_body_sent) == (kind, True)
    assert fault.detail.endswith(detail)


async def test_pieces_before_a_cut_are_still_delivered(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        peer.close()

    async with raw_server(script) as server, open_engine() as engine:
        answer = await engine.attempt(post(server.origin))
        assert not isinstance(answer, Fault)

        assert await answer.next_chunk() == b"abc"
        assert isinstance(await answer.next_chunk(), Fault)
        answer.close()


async def test_reset_of_a_body_that_the_connection_would_end_is_a_fault(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc", b"")
        peer.reset()

    async with raw_server(script) as server, open_engine() as engine:
        assert (await fault_of(engine, post(server.origin))).kind is FaultKind.RESET


async def _cancel(engine_call: Coroutine[object, object, object], begun: asyncio.Event) -> None:
    task = asyncio.ensure_future(engine_call)
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_attempt_hangs_up(open_engine: OpenEngine) -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        begun.set()
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        await _cancel(engine.attempt(post(server.origin)), begun)

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)


async def test_cancelled_read_hangs_up(open_engine: OpenEngine) -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
        await _after(0.01)
        begun.set()
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        answer = await engine.attempt(post(server.origin))
        assert not isinstance(answer, Fault)
        await _cancel(answer.next_chunk(), begun)

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)
        answer.close()


async def test_closing_an_unread_answer_hangs_up(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        answer = await engine.attempt(post(server.origin))
        assert not isinstance(answer, Fault)
        answer.close()

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)
        assert isinstance(await answer.next_chunk(), Fault)


async def test_attempt_after_a_fault_works_again(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 0:
            await peer.read_request()
            peer.reset()
        else:
            await answering(ok(b"back"))(peer)

    async with raw_server(script) as server, open_engine() as engine:
        assert (await fault_of(engine, get(server.origin))).kind is FaultKind.RESET
        assert await fetch(engine, get(server.origin)) == (200, b"back")
