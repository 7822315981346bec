"""What only the second engine does: proxies and HTTP/2."""

import asyncio
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Origin
from gateway.upstream.httpx_engine import HttpxEngine
from tests.fakes.certificates import self_signed, server_context
from tests.fakes.raw_server import Peer, answering, ok, raw_server
from tests.integration.upstream.calls import fetch, get, post

pytestmark = pytest.mark.asyncio(loop_scope="function")

REFUSED = Fault(
    FaultKind.CONNECT,
    "the proxy refused: 407 Proxy Authentication Required (settings.proxy needs a user and password that it takes)",
)


async def _forwarding_proxy(peer: Peer) -> None:
    """Serves CONNECT with a tunnel and answers anything else itself with what it was asked for."""
    seen = await peer.read_request()
    assert seen is not None
    if seen.method != b"CONNECT":
        await peer.send(ok(seen.target))
        return
    host, _, port = seen.target.decode().rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    try:
        await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))
    finally:
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
    writer.close()


async def test_plain_calls_go_to_the_proxy_with_their_whole_address() -> None:
    async with raw_server(_forwarding_proxy) as proxy:
        engine = HttpxEngine(proxy=f"http://127.0.0.1:{proxy.origin.port}")
        answer = await fetch(engine, get(Origin("http", "far.example", 8080)))
        await engine.aclose()

    assert answer == (200, b"http://far.example:8080/v1/models?x=1")


async def test_tls_calls_go_through_a_tunnel(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    async with raw_server(_forwarding_proxy) as proxy, raw_server(answering(ok()), tls=server_context(pem)) as server:
        engine = HttpxEngine(proxy=f"http://127.0.0.1:{proxy.origin.port}", ca_file=str(pem))
        answer = await fetch(engine, post(server.origin))
        await engine.aclose()

    assert answer == (200, b"hello")
    assert len(proxy.peers) == 1


async def test_proxy_that_refuses_is_a_connect_fault() -> None:
    async with raw_server(
        answering(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    ) as proxy:
        engine = HttpxEngine(proxy=f"http://127.0.0.1:{proxy.origin.port}")
        fault = await engine.attempt(get(Origin("https", "far.example", 443)))
        await engine.aclose()

    assert fault == REFUSED


async def test_proxy_that_refuses_a_plain_call_is_the_same_and_the_upstream_is_not_blamed() -> None:
    async with raw_server(
        answering(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    ) as proxy:
        engine = HttpxEngine(proxy=f"http://127.0.0.1:{proxy.origin.port}")
        fault = await engine.attempt(get(Origin("http", "api.example", 80)))
        assert engine.in_use == 0
        await engine.aclose()

    assert fault == REFUSED


async def test_407_without_a_proxy_is_an_answer() -> None:
    async with raw_server(answering(b"HTTP/1.1 407 Odd\r\ncontent-length: 0\r\n\r\n")) as server:
        engine = HttpxEngine()
        answer = await engine.attempt(get(server.origin))
        assert not isinstance(answer, Fault)
        assert answer.status == 407
        answer.close()
        await engine.aclose()


async def http2_echo(peer: Peer) -> None:
    """Echoes each request's body."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    await peer.send(connection.data_to_send())
    bodies: dict[int, bytes] = {}
    while received := await peer.reader.read(65_536):
        for event in connection.receive_data(received):
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "200"), ("x-served", "h2")])
                connection.send_data(event.stream_id, bodies[event.stream_id], end_stream=True)
        await peer.send(connection.data_to_send())


async def test_http2_is_spoken_where_it_is_wanted_and_shared_by_calls(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    async with raw_server(http2_echo, tls=server_context(pem, "h2")) as server:
        engine = HttpxEngine(has_http2=True, ca_file=str(pem))
        bodies = [b"call %d" % number for number in range(10)]
        first = await fetch(engine, post(server.origin, b"first"))
        answers = await asyncio.gather(*[fetch(engine, post(server.origin, body)) for body in bodies])
        await engine.aclose()

    assert first == (200, b"first")
    assert answers == [(200, body) for body in bodies]
    assert len(server.peers) == 1


async def test_early_answer_comes_through_a_tunnel(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.transport.pause_reading()
        await peer.send(ok(b"enough"))
        await asyncio.Event().wait()

    async with raw_server(_forwarding_proxy) as proxy, raw_server(script, tls=server_context(pem)) as server:
        engine = HttpxEngine(proxy=f"http://127.0.0.1:{proxy.origin.port}", ca_file=str(pem))
        answer = await fetch(engine, post(server.origin, bytes(50_000_000)))
        await engine.aclose()

    assert answer == (200, b"enough")
