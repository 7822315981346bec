"""How connections end that serve responses."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.settings import RealtimeSettings, ServerSettings
from tests.e2e.responses.kit import ask, calls_of, heard, opened, refusal, said, told
from tests.fakes.gateway_fixture import DEFAULTS, running_gateway, until
from tests.waits import PATIENCE_S


async def closed(socket) -> int:
    with pytest.raises(ConnectionClosed) as raised:
        await asyncio.wait_for(socket.recv(), PATIENCE_S)
    return raised.value.rcvd.code


async def test_the_callers_close_reaches_the_upstream(gateway, upstream, talk):
    async with opened(gateway) as socket:
        await told(socket, input="a")
        await socket.close(4001, "bye")

    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)
    assert (upstream.last.close_code, upstream.last.close_reason) == (4001, "bye")


async def test_the_upstreams_close_reaches_the_caller_behind_its_last_words(gateway, upstream, talk):
    limit = {"type": "error", "error": {"code": "websocket_connection_limit_reached", "message": "of org-AbCd12345678"}}

    async def script(socket, seen):
        await socket.recv()
        for event in talk.usual({}):
            await socket.send(msgspec.json.encode(event).decode())
        await socket.send(msgspec.json.encode(limit).decode())
        await socket.close(4100, "60 minutes")

    upstream.script = script
    async with opened(gateway) as socket:
        await ask(socket, input="a")
        await heard(socket)
        last = await said(socket)
        assert await closed(socket) == 4100

    assert last["error"] == {"code": "websocket_connection_limit_reached", "message": "of org-***"}


async def test_a_lost_upstream_breaks_what_is_under_way_and_closes_with_1011(gateway, upstream, talk):
    talk.between.clear()
    async with opened(gateway) as socket:
        await ask(socket, input="a", stream_id="one")
        await said(socket)
        upstream.sockets[-1].transport.abort()
        *_, last = await heard(socket)
        assert await closed(socket) == 1011

    assert (last["type"], last["status"], last["stream_id"]) == ("error", 502, "one")
    assert last["error"]["code"] == "upstream_error"
    turn, session = await calls_of(gateway, 2)
    assert (turn["outcome"], turn["is_complete"], session["outcome"]) == ("broken", False, "broken")
    assert gateway.service.board.in_flight_calls == 0


async def test_an_upstream_lost_before_its_first_event_is_left_for_another(gateway, upstream, talk):
    async def script(socket, seen):
        if seen.key == "sk-a":
            await socket.recv()
            socket.transport.abort()
        else:
            await talk(socket, seen)

    upstream.script = script
    async with opened(gateway) as socket:
        assert (await told(socket, input="a"))["type"] == "response.completed"

    assert upstream.keys() == ["sk-a", "sk-b"]


async def test_a_caller_that_hangs_up_frees_the_upstream_within_a_second(gateway, upstream, talk):
    talk.between.clear()
    async with opened(gateway) as socket:
        await ask(socket, input="a")
        await said(socket)
        account = upstream.last
        socket.transport.abort()
        await asyncio.wait_for(account.ended.wait(), PATIENCE_S)

    await until(lambda: gateway.service.board.in_flight_calls == 0, "the account to be free")
    assert [call["outcome"] for call in await calls_of(gateway, 2)] == ["cancelled", "cancelled"]


async def test_a_caller_that_hangs_up_before_it_is_answered_frees_the_upstream(gateway, upstream, talk):
    talk.answers = lambda _key, _asked: []
    async with opened(gateway) as socket:
        await ask(socket, input="a")
        await until(lambda: talk.asked, "the message upstream")
        socket.transport.abort()
        await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)

    await until(lambda: gateway.service.board.in_flight_calls == 0, "the account to be free")


async def test_between_responses_no_place_of_the_account_is_held(gateway, talk):
    async with opened(gateway) as socket:
        await told(socket, input="a")
        await until(lambda: gateway.service.board.in_flight_calls == 0, "the account to be free")
        assert (await told(socket, input="b"))["type"] == "response.completed"


@asynccontextmanager
async def one_account(database_url, registry, upstream, settings):
    """A gateway with these settings and one account."""
    await registry.add_provider("openai", upstream.url, supported_models=[])
    async with running_gateway(database_url, settings) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)
        yield gateway


async def test_a_message_that_is_too_large_ends_the_connection_with_1009(database_url, registry, upstream, talk):
    settings = msgspec.structs.replace(DEFAULTS, realtime=RealtimeSettings(max_message_bytes=10_000))
    async with one_account(database_url, registry, upstream, settings) as gateway:
        async with opened(gateway) as socket:
            await ask(socket, input="a" * 20_000)
            assert await closed(socket) == 1009
        talk.answers = lambda _key, asked: [{**talk.usual(asked)[0], "x": "a" * 20_000}]
        async with opened(gateway) as socket:
            assert (await told(socket, input="a"))["type"] == "error"

    assert len(talk.asked) <= 4


async def test_a_drain_ends_connections_that_rest_and_waits_for_those_that_answer(
    database_url, registry, upstream, talk
):
    settings = msgspec.structs.replace(DEFAULTS, server=ServerSettings(drain_s=10.0))
    async with (
        one_account(database_url, registry, upstream, settings) as gateway,
        opened(gateway) as resting,
        opened(gateway) as busy,
    ):
        await told(resting, input="a")
        talk.between.clear()
        await ask(busy, input="b")
        first = await said(busy)
        draining = asyncio.create_task(gateway.service.drain(settings.server.drain_s))
        await until(lambda: gateway.service.gate.is_draining, "the drain")
        assert await closed(resting) == 1012
        assert await refusal(busy, input="c", stream_id="x") == (503, "shutting_down")
        talk.between.set()
        rest = await heard(busy)
        assert await closed(busy) == 1012
        async with asyncio.timeout(PATIENCE_S):
            await draining

    assert (first["type"], rest[-1]["type"]) == ("response.created", "response.completed")


async def test_a_drain_that_runs_out_of_time_cuts_what_is_under_way(database_url, registry, upstream, talk):
    settings = msgspec.structs.replace(DEFAULTS, server=ServerSettings(drain_s=0.2))
    async with one_account(database_url, registry, upstream, settings) as gateway, opened(gateway) as socket:
        talk.between.clear()
        await ask(socket, input="a")
        await said(socket)
        await gateway.service.drain(settings.server.drain_s)
        await said(socket)
        assert await closed(socket) == 1012
        turn, session = await calls_of(gateway, 2)

    assert (turn["outcome"], session["outcome"]) == ("shutting_down", "shutting_down")
    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)
