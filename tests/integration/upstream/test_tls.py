"""TLS through both engines: verified, SNI sent, ALPN agreed, faults named."""

import asyncio
from pathlib import Path

import pytest

from gateway.core.outcome import FaultKind
from gateway.providers.base import Limits, Origin
from tests.fakes.certificates import self_signed, server_context
from tests.fakes.raw_server import Peer, answering, ok, raw_server
from tests.integration.upstream.calls import fault_of, fetch, post
from tests.integration.upstream.conftest import OpenEngine
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_known_authority_is_trusted_and_the_connection_reused(
    open_engine: OpenEngine, pem: Path, host: str
) -> None:
    async def script(peer: Peer) -> None:
        agreed = peer.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        while await peer.read_request() is not None:
            await peer.send(ok(str(agreed).encode()))

    tls = server_context(pem, "h2", "http/1.1")
    names: list[str | None] = []
    tls.sni_callback = lambda _connection, name, _context: names.append(name)
    async with raw_server(script, tls=tls) as server, open_engine(ca_file=str(pem)) as engine:
        origin = Origin("https", host, server.origin.port)
        for _ in range(2):
            assert await fetch(engine, post(origin, bytes(100_000))) == (200, b"http/1.1")

        assert len(server.peers) == 1
    assert names == [host if host == "localhost" else None]


async def test_unknown_authority_is_refused(open_engine: OpenEngine, pem: Path) -> None:
    async with raw_server(answering(ok()), tls=server_context(pem)) as server, open_engine() as engine:
        fault = await fault_of(engine, post(server.origin))

    assert (fault.kind, fault.is_body_sent) == (FaultKind.TLS, False)
    assert fault.detail == "certificate verify failed: self-signed certificate"


async def test_certificate_of_another_host_is_refused(open_engine: OpenEngine, tmp_path: Path) -> None:
    other = self_signed(tmp_path, name="other.example", address="192.0.2.1")
    async with (
        raw_server(answering(ok()), tls=server_context(other)) as server,
        open_engine(ca_file=str(other)) as engine,
    ):
        fault = await fault_of(engine, post(server.origin))

    assert fault.kind is FaultKind.TLS
    assert fault.detail.startswith("certificate verify failed: IP address mismatch")


async def test_plain_server_on_an_https_origin_is_a_tls_fault(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.wait_hang_up()

    async with raw_server(script) as server, open_engine() as engine:
        fault = await fault_of(engine, post(Origin("https", "127.0.0.1", server.origin.port)))

    assert (fault.kind, fault.is_body_sent) == (FaultKind.TLS, False)


async def test_upstream_that_closes_in_the_handshake_is_a_tls_fault(open_engine: OpenEngine) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    async with raw_server(script) as server, open_engine() as engine:
        fault = await fault_of(engine, post(Origin("https", "127.0.0.1", server.origin.port)))

    assert (fault.kind, fault.is_body_sent) == (FaultKind.TLS, False)


async def test_handshake_that_never_ends_runs_into_the_connect_limit(open_engine: OpenEngine) -> None:
    has_hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.wait_hang_up()
        has_hung_up.set()

    async with raw_server(script) as server, open_engine() as engine:
        origin = Origin("https", "127.0.0.1", server.origin.port)
        fault = await fault_of(engine, post(origin, limits=Limits(connect_s=0.05)))

        assert (fault.kind, fault.detail) == (FaultKind.CONNECT, "no connection within 0.05 s")
        await asyncio.wait_for(has_hung_up.wait(), PATIENCE_S)  # on a busy machine the server accepts later than that


async def test_cut_answer_over_tls_is_a_reset(open_engine: OpenEngine, pem: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        peer.writer.transport.abort()

    tls = server_context(pem)
    async with raw_server(script, tls=tls) as server, open_engine(ca_file=str(pem)) as engine:
        fault = await fault_of(engine, post(server.origin))

    assert fault.kind is FaultKind.RESET
    assert fault.detail.endswith("after 3 of 9 bytes")


async def test_closing_an_unread_answer_over_tls_hangs_up(open_engine: OpenEngine, pem: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        await peer.wait_hang_up()

    tls = server_context(pem)
    async with raw_server(script, tls=tls) as server, open_engine(ca_file=str(pem)) as engine:
        answer = await engine.attempt(post(server.origin))
        answer.close()

        await asyncio.wait_for(server.peers[0].hung_up.wait(), PATIENCE_S)
