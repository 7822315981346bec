"""Answers of every framing come whole, through either engine."""

import asyncio

import pytest

from gateway.core.outcome import Fault, FaultKind
from tests.fakes.raw_server import Peer, answering, ok, raw_server, ticks
from tests.integration.upstream.calls import fault_of, fetch, get, post
from tests.integration.upstream.conftest import OpenEngine
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nx-trailer: 1\r\n\r\n"
WHOLE = [
    pytest.param(ok(b"abcdefg"), id="content-length"),
    pytest.param(CHUNKED, id="chunked with a trailer"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"abcdefg"), id="after 100"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + CHUNKED, id="after 103"),
    pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 7\r\n\r\nabcdefg", id="HTTP 1.0"),
    pytest.param(ok(b"abcdefg", b"connection: close"), id="connection close"),
]


@pytest.mark.parametrize("message", WHOLE)
async def test_answer_comes_whole(open_engine: OpenEngine, message: bytes) -> None:
    async with raw_server(answering(message)) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"abcdefg")


@pytest.mark.parametrize("message", WHOLE)
async def test_answer_sent_byte_by_byte_comes_whole(open_engine: OpenEngine, message: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send_split(message)

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"abcdefg")


async def test_end_of_connection_ends_a_body_without_framing(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc", b"defg")
        peer.close()

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"abcdefg")


async def test_half_closed_upstream_is_still_an_answer(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok(b"abcdefg"))
        peer.end()
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, post(server.origin)) == (200, b"abcdefg")
        await asyncio.wait_for(_all_hung_up(server.peers), PATIENCE_S)


async def _all_hung_up(peers: list[Peer]) -> None:
    for peer in peers:
        await peer.hung_up.wait()


@pytest.mark.parametrize(
    "message", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"]
)
async def test_answers_without_a_body_end_with_their_head(open_engine: OpenEngine, message: bytes) -> None:
    async with raw_server(answering(message, ok(b"next"))) as server, open_engine() as engine:
        assert await fetch(engine, get(server.origin)) == (int(message[9:12]), b"")
        assert await fetch(engine, get(server.origin)) == (200, b"next")
        assert len(server.peers) == 1


async def test_answer_to_head_has_no_body_whatever_its_length_says(open_engine: OpenEngine) -> None:
    async with (
        raw_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")) as server,
        open_engine() as engine,
    ):
        assert await fetch(engine, get(server.origin, method=b"HEAD")) == (200, b"")
        assert await fetch(engine, get(server.origin, method=b"HEAD")) == (200, b"")


async def test_headers_keep_order_and_doubles_and_come_in_lower_case(open_engine: OpenEngine) -> None:
    message = ok(b"", b"X-Request-ID: 1", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"X-Odd:  spaced \xe9 ")
    async with raw_server(answering(message)) as server, open_engine() as engine:
        answer = await engine.attempt(get(server.origin))

        assert not isinstance(answer, Fault)
        assert answer.headers == (
            (b"x-request-id", b"1"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"x-odd", b"spaced \xe9"),
            (b"content-length", b"0"),
        )
        answer.close()


async def test_request_goes_out_as_it_was_given(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        while (seen := await peer.read_request()) is not None:
            server.seen.append(seen)
            await peer.send(ok())

    async with raw_server(script) as server, open_engine() as engine:
        await fetch(engine, post(server.origin, b"{}"))
        await fetch(engine, post(server.origin, b""))
        await fetch(engine, get(server.origin))

    host = b"127.0.0.1:%d" % server.origin.port
    first, empty, plain = server.seen
    assert (first.method, first.target, first.body) == (b"POST", b"/v1/chat/completions", b"{}")
    assert {name.lower(): value for name, value in first.headers} == {
        b"host": host,
        b"content-type": b"application/json",
        b"authorization": b"Bearer sk-1",
        b"content-length": b"2",
    }
    assert empty.header(b"content-length") == b"0"
    assert (plain.method, plain.target, plain.header(b"content-length")) == (b"GET", b"/v1/models?x=1", None)


async def test_compressed_body_stays_compressed_and_redirects_and_cookies_are_not_followed(
    open_engine: OpenEngine,
) -> None:
    lines = b"HTTP/1.1 302 Found\r\nlocation: /x\r\nset-cookie: a=1\r\ncontent-encoding: gzip\r\ncontent-length: 3"
    moved = lines + b"\r\n\r\n\x1f\x8b\x00"

    async def script(peer: Peer) -> None:
        while (seen := await peer.read_request()) is not None:
            server.seen.append(seen)
            await peer.send(moved)

    async with raw_server(script) as server, open_engine() as engine:
        assert await fetch(engine, get(server.origin)) == (302, b"\x1f\x8b\x00")
        assert await fetch(engine, get(server.origin)) == (302, b"\x1f\x8b\x00")

    assert len(server.seen) == 2
    assert server.seen[1].header(b"cookie") is None


async def test_chunks_come_as_they_arrive_and_then_the_end(open_engine: OpenEngine) -> None:
    may_go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await may_go_on.wait()
        await peer.send(b"3\r\ndef\r\n0\r\n\r\n")

    async with raw_server(script) as server, open_engine() as engine:
        answer = await engine.attempt(post(server.origin))
        assert not isinstance(answer, Fault)

        assert await answer.next_chunk() == b"abc"
        may_go_on.set()
        assert await answer.next_chunk() == b"def"
        assert await answer.next_chunk() == b""
        assert await answer.next_chunk() == b""
        answer.close()
        answer.close()


async def test_body_larger_than_allowed_is_a_fault(open_engine: OpenEngine) -> None:
    async with raw_server(answering(ok(b"x" * 100))) as server, open_engine() as engine:
        answer = await engine.attempt(get(server.origin))
        assert not isinstance(answer, Fault)

        assert await answer.read_all(99) == Fault(
            FaultKind.GARBAGE, "the body is larger than 99 bytes", is_body_sent=True
        )
        answer.close()


GARBAGE = [
    pytest.param(b"<html>hello</html>\r\n\r\n", id="no HTTP"),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", id="upgrade"),
    pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", id="one huge header"),
    pytest.param(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000 + b"\r\n", id="many headers"),
    pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", id="bad chunk size"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", id="two lengths"),
]


@pytest.mark.parametrize("message", GARBAGE)
async def test_what_is_not_an_answer_is_garbage(open_engine: OpenEngine, message: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(message)
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        fault = await fault_of(engine, post(server.origin))

        assert (fault.kind, fault.is_body_sent) == (FaultKind.GARBAGE, True)
        await asyncio.wait_for(_all_hung_up(server.peers), PATIENCE_S)


@pytest.mark.parametrize("pair", [(b"x", b"a\r\nb: c"), (b"x", b"a\nb"), (b"x\rb", b"a"), (b"x", b"a\0b")])
async def test_header_that_would_split_the_request_is_never_sent(
    open_engine: OpenEngine, pair: tuple[bytes, bytes]
) -> None:
    async with raw_server(answering(ok())) as server, open_engine() as engine:
        request = post(server.origin)
        with pytest.raises(ValueError, match="CR, LF, NUL"):
            await engine.attempt(type(request)(request.method, request.origin, request.target, (pair,)))

        await ticks(5)
        assert server.peers == []
