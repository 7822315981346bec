"""Bodies that come from elsewhere: sent piece by piece, begun anew for a second try, let go at an early answer."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from gateway.core.outcome import Fault
from gateway.upstream.http1 import Http1Engine
from tests.fakes.raw_server import Peer, ok, raw_server, ticks
from tests.integration.upstream.calls import fetch, post
from tests.integration.upstream.conftest import OpenEngine
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")

PIECE = bytes(range(256)) * 1024


class Source:
    """So many pieces; `begun` and `ended` count the times."""

    def __init__(self, pieces: int, *, breaks_after: int | None = None) -> None:
        self.count = pieces
        self.size = pieces * len(PIECE)
        self.breaks_after = breaks_after
        self.begun = 0
        self.ended = 0
        self.given = 0
        self.has_given = asyncio.Event()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        self.begun += 1
        try:
            for number in range(self.count):
                if number == self.breaks_after:
                    raise OSError("the disk")
                self.given += 1
                await ticks(1)
                yield PIECE
                self.has_given.set()
        finally:
            self.ended += 1


def upload(server, source):  # the request of this module's tests
    return msgspec.structs.replace(post(server.origin), body=source)


@pytest.mark.parametrize("pieces", [0, 1, 20])
async def test_a_source_arrives_whole_and_announced(open_engine: OpenEngine, pieces: int) -> None:
    async def script(peer: Peer) -> None:
        while (seen := await peer.read_request()) is not None:
            assert seen.body == PIECE * pieces
            await peer.send(ok(seen.header(b"content-length") or b"none"))

    source = Source(pieces)
    async with raw_server(script) as server, open_engine() as engine:
        length = b"%d" % (pieces * len(PIECE))
        assert await fetch(engine, upload(server, source)) == (200, length)
        assert await fetch(engine, upload(server, source)) == (200, length)

    assert (source.begun, source.ended) == (2, 2)


async def test_an_early_answer_is_taken_and_the_source_let_go(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(ok(b"too much").replace(b"200 OK", b"413 No"))
        await peer.wait_hang_up()

    source = Source(400)
    async with raw_server(script) as server, open_engine() as engine:
        status, body = await fetch(engine, upload(server, source))

    assert (status, body) == (413, b"too much")
    assert source.given < source.count
    assert source.begun == source.ended == 1


async def test_a_second_try_on_a_new_connection_begins_anew() -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 0:
            assert await peer.read_request() is not None
            await peer.send(ok(b"first"))
            await peer.reader.readuntil(b"\r\n\r\n")
            peer.reset()
            return
        seen = await peer.read_request()
        assert seen is not None
        await peer.send(ok(b"%d" % len(seen.body)))
        await peer.read_request()

    source = Source(3)
    async with raw_server(script) as server:
        engine = Http1Engine()
        try:
            assert await fetch(engine, post(server.origin)) == (200, b"first")
            assert await fetch(engine, upload(server, source)) == (200, b"%d" % source.size)
        finally:
            await engine.aclose()

    assert source.begun == source.ended == 2


async def test_a_source_that_breaks_cuts_the_connection() -> None:
    cut = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.wait_hang_up()
        cut.set()

    async with raw_server(script) as server:
        engine = Http1Engine()
        try:
            with pytest.raises(OSError, match="the disk"):
                await engine.attempt(upload(server, Source(5, breaks_after=2)))
            await asyncio.wait_for(cut.wait(), PATIENCE_S)
            assert all(stats.open == 0 for stats in engine.stats().values())
        finally:
            await engine.aclose()


async def test_a_call_that_is_cancelled_lets_go_of_its_source() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.wait_hang_up()

    source = Source(1000)
    async with raw_server(script) as server:
        engine = Http1Engine()
        try:
            task = asyncio.ensure_future(engine.attempt(upload(server, source)))
            await source.has_given.wait()
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
        finally:
            await engine.aclose()

    assert isinstance(result, asyncio.CancelledError | Fault)
    assert source.ended == 1
