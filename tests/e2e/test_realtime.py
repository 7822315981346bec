"""Realtime sessions through a whole gateway: OpenAI's own client, and clients that speak by hand."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import openai
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gateway.core.affinity import Binding
from gateway.core.ids import Secret
from gateway.settings import AuthMode, ServerSettings
from tests.e2e.raw import raw
from tests.e2e.test_node_sdk import modules
from tests.fakes.certificates import self_signed, server_context
from tests.fakes.gateway_fixture import DEFAULTS, Gateway, Registry, running_gateway, until, until_answered
from tests.fakes.proxy import _pump
from tests.fakes.raw_server import Peer, raw_server
from tests.fakes.relay_kit import error_json
from tests.fakes.socket_upstream import (
    CREATED,
    OVERLOADED,
    RATE_LIMITED,
    REJECTED,
    Refusal,
    SocketUpstream,
)

MODEL = "gpt-realtime"
NO_MODEL = error_json("The model does not exist", type_="invalid_request_error", code="model_not_found")


@pytest.fixture
async def upstream() -> AsyncIterator[SocketUpstream]:
    async with SocketUpstream().running() as upstream:
        yield upstream


@pytest.fixture
async def gateway(database_url: str, registry: Registry, upstream: SocketUpstream) -> AsyncIterator[Gateway]:
    """With two accounts, `sk-a` before `sk-b`."""
    await registry.add_provider("openai", upstream.url, supported_models=[])
    async with running_gateway(database_url) as gateway:
        await registry.add_account("sk-a", tier=0)
        await registry.add_account("sk-b", tier=1)
        await gateway.serves(accounts=2)
        yield gateway


def dial(gateway: Gateway, query: str = f"?model={MODEL}", **options) -> connect:
    options.setdefault("max_size", None)
    path = options.pop("path", "/v1/realtime")
    return connect(f"ws://127.0.0.1:{gateway.port}{path}{query}", proxy=None, compression=None, **options)


async def refused(gateway: Gateway, *args, **options) -> tuple[int, dict, dict]:
    """Status, headers and body of an upgrade that fails."""
    with pytest.raises(InvalidStatus) as raised:
        async with dial(gateway, *args, **options):
            pass
    response = raised.value.response
    return response.status_code, dict(response.headers.raw_items()), msgspec.json.decode(response.body)


async def ended_call(gateway: Gateway) -> dict:
    """The call of the session that ends now."""

    async def calls() -> list:
        return (await gateway.get("/api/v1/calls")).json()["data"]

    await until_answered(calls, 2, "the call's line")
    return (await calls())[0]


# -- sessions --------------------------------------------------------------------------------------------------------


async def test_openais_client_speaks_through_the_gateway(gateway, upstream):
    client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any")

    async with client.realtime.connect(model=MODEL) as session:
        created = await session.recv()
        await session.response.create(response={"instructions": "hi"})
        said = await session.recv_bytes()

    assert created.type == "session.created"
    assert msgspec.json.decode(said)["response"] == {"instructions": "hi"}
    assert upstream.last.key == "sk-a"
    assert upstream.last.path == f"/v1/realtime?model={MODEL}"
    await client.close()


async def test_text_and_bytes_pass_both_ways_as_they_are(gateway, upstream):
    async with dial(gateway) as socket:
        assert await socket.recv() == CREATED
        for message in ("tëxt", b"\x00\xff", "", b""):
            await socket.send(message)
            assert await socket.recv() == message

    await upstream.last.ended.wait()
    assert upstream.last.received == ["tëxt", b"\x00\xff", "", b""]


async def test_fragments_arrive_as_one_message(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        await socket.send(["one ", "two ", "three"])

        assert await socket.recv() == "one two three"


async def test_an_event_of_20_mib_passes_both_ways(gateway, upstream):
    message = "a" * (20 * 1024 * 1024)

    async with dial(gateway) as socket:
        await socket.recv()
        await socket.send(message)

        assert await socket.recv() == message


async def test_a_message_beyond_the_limit_ends_the_session_with_1009(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        with contextlib.suppress(ConnectionClosed):  # it may be told in the middle
            await socket.send("a" * (33 * 1024 * 1024))
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    assert socket.close_code == 1009
    await asyncio.wait_for(upstream.last.ended.wait(), 2)


async def test_the_model_is_renamed_by_its_route_and_the_rest_of_the_query_stays(gateway, registry, upstream):
    await registry.add_route("my-voice", upstream_model="gpt-realtime-2025-08-28")
    await until(lambda: "my-voice" in gateway.snapshot.exact_routes, 2, "the route")

    async with dial(gateway, "?a=%20b&model=my-voice&c=d") as socket:
        await socket.recv()

    assert upstream.last.path == "/v1/realtime?a=%20b&model=gpt-realtime-2025-08-28&c=d"


async def test_a_session_without_a_model_goes_to_the_only_provider(gateway, upstream):
    async with dial(gateway, "?intent=transcription") as socket:
        await socket.recv()

    assert upstream.last.path == "/v1/realtime?intent=transcription"


async def test_translations_have_their_own_path(gateway, upstream):
    async with dial(gateway, path="/v1/realtime/translations") as socket:
        await socket.recv()

    assert upstream.last.path == f"/v1/realtime/translations?model={MODEL}"


# -- who calls -------------------------------------------------------------------------------------------------------


async def test_a_browsers_key_is_read_and_never_said_again(gateway, upstream):
    offered = ["realtime", "openai-insecure-api-key.gw-secret", "openai-organization.org-1", "openai-project.proj_1"]

    async with dial(gateway, subprotocols=[Subprotocol(name) for name in offered]) as socket:
        await socket.recv()
        answered = socket.response.headers

    assert answered["Sec-WebSocket-Protocol"] == "realtime"
    assert "gw-secret" not in str(answered)
    assert upstream.last.headers["sec-websocket-protocol"] == "realtime"
    assert upstream.last.key == "sk-a"
    assert "gw-secret" not in str(upstream.last.headers)
    assert "openai-organization" not in upstream.last.headers


async def test_a_beta_asked_for_in_a_subprotocol_becomes_its_header(gateway, upstream):
    async with dial(gateway, subprotocols=[Subprotocol("realtime"), Subprotocol("openai-beta.realtime-v1")]) as socket:
        await socket.recv()

    assert upstream.last.headers["openai-beta"] == "realtime=v1"


async def test_headers_of_the_caller_pass_but_for_its_credentials(gateway, upstream):
    headers = {"authorization": "Bearer gw-mine", "openai-safety-identifier": "user-1", "openai-organization": "org-x"}

    async with dial(gateway, additional_headers=headers) as socket:
        await socket.recv()
        answered = socket.response.headers

    assert upstream.last.headers["openai-safety-identifier"] == "user-1"
    assert "openai-organization" not in upstream.last.headers
    assert answered["x-gateway-provider"] == "openai"
    assert answered["x-gateway-attempts"] == "1"
    assert answered["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("origin", "is_welcome"),
    [
        pytest.param("https://evil.example", False, id="another-page"),
        pytest.param("http://{host}", True, id="the-gateways-own"),
        pytest.param("null", False, id="a-file"),
    ],
)
async def test_where_no_key_is_needed_pages_must_be_named(gateway, upstream, origin, is_welcome):
    origin = origin.format(host=f"127.0.0.1:{gateway.port}")

    if is_welcome:
        async with dial(gateway, origin=origin) as socket:
            assert await socket.recv() == CREATED
        return
    status, _, body = await refused(gateway, origin=origin)
    assert (status, body["error"]["code"]) == (403, "origin_not_allowed")
    assert upstream.seen == []


# -- rotation --------------------------------------------------------------------------------------------------------


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
    await until(lambda: "my-voice" in gateway.snapshot.exact_routes, 2, "the route")

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


# -- ends ------------------------------------------------------------------------------------------------------------


async def test_the_callers_close_reaches_the_upstream(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        await socket.close(4001, "bye")

    await asyncio.wait_for(upstream.last.ended.wait(), 2)
    assert (upstream.last.close_code, upstream.last.close_reason) == (4001, "bye")


async def test_the_upstreams_close_reaches_the_caller_with_accounts_masked(gateway, upstream):
    async def script(socket, seen):
        await socket.send(CREATED)
        await socket.send("last words")
        await socket.close(4100, "over for org-AbCd12345678")

    upstream.script = script

    async with dial(gateway) as socket:
        assert [await socket.recv(), await socket.recv()] == [CREATED, "last words"]
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4100, "over for org-***")


async def test_a_lost_upstream_closes_the_caller_with_1011(gateway, upstream):
    async def script(socket, seen):
        await socket.send(CREATED)
        socket.transport.abort()

    upstream.script = script

    async with dial(gateway) as socket:
        assert await socket.recv() == CREATED
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd.code == 1011
    await until(lambda: gateway.service.board.in_flight_calls == 0, 1, "the account to be free")
    call = await ended_call(gateway)
    assert (call["outcome"], call["is_complete"]) == ("broken", False)


async def test_a_caller_that_hangs_up_frees_the_upstream_within_a_second(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        account = upstream.last
        socket.transport.abort()
        async with asyncio.timeout(1):
            await account.ended.wait()

    await until(lambda: gateway.service.board.in_flight_calls == 0, 1, "the account to be free")
    assert (await ended_call(gateway))["outcome"] == "cancelled"


async def test_a_caller_that_hangs_up_while_the_upstream_is_dialled_frees_it(gateway, upstream):
    async def script(socket, seen):
        await socket.wait_closed()

    upstream.script = script
    dialling = asyncio.create_task(dial(gateway).connect())
    await until(lambda: upstream.seen, 2, "the upgrade upstream")
    dialling.cancel()
    await asyncio.gather(dialling, return_exceptions=True)

    async with asyncio.timeout(1):
        await upstream.last.ended.wait()
    await until(lambda: gateway.service.board.in_flight_calls == 0, 1, "the account to be free")


async def test_a_session_holds_its_place_on_the_account(gateway, registry, upstream):
    await registry.execute("UPDATE accounts SET max_concurrency = 1")
    limited = lambda: all(each.max_concurrency == 1 for each in gateway.snapshot.accounts.values())  # noqa: E731
    await until(limited, 2, "the limit")

    async with dial(gateway) as one, dial(gateway) as two:
        await one.recv()
        await two.recv()
        status, _, body = await refused(gateway, additional_headers={"x-gateway-max-wait": "0"})

    assert upstream.keys() == ["sk-a", "sk-b"]
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")


# -- pace ------------------------------------------------------------------------------------------------------------


async def test_a_caller_that_reads_slowly_slows_the_upstream(gateway, upstream):
    sent = 0
    message = b"a" * 1024 * 1024

    async def script(socket, seen):
        nonlocal sent
        await socket.send(CREATED)
        for _ in range(200):
            await socket.send(message)
            sent += 1
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway, max_queue=1) as socket:
        await socket.recv()
        before = -1
        while sent != before:  # until nothing moves
            before = sent
            await gateway.service.clock.sleep(0.3)
        assert sent < 40
        for _ in range(200):
            assert len(await socket.recv()) == len(message)
    assert sent == 200


async def test_an_upstream_that_reads_slowly_slows_the_caller(gateway, upstream):
    go_on = asyncio.Event()
    received = 0

    async def script(socket, seen):
        nonlocal received
        await socket.send(CREATED)
        await go_on.wait()
        async for _ in socket:
            received += 1

    upstream.script = script
    sent = 0

    async def speak(socket: ClientConnection) -> None:
        nonlocal sent
        for _ in range(200):
            await socket.send(b"a" * 1024 * 1024)
            sent += 1

    async with dial(gateway) as socket:
        await socket.recv()
        speaking = asyncio.create_task(speak(socket))
        before = -1
        while sent != before:
            before = sent
            await gateway.service.clock.sleep(0.3)
        assert sent < 60
        go_on.set()
        await speaking
        await until(lambda: received == 200, 10, "all messages")


# -- what is told of it ----------------------------------------------------------------------------------------------


async def test_usage_is_read_from_the_events_and_shown_with_the_call(gateway, upstream):
    done = msgspec.json.encode(
        {
            "type": "response.done",
            "response": {
                "status": "completed",
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 5,
                    "input_token_details": {"cached_tokens": 4, "audio_tokens": 6},
                },
            },
        }
    ).decode()

    async def script(socket, seen):
        await socket.send(CREATED)
        await socket.send(done)
        await socket.send(done)
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway) as socket:
        for _ in range(3):
            await socket.recv()

    await until(lambda: gateway.service.board.in_flight_calls == 0, 1, "the session's end")
    call = await ended_call(gateway)
    assert (call["endpoint"], call["model"], call["status"], call["outcome"]) == ("realtime", MODEL, 101, "ok")
    assert (call["input_tokens"], call["output_tokens"], call["cached_tokens"]) == (20, 10, 8)
    assert (call["chunks"], call["bytes"]) == (3, len(CREATED) + 2 * len(done))


async def test_limits_told_in_a_session_set_its_account_aside(gateway, upstream):
    limits = (
        '{"type":"rate_limits.updated","rate_limits":[{"name":"requests","limit":60,"remaining":0,"reset_seconds":60}]}'
    )

    async def script(socket, seen):
        await socket.send(CREATED)
        await socket.send(limits)
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway) as socket:
        await socket.recv()
        assert await socket.recv() == limits
        async with dial(gateway) as other:
            await other.recv()

    assert upstream.keys() == ["sk-a", "sk-b"]


# -- what is no session ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param("/v1/responses", 426, "websocket_not_supported", id="responses"),
        pytest.param("/v1/chat/completions", 426, "websocket_not_supported", id="chat"),
        pytest.param("/v1/nothing", 404, "unknown_url", id="unknown"),
        pytest.param("/", 404, "unknown_url", id="page"),
        pytest.param("/api/v1/calls", 404, "unknown_url", id="admin"),
    ],
)
async def test_other_paths_refuse_the_upgrade_in_words(gateway, upstream, path, status, code):
    got, _, body = await refused(gateway, "", path=path)

    assert (got, body["error"]["code"]) == (status, code)
    assert upstream.seen == []


# -- client keys, client secrets -------------------------------------------------------------------------------------


@pytest.fixture
async def keyed(database_url: str, registry: Registry, upstream: SocketUpstream) -> AsyncIterator[Gateway]:
    """A gateway that needs client keys, with one account."""
    settings = msgspec.structs.replace(DEFAULTS, auth=AuthMode.KEYS, admin_token=Secret("token"))
    await registry.add_provider("openai", upstream.url, supported_models=[])
    async with running_gateway(database_url, settings) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)
        yield gateway


async def made_key(gateway: Gateway, **fields) -> tuple[str, str]:
    """Its id, and the key."""
    body = {"name": "mine", **fields}
    answer = await gateway.client.post("/api/v1/keys", json=body, headers={"authorization": "Bearer token"})
    id_ = answer.json()["id"]
    await until(lambda: any(key.id == id_ for key in gateway.snapshot.keys.values()), 2, "the key")
    return id_, answer.json()["key"]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_session_needs_a_client_key_where_calls_do(keyed, upstream):
    _, key = await made_key(keyed)

    nobody, _, _ = await refused(keyed)
    wrong, _, body = await refused(
        keyed, subprotocols=[Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.x")]
    )
    async with dial(keyed, additional_headers=bearer(key)) as socket:
        assert await socket.recv() == CREATED
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{key}")]
    async with dial(keyed, subprotocols=offered, origin="https://app.example") as socket:
        assert await socket.recv() == CREATED

    assert (nobody, wrong, body["error"]["code"]) == (401, 401, "invalid_api_key")
    assert upstream.keys() == ["sk-a", "sk-a"]


@pytest.mark.parametrize("parameter", ["api-key={}", "Authorization=Bearer%20{}"])
async def test_a_key_in_the_query_is_read_and_goes_no_further(keyed, upstream, parameter):
    _, key = await made_key(keyed)

    async with dial(keyed, f"?model={MODEL}&{parameter.format(key)}&x=1") as socket:
        assert await socket.recv() == CREATED

    assert upstream.last.path == f"/v1/realtime?model={MODEL}&x=1"


async def test_a_caller_may_bring_a_providers_key_of_its_own(database_url, registry, upstream):
    upstream.refusals["sk-mine-2"] = RATE_LIMITED
    await registry.add_provider("openai", upstream.url, supported_models=[])
    async with running_gateway(database_url, msgspec.structs.replace(DEFAULTS, byok=True)) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)
        named = {"x-provider": "openai"}
        async with dial(gateway, additional_headers={**named, **bearer("sk-mine")}) as socket:
            assert await socket.recv() == CREATED
        status, _, body = await refused(gateway, additional_headers={**named, **bearer("sk-mine-2")})
        async with dial(gateway) as socket:
            assert await socket.recv() == CREATED

    assert upstream.keys() == ["sk-mine", "sk-mine-2", "sk-a"]
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_a_keys_models_hold_for_sessions(keyed, upstream):
    _, key = await made_key(keyed, models=["gpt-realtime"])

    other, _, body = await refused(keyed, "?model=gpt-4o-realtime", additional_headers=bearer(key))
    none, _, _ = await refused(keyed, "?intent=transcription", additional_headers=bearer(key))
    async with dial(keyed, additional_headers=bearer(key)) as socket:
        assert await socket.recv() == CREATED

    assert (other, none, body["error"]["code"]) == (403, 403, "model_not_allowed")


async def test_a_revoked_key_ends_its_sessions(keyed, upstream):
    id_, key = await made_key(keyed)

    async with dial(keyed, additional_headers=bearer(key)) as socket:
        await socket.recv()
        await keyed.client.delete(f"/api/v1/keys/{id_}", headers={"authorization": "Bearer token"})
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(3):
                await socket.recv()

    assert closed.value.rcvd.code == 1008
    await asyncio.wait_for(upstream.last.ended.wait(), 1)


SECRETS = ("client_secrets", "sessions", "transcription_sessions", "translations/client_secrets")


async def test_client_secrets_are_not_given_to_holders_of_keys_unless_the_operator_wants_it(keyed):
    _, key = await made_key(keyed)

    for path in SECRETS:
        answer = await keyed.client.post(
            f"/v1/realtime/{path}", json={"session": {"model": MODEL}}, headers=bearer(key)
        )

        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "client_secrets_refused")


async def test_client_secrets_are_asked_for_upstream_where_calls_are_open(gateway):
    for path in SECRETS:
        answer = await gateway.client.post(f"/v1/realtime/{path}", json={"session": {"model": MODEL}})

        assert answer.headers["x-gateway-attempts"] == "1"


# -- hands that shake badly ------------------------------------------------------------------------------------------

UPGRADE = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==")


def handshake(*lines: str, path: str = "/v1/realtime?model=gpt-realtime", method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "host: gateway", *lines)).encode() + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(handshake(*UPGRADE), 400, id="no-version"),
        pytest.param(handshake(*UPGRADE, "sec-websocket-version: 8"), 400, id="old-version"),
        pytest.param(handshake(*UPGRADE[:2], "sec-websocket-version: 13"), 400, id="no-key"),
        pytest.param(handshake(*UPGRADE, f"x: {'a' * 9000}"), 431, id="long-header"),
        pytest.param(handshake(*UPGRADE, path=f"/v1/realtime?{'a' * 9000}"), 414, id="long-path"),
    ],
)
async def test_a_handshake_that_is_none_is_refused_in_openais_shape(gateway, upstream, request_bytes, status):
    async with raw(gateway.port) as client:
        await client.send(request_bytes)
        got, body = await client.answer()

        assert (got, msgspec.json.decode(body)["error"]["code"]) == (status, "invalid_handshake")
        assert await client.rest() == b""
    assert upstream.seen == []


async def test_an_upgrade_of_another_method_is_passed_over(gateway):
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "content-length: 0", path="/v1/chat/completions", method="POST"))
        status, body = await client.answer()

    assert (status, msgspec.json.decode(body)["error"]["code"]) == (400, "invalid_json")


async def test_a_request_that_is_no_upgrade_is_told_so(gateway, upstream):
    answer = await gateway.get("/v1/realtime?model=gpt-realtime")

    assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


async def test_frames_that_are_none_end_the_session_with_1002(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        socket.transport.write(b"\x8f\x80\x00\x00\x00\x00")  # an opcode that nobody knows
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd.code == 1002
    await asyncio.wait_for(upstream.last.ended.wait(), 1)


@pytest.mark.parametrize("early", [b"\x8f\x80\x00\x00\x00\x00", b"\x88\x80\x00\x00\x00\x00"], ids=["garbage", "close"])
async def test_a_caller_that_ends_before_it_is_answered_frees_the_upstream(gateway, upstream, early, caplog):
    async def script(socket, seen):
        await socket.wait_closed()

    upstream.script = script
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "sec-websocket-version: 13"))
        await until(lambda: upstream.seen, 2, "the upgrade upstream")
        await client.send(early)
        await asyncio.wait_for(upstream.last.ended.wait(), 1)

    assert (await ended_call(gateway))["outcome"] == "cancelled"
    assert caplog.records == []


async def test_a_caller_may_speak_before_it_is_answered(gateway, upstream):
    async def slow(socket, seen):
        seen.received.append(await socket.recv())
        await socket.send("heard")
        await socket.wait_closed()

    upstream.script = slow
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "sec-websocket-version: 13"))
        await until(lambda: upstream.seen, 2, "the upgrade upstream")
        await client.send(b"\x81\x85\x00\x00\x00\x00early")
        assert b" 101 " in await client.head()
        assert await client.until(b"heard") == b"\x81\x05heard"

    assert upstream.last.received == ["early"]


async def test_a_caller_that_sends_pings_and_reads_no_pongs_is_read_no_further(gateway, upstream):
    pings = (b"\x89\xfd\x00\x00\x00\x00" + bytes(125)) * 1000
    sent = 0
    async with raw(gateway.port) as client:
        await client.send(handshake(*UPGRADE, "sec-websocket-version: 13"))
        assert b"101" in await client.head()
        client.reader._transport.pause_reading()
        with contextlib.suppress(TimeoutError):
            while sent < 2**26:
                async with asyncio.timeout(1):
                    await client.send(pings)
                sent += len(pings)
        (connection,) = [each for each in gateway.server.server_state.connections if hasattr(each, "conn")]
        unsent = connection.transport.get_write_buffer_size()

    assert sent < 2**26, "it stopped reading"
    assert unsent < 2**21
    await asyncio.wait_for(upstream.last.ended.wait(), 2)


async def test_a_drain_ends_sessions_with_1012_at_its_deadline(database_url, registry, upstream):
    settings = msgspec.structs.replace(DEFAULTS, server=ServerSettings(drain_s=1.0))
    await registry.add_provider("openai", upstream.url, supported_models=[])
    await registry.add_account("sk-a")
    async with running_gateway(database_url, settings) as gateway:
        await gateway.serves(accounts=1)
        socket = await dial(gateway)
        await socket.recv()
        gateway.server.should_exit = True
        await socket.send("still served")
        assert await socket.recv() == "still served"
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                await socket.recv()

    assert closed.value.rcvd.code == 1012
    await asyncio.wait_for(upstream.last.ended.wait(), 1)
    assert upstream.last.close_code == 1012


# -- node ------------------------------------------------------------------------------------------------------------

SCRIPT = Path(__file__).with_name("node") / "realtime.mjs"


async def test_the_node_sdk_speaks_as_a_server_and_as_a_browser(gateway, upstream, tmp_path):
    node, found = shutil.which("node"), modules()
    if node is None or found is None or not (found / "ws").is_dir():
        pytest.skip("needs node and the npm packages `openai` and `ws`, then OPENAI_NODE_MODULES=…/node_modules")
    (tmp_path / "node_modules").symlink_to(found)
    shutil.copy(SCRIPT, tmp_path)
    pem = self_signed(tmp_path)

    async def in_front(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))

    async with raw_server(in_front, tls=server_context(pem)) as front:  # the SDK dials wss: alone
        done = await asyncio.to_thread(
            subprocess.run,
            [node, SCRIPT.name, f"https://127.0.0.1:{front.origin.port}/v1"],
            cwd=tmp_path,
            env={"NODE_EXTRA_CA_CERTS": str(pem)},
            capture_output=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 0, done.stderr.decode()
    assert msgspec.json.decode(done.stdout) == {
        "server": ["session.created", "response.create"],
        "browser": ["session.created", "response.create"],
    }
    assert "gw-anything" not in str([each.headers for each in upstream.seen])
