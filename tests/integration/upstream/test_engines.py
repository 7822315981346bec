"""One port, several ways out: which request takes which, when engines are made and closed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from gateway.core.ids import Secret
from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Origin, UpstreamRequest, Via
from gateway.upstream import engines as engines_module
from gateway.upstream.engines import Engines
from tests.fakes.certificates import self_signed, server_context
from tests.fakes.proxy import forward_proxy
from tests.fakes.raw_server import Peer, answering, ok, raw_server
from tests.integration.upstream.calls import fetch, get, post
from tests.integration.upstream.test_httpx_engine import http2_echo

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest_asyncio.fixture(loop_scope="function")
async def engines() -> AsyncIterator[Engines]:
    made = Engines()
    yield made
    await made.aclose()


def via(request: UpstreamRequest, address: str, **fields: object) -> UpstreamRequest:
    return msgspec.structs.replace(request, via=Via(Secret(f"http://{address}"), **fields))


async def test_request_without_a_via_goes_directly(engines: Engines) -> None:
    async with raw_server(answering(ok())) as server:
        assert await fetch(engines, post(server.origin)) == (200, b"hello")

        assert engines.stats()[server.origin].opened == 1


async def test_plain_call_is_passed_on_by_the_proxy_that_its_password_opens(engines: Engines) -> None:
    async with forward_proxy("me:pass/word") as proxy, raw_server(answering(ok())) as server:
        request = via(post(server.origin), f"me:pass%2Fword@{proxy.address}")
        answers = [await fetch(engines, request) for _ in range(2)]

    assert answers == [(200, b"hello")] * 2
    assert [(seen.method, seen.body) for seen in proxy.seen] == [(b"POST", b'{"model":"m"}')] * 2
    assert engines.stats() == {}


async def test_tls_call_goes_through_a_tunnel_and_shows_the_proxy_nothing_but_the_address(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    engines = Engines(ca_file=str(pem))
    async with forward_proxy("me:secret") as proxy, raw_server(answering(ok()), tls=server_context(pem)) as server:
        answers = [await fetch(engines, via(post(server.origin), f"me:secret@{proxy.address}")) for _ in range(2)]
        await engines.aclose()

    assert answers == [(200, b"hello")] * 2
    assert [seen.target for seen in proxy.seen] == [b"127.0.0.1:%d" % server.origin.port]
    assert b"sk-1" not in repr(proxy.seen).encode()


async def test_http2_without_a_proxy_has_an_engine_of_its_own(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    engines = Engines(ca_file=str(pem))
    async with raw_server(http2_echo, tls=server_context(pem, "h2")) as server:
        answer = await fetch(engines, msgspec.structs.replace(post(server.origin, b"body"), via=Via(http2=True)))
        await engines.aclose()

    assert answer == (200, b"body")


async def test_tls_proxy_is_held_to_the_same_authorities(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)

    async def refusing(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok(b"from the proxy"))

    async with raw_server(refusing, tls=server_context(pem, "http/1.1")) as proxy:
        trusting, doubting = Engines(ca_file=str(pem)), Engines()
        request = get(Origin("http", "far.example", 80))
        request = msgspec.structs.replace(request, via=Via(Secret(f"https://127.0.0.1:{proxy.origin.port}")))
        answer, fault = await fetch(trusting, request), await doubting.attempt(request)
        await trusting.aclose()
        await doubting.aclose()

    assert answer == (200, b"from the proxy")
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TLS


async def test_fault_of_a_proxy_names_no_password(engines: Engines) -> None:
    async with forward_proxy("me:right") as proxy:
        refused = via(get(Origin("https", "far.example", 443)), f"me:wrong-password@{proxy.address}")
        gone = via(get(Origin("https", "far.example", 443)), "me:wrong-password@127.0.0.1:1")
        faults = [await engines.attempt(refused), await engines.attempt(gone)]

    assert [fault.kind for fault in faults if isinstance(fault, Fault)] == [FaultKind.CONNECT] * 2
    assert "wrong-password" not in repr(faults) + repr(refused) + repr(refused.via)


async def test_calls_at_once_share_the_engine_that_the_first_of_them_makes(engines: Engines) -> None:
    async with forward_proxy() as proxy, raw_server(answering(ok())) as server:
        request = via(post(server.origin), proxy.address)
        answers = await asyncio.gather(*[fetch(engines, request) for _ in range(5)])

        assert answers == [(200, b"hello")] * 5
        assert len(engines._through) == 1


async def test_engine_that_no_row_names_any_more_is_closed_once_its_last_answer_has_ended(engines: Engines) -> None:
    async with forward_proxy() as proxy, raw_server(answering(ok())) as server:
        kept, left = via(get(server.origin), proxy.address), via(get(server.origin), proxy.address, max_idle=1)
        await fetch(engines, kept)
        answer = await engines.attempt(left)
        assert not isinstance(answer, Fault)

        await engines.close_unused({kept.via})
        assert set(engines._through) == {kept.via, left.via}
        assert await answer.read_all(100) == b"hello"
        answer.close()
        await engines.close_unused({kept.via})

        assert set(engines._through) == {kept.via}


async def test_answer_that_is_cut_or_fails_does_not_hold_its_engine(engines: Engines) -> None:
    async with (
        forward_proxy() as proxy,
        raw_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n")) as server,
    ):
        answer = await engines.attempt(via(get(server.origin), proxy.address))
        assert not isinstance(answer, Fault)
        answer.close()
        answer.close()
        assert isinstance(await engines.attempt(via(get(server.origin), "127.0.0.1:1")), Fault)

        await engines.close_unused(())

    assert engines._through == {}


async def test_engines_are_bounded_and_the_one_unused_longest_makes_room(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines_module, "MAX_ENGINES", 2)
    async with forward_proxy() as proxy, raw_server(answering(ok())) as server:
        first, second, third, fourth = (
            via(get(server.origin), proxy.address, max_idle=number) for number in range(1, 5)
        )
        for request in (first, second, first):
            await fetch(engines, request)
        held = [await engines.attempt(request) for request in (third, first)]

        assert set(engines._through) == {first.via, third.via}
        assert await engines.attempt(fourth) == Fault(FaultKind.CONNECT, "more than 2 proxies are in use at once")

        for answer in held:
            assert not isinstance(answer, Fault)
            answer.close()
