"""`WebSocketEngine` over real sockets: accepted, refused, failing; directly, by TLS and through a proxy."""

import asyncio
from pathlib import Path

import pytest
from websockets.utils import accept_key

from gateway.core.ids import Secret
from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Limits, Origin, UpstreamRequest, Via
from gateway.relay.clock import SystemClock
from gateway.upstream import websocket
from gateway.upstream.websocket import OpenSocket, Refusal, WebSocketEngine
from gateway.wire.sockets import LOST, Closed
from tests.fakes.certificates import self_signed, server_context
from tests.fakes.proxy import forward_proxy
from tests.fakes.raw_server import Peer, answering, raw_server
from tests.fakes.socket_upstream import CREATED, RATE_LIMITED, SocketUpstream
from tests.waits import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="function")

QUICK = Limits(connect_s=2.0, headers_s=2.0)
KEY = (b"authorization", b"Bearer sk-a")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"


def upgrade(origin: Origin, *headers: tuple[bytes, bytes], limits: Limits = QUICK, via: Via | None = None):
    return UpstreamRequest(b"GET", origin, b"/v1/realtime?model=m", (KEY, *headers), limits=limits, via=via)


def origin_of(upstream: SocketUpstream) -> Origin:
    return Origin(upstream.scheme, "127.0.0.1", upstream.port)


async def opened(request: UpstreamRequest, **options) -> OpenSocket:
    socket = await WebSocketEngine(max_bytes=2**20, **options).attempt(request)
    assert isinstance(socket, OpenSocket), socket
    return socket


async def fault_of(request: UpstreamRequest, **options) -> Fault:
    fault = await WebSocketEngine(max_bytes=2**20, **options).attempt(request)
    assert isinstance(fault, Fault), fault
    return fault


async def test_messages_pass_and_keep_their_kind() -> None:
    async with SocketUpstream().running() as upstream:
        socket = await opened(upgrade(origin_of(upstream)))

        assert socket.status == 101
        assert await socket.receive() == CREATED
        for message in ("text", b"bytes"):
            assert await socket.send(message)
            assert await socket.receive() == message
        await socket.finish(1000, "bye")
        await upstream.last.ended.wait()

    assert upstream.last.key == "sk-a"
    assert (upstream.last.close_code, upstream.last.close_reason) == (1000, "bye")
    assert await socket.receive() == Closed(1000, "bye")
    assert not await socket.send("late")


async def test_what_is_offered_is_one_subprotocol_and_no_compression() -> None:
    async with SocketUpstream().running() as upstream:
        socket = await opened(upgrade(origin_of(upstream), (b"sec-websocket-protocol", b"realtime")))
        await socket.finish(1000, "")

    assert upstream.last.headers["sec-websocket-protocol"] == "realtime"
    assert "sec-websocket-extensions" not in upstream.last.headers
    assert "user-agent" not in upstream.last.headers


async def test_a_refused_upgrade_is_an_answer() -> None:
    async with SocketUpstream().running() as upstream:
        upstream.refusals["sk-a"] = RATE_LIMITED
        refusal = await WebSocketEngine(max_bytes=2**20).attempt(upgrade(origin_of(upstream)))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, dict(refusal.headers)[b"retry-after"]) == (429, b"30")
    assert await refusal.read_all(2**20) == RATE_LIMITED.body


async def test_tls_is_verified() -> None:
    async with SocketUpstream().running() as upstream:
        assert (await fault_of(upgrade(Origin("https", "127.0.0.1", upstream.port)))).kind is FaultKind.TLS


async def test_tls_by_a_known_authority_opens(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    async with SocketUpstream().running(server_context(pem)) as upstream:
        assert (await fault_of(upgrade(origin_of(upstream)))).kind is FaultKind.TLS
        socket = await opened(upgrade(origin_of(upstream)), ca_file=str(pem))

        assert await socket.receive() == CREATED
        await socket.finish(1000, "")


async def test_nobody_listening_is_a_connect_fault() -> None:
    async with raw_server(answering(b"")) as server:
        origin = server.origin
    fault = await fault_of(upgrade(origin))

    assert (fault.kind, fault.detail) == (FaultKind.CONNECT, "connection refused")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(b"", FaultKind.RESET, id="closed"),
        pytest.param(b"HTTP/1.1 101 Sw", FaultKind.RESET, id="half"),
        pytest.param(b"SSH-2.0-x\r\n\r\n", FaultKind.GARBAGE, id="no-http"),
        pytest.param(SWITCHING + b"\r\n", FaultKind.GARBAGE, id="no-accept"),
        pytest.param(SWITCHING + b"sec-websocket-accept: x\r\n\r\n", FaultKind.GARBAGE, id="wrong-accept"),
    ],
)
async def test_an_upgrade_that_is_answered_wrongly_is_a_fault(answer: bytes, kind: FaultKind) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)
        peer.close()

    async with raw_server(script) as server:
        assert (await fault_of(upgrade(server.origin))).kind is kind


async def test_silence_is_a_timeout() -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_hang_up()

    async with raw_server(script) as server:
        fault = await fault_of(upgrade(server.origin, limits=Limits(connect_s=1.0, headers_s=0.05)))
        await server.peers[0].hung_up.wait()

    assert fault.kind is FaultKind.HEADERS_TIMEOUT


async def test_a_redirect_is_not_followed() -> None:
    async with SocketUpstream().running() as upstream:
        moved = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n" % upstream.url.encode()
        async with raw_server(answering(moved)) as server:
            refusal = await WebSocketEngine(max_bytes=2**20).attempt(upgrade(server.origin))

        assert isinstance(refusal, Refusal)
        assert refusal.status == 307
        assert upstream.seen == []


async def test_a_proxy_is_used_and_told_its_password(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    async with (
        SocketUpstream().running() as plain,
        SocketUpstream().running(server_context(pem)) as secure,
        forward_proxy("user:pass") as proxy,
    ):
        via = Via(Secret(f"http://user:pass@{proxy.address}"))
        for upstream in (plain, secure):
            socket = await opened(upgrade(origin_of(upstream), via=via), ca_file=str(pem))
            assert await socket.receive() == CREATED
            await socket.finish(1000, "")

        assert [seen.method for seen in proxy.seen] == [b"CONNECT", b"CONNECT"]


async def test_a_proxy_that_refuses_is_a_connect_fault() -> None:
    async with SocketUpstream().running() as upstream, forward_proxy("user:pass") as proxy:
        fault = await fault_of(upgrade(origin_of(upstream), via=Via(Secret(f"http://{proxy.address}"))))

        assert (fault.kind, fault.detail) == (FaultKind.CONNECT, "the proxy refused: InvalidProxyStatus")
        assert upstream.seen == []


# -- ends ------------------------------------------------------------------------------------------------------------


async def test_a_connection_that_is_lost_ends_without_a_code() -> None:
    async def script(socket, seen) -> None:
        await socket.send("one")
        socket.transport.abort()

    async with SocketUpstream().running() as upstream:
        upstream.script = script
        socket = await opened(upgrade(origin_of(upstream)))

        assert await socket.receive() == "one"
        end = await socket.receive()

    assert isinstance(end, Closed)
    assert end.code == LOST
    assert end.fault is not None
    assert end.fault.kind is FaultKind.RESET


async def test_what_came_before_a_close_is_still_received() -> None:
    async def script(socket, seen) -> None:
        for number in range(20):
            await socket.send(str(number))
        await socket.close(4000, "enough")

    async with SocketUpstream().running() as upstream:
        upstream.script = script
        socket = await opened(upgrade(origin_of(upstream)))
        await upstream.last.ended.wait()

        assert [await socket.receive() for _ in range(21)] == [*map(str, range(20)), Closed(4000, "enough")]


async def test_a_message_beyond_the_limit_ends_the_connection() -> None:
    async def script(socket, seen) -> None:
        await socket.send(bytes(2**20 + 1))
        await socket.wait_closed()

    async with SocketUpstream().running() as upstream:
        upstream.script = script
        socket = await opened(upgrade(origin_of(upstream)))
        end = await socket.receive()

    assert isinstance(end, Closed)
    assert (end.code, end.fault is not None and end.fault.kind) == (1009, FaultKind.GARBAGE)


async def test_a_server_that_closes_and_stays_connected_is_cut_soon() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read_request()
        assert request is not None
        await peer.send(accepted(request.header(b"Sec-WebSocket-Key")), b"\x88\x02\x03\xe9")  # 1001
        await peer.wait_hang_up()

    async with raw_server(script) as server:
        socket = await opened(upgrade(server.origin))
        async with asyncio.timeout(PATIENCE_S):
            assert await socket.receive() == Closed(1001, "")


async def test_a_server_that_ignores_our_close_is_cut_soon() -> None:
    async with raw_server(silent) as server:
        socket = await opened(upgrade(server.origin))
        async with asyncio.timeout(PATIENCE_S):
            await socket.finish(1000, "")
            await server.peers[0].hung_up.wait()


async def test_an_upstream_that_answers_no_ping_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.05)
    monkeypatch.setattr(websocket, "PONG_S", 0.05)
    async with raw_server(silent) as server:
        socket = await opened(upgrade(server.origin))
        async with asyncio.timeout(PATIENCE_S):
            end = await socket.receive()

    assert isinstance(end, Closed)
    assert (end.code, end.fault is not None) == (LOST, True)


async def test_an_upstream_is_not_dead_while_nobody_reads_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.01)
    monkeypatch.setattr(websocket, "PONG_S", 0.01)

    async def script(socket, seen) -> None:
        for _ in range(50):
            await socket.send(bytes(2**20))
        await socket.close(4000, "all said")

    async with SocketUpstream().running() as upstream:
        upstream.script = script
        socket = await opened(upgrade(origin_of(upstream)))
        await SystemClock().sleep(0.2)  # many pings, none of whose answers can have been read
        received = 0
        while not isinstance(message := await socket.receive(), Closed):
            received += 1

    assert (received, message) == (50, Closed(4000, "all said"))


def accepted(key: bytes | None) -> bytes:
    """The head of an accepted upgrade."""
    assert key is not None
    return SWITCHING + b"sec-websocket-accept: " + accept_key(key.decode()).encode() + b"\r\n\r\n"


async def silent(peer: Peer) -> None:
    """Accepts, and says nothing any more."""
    request = await peer.read_request()
    assert request is not None
    await peer.send(accepted(request.header(b"Sec-WebSocket-Key")))
    await peer.wait_hang_up()
