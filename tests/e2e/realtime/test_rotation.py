"""Upgrades that are refused upstream: another account, another model, or an answer in HTTP."""

import pytest

from gateway.core.affinity import Binding
from tests.e2e.realtime.kit import NO_MODEL, dial, refused
from tests.fakes.gateway_fixture import until
from tests.fakes.socket_upstream import CREATED, OVERLOADED, RATE_LIMITED, REJECTED, Refusal


@pytest.mark.parametrize("refusal", [RATE_LIMITED, REJECTED, OVERLOADED], ids=["429", "401", "503"])
async def test_a_refused_upgrade_moves_on_to_another_account(gateway, upstream, refusal):
    upstream.refusals["sk-a"] = refusal

    async with dial(gateway) as socket:
        assert await socket.recv() == CREATED
        assert socket.response.headers["x-gateway-attempts"] == "2"

    assert upstream.keys() == ["sk-a", "sk-b"]


async def test_an_account_that_refused_an_upgrade_rests(gateway, upstream):
    upstream.refusals["sk-a"] = RATE_LIMITED

    for _ in range(3):
        async with dial(gateway) as socket:
            await socket.recv()

    assert upstream.keys() == ["sk-a", "sk-b", "sk-b", "sk-b"]


async def test_when_every_account_is_limited_the_upgrade_gets_429_and_the_time(gateway, upstream):
    upstream.refusals = {"sk-a": RATE_LIMITED, "sk-b": RATE_LIMITED}

    status, headers, body = await refused(gateway, additional_headers={"x-gateway-max-wait": "0"})

    assert status == 429
    assert 25 <= int(headers["retry-after"]) <= 31
    assert body["error"]["code"] == "rate_limit_exceeded"


async def test_a_model_that_nobody_serves_falls_back_as_in_any_call(gateway, registry, upstream):
    await registry.add_route("my-voice", upstream_model="gpt-realtime", fallbacks=["gpt-realtime-mini"])
    await until(lambda: "my-voice" in gateway.snapshot.exact_routes, "the route")

    def refused(socket, request):
        return Refusal(404, NO_MODEL) if "model=gpt-realtime&" in request.path else None

    upstream.refuses = refused

    async with dial(gateway, "?model=my-voice&x=1") as socket:
        assert await socket.recv() == CREATED
        assert socket.response.headers["x-gateway-model"] == "gpt-realtime-mini"

    assert upstream.last.path == "/v1/realtime?model=gpt-realtime-mini&x=1"


async def test_a_call_that_exists_is_met_at_its_account_alone(gateway, upstream):
    holder = next(each for each in gateway.snapshot.accounts.values() if each.label == "sk-b")
    now = gateway.service.clock.wall_now()
    made = Binding("rtc_1", "realtime/calls", holder.provider_id, holder.id, None, None, now)
    gateway.service.affinity.known.learn([made])

    async with dial(gateway, "?call_id=rtc_1") as socket:
        assert await socket.recv() == CREATED
    upstream.refusals["sk-b"] = RATE_LIMITED
    status, _, _ = await refused(gateway, "?call_id=rtc_1", additional_headers={"x-gateway-max-wait": "0"})

    assert upstream.keys() == ["sk-b", "sk-b"]
    assert upstream.last.path == "/v1/realtime?call_id=rtc_1"
    assert status == 429


async def test_a_refusal_of_the_call_passes_as_it_came_at_once(gateway, upstream):
    upstream.refusals["sk-a"] = Refusal(400, b'{"error":{"message":"bad query","type":"invalid_request_error"}}')

    status, _, body = await refused(gateway)

    assert (status, body["error"]["message"]) == (400, "bad query")
    assert upstream.keys() == ["sk-a"]


async def test_an_upstream_that_refuses_in_its_first_event_is_left_for_another(gateway, upstream):
    async def script(socket, seen):
        if seen.key == "sk-a":
            await socket.send('{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota"}}')
            await socket.close()
            return
        await socket.send(CREATED)
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway) as socket:
        assert await socket.recv() == CREATED

    assert upstream.keys() == ["sk-a", "sk-b"]


async def test_an_upstream_that_refuses_by_closing_is_left_for_another(gateway, upstream):
    async def script(socket, seen):
        if seen.key == "sk-a":
            await socket.close(3000, "invalid_request_error.invalid_api_key")
            return
        await socket.send(CREATED)
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway) as socket:
        assert await socket.recv() == CREATED

    assert upstream.keys() == ["sk-a", "sk-b"]


async def test_an_upstream_that_waits_for_its_caller_to_speak_is_no_failure(gateway, upstream):
    async def script(socket, seen):
        async for message in socket:
            await socket.send(message)

    upstream.script = script

    async with dial(gateway) as socket:
        await socket.send("first")
        assert await socket.recv() == "first"

    assert upstream.keys() == ["sk-a"]
