"""Long bodies, both ways: memory stays flat, a slow side slows the other down, early answers are taken."""

import asyncio
import tracemalloc

import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Limits
from tests.fakes.raw_server import Peer, ok, raw_server, ticks
from tests.integration.upstream.calls import QUICK, fault_of, fetch, post
from tests.integration.upstream.conftest import OpenEngine
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")

LONG = 50_000_000
PIECE = b"x" * 1_000_000
BOUND = 12_000_000
"""What may wait between a server and a reader that stalls: our 512 kB and the socket buffers of both sides."""


async def test_reader_that_stalls_stops_the_upstream(open_engine: OpenEngine) -> None:
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LONG)
        for _ in range(LONG // len(PIECE)):
            await peer.send(PIECE)
        done.set()
        await peer.read_request()

    async with raw_server(script) as server, open_engine() as engine:
        answer = await engine.attempt(post(server.origin))
        assert not isinstance(answer, Fault)
        sent = -1
        while sent != server.peers[0].sent:  # until the upstream makes no more progress
            sent = server.peers[0].sent
            await ticks(200)

        assert sent < BOUND
        assert not done.is_set()
        received, largest = 0, 0
        while chunk := await answer.next_chunk():
            assert not isinstance(chunk, Fault)
            received += len(chunk)
            largest = max(largest, len(chunk))
        assert received == LONG
        assert largest <= 600_000
        assert done.is_set()
        answer.close()


async def test_long_upload_is_sent_with_flat_memory(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        left = LONG
        while left:
            left -= len(await peer.reader.read(262_144))
        await peer.send(ok(b"thanks"))
        await peer.read_request()

    body = bytes(LONG)
    async with raw_server(script) as server, open_engine() as engine:
        tracemalloc.start()
        try:
            assert await fetch(engine, post(server.origin, body)) == (200, b"thanks")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak < 8_000_000


async def test_connection_serves_again_after_a_long_upload(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        while (seen := await peer.read_request()) is not None:
            await peer.send(ok(b"%d" % len(seen.body)))

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin, bytes(1_000_000))) == (200, b"1000000")
        assert await fetch(engine, post(server.origin, bytes(65_537))) == (200, b"65537")
        assert len(server.peers) == 1


async def test_early_answer_is_taken_and_the_rest_of_the_body_is_not_sent(open_engine: OpenEngine) -> None:
    refused = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(refused)
        peer.end()
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin, bytes(LONG))) == (413, b"no")

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)


async def test_early_answer_of_an_upstream_that_reads_no_more_is_taken(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.transport.pause_reading()
        await peer.send(ok(b"enough"))
        await asyncio.Event().wait()

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin, bytes(LONG))) == (200, b"enough")
        assert await fetch(engine, post(server.origin, bytes(LONG))) == (200, b"enough")

        assert len(server.peers) == 2


async def test_a_head_that_tells_nothing_yet_is_no_early_answer(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 10")
        left = LONG
        while left:
            left -= len(await peer.reader.read(262_144))
        await peer.send(b"3 Early Hints\r\n\r\n" + ok(b"thanks"))
        await peer.read_request()

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin, bytes(LONG))) == (200, b"thanks")


async def test_upstream_that_takes_no_more_of_the_body_is_a_stall(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with raw_server(script) as server, open_engine() as engine:
        fault = await fault_of(engine, post(server.origin, bytes(LONG), limits=Limits(stall_s=0.05)))

        assert fault == Fault(FaultKind.STALL, "the upload made no progress within 0.05 s", is_body_sent=True)


async def test_upstream_that_resets_during_an_upload(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.reset()

    async with raw_server(script) as server, open_engine() as engine:
        fault = await fault_of(engine, post(server.origin, bytes(LONG), limits=QUICK))

        assert (fault.kind, fault.is_body_sent) == (FaultKind.RESET, True)
