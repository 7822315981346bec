"""Who may open a realtime session, and what of its credentials goes where."""

import asyncio

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.e2e.realtime.kit import MODEL, bearer, dial, made_key, refused
from tests.fakes.gateway_fixture import DEFAULTS, running_gateway
from tests.fakes.socket_upstream import CREATED, RATE_LIMITED
from tests.waits import PATIENCE_S


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
        pytest.param("http://[::1", False, id="no-url"),
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
            async with asyncio.timeout(PATIENCE_S):
                await socket.recv()

    assert closed.value.rcvd.code == 1008
    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)


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
