"""Random faults on many calls at once: each call ends as its own script says, and nothing is left."""

import asyncio
from random import Random

import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.upstream.http1 import Http1Engine
from tests.fakes.raw_server import Peer, ok, raw_server, ticks
from tests.integration.upstream.calls import post

pytestmark = pytest.mark.asyncio(loop_scope="function")

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def _as_told(peer: Peer) -> None:
    """What to do comes as the request's body: `<what> <number of the call>`."""
    while (seen := await peer.read_request()) is not None:
        what, _, number = seen.body.partition(b" ")
        if what == b"ok":
            await peer.send(ok(number))
        elif what == b"split":
            await peer.send_split(CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(number), number))
        elif what == b"close":
            await peer.send(ok(number, b"connection: close"))
            peer.close()
            return
        elif what == b"cut":
            await peer.send(CHUNKED + b"1\r\nx\r\n", b"")
            peer.reset()
            return
        else:
            await peer.send(b"\0\0\0\0")


@pytest.mark.parametrize("seed", range(5))
async def test_every_call_gets_its_own_answer(seed: int) -> None:
    rng = Random(seed)

    async def calls(engine: Http1Engine, first: int) -> None:
        for number in range(first, first + 25):
            what = rng.choice(["ok", "ok", "split", "close", "cut", "garbage", "leave", "cancel"])
            told = {"leave": "split", "cancel": "split"}.get(what, what)
            request = post(server.origin, f"{told} {number}".encode())
            if what == "cancel":
                task = asyncio.ensure_future(engine.attempt(request))
                await ticks(rng.randrange(30))
                task.cancel()
                (answer,) = await asyncio.gather(task, return_exceptions=True)
                if not isinstance(answer, (Fault, BaseException)):
                    answer.close()
                continue
            answer = await engine.attempt(request)
            if what == "garbage":
                assert isinstance(answer, Fault)
                assert answer.kind is FaultKind.GARBAGE
                continue
            assert not isinstance(answer, Fault), answer
            if what != "leave":
                body = await answer.read_all(1000)
                assert body == str(number).encode() if what != "cut" else isinstance(body, Fault)
            answer.close()

    async with raw_server(_as_told) as server:
        engine = Http1Engine()
        await asyncio.gather(*[calls(engine, first * 100) for first in range(20)])
        await ticks(10)
        stats = engine.stats()[server.origin]
        assert stats.open == stats.idle
        assert stats.reused > 0
        await engine.aclose()
        assert engine.stats()[server.origin].open == 0
