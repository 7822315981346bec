"""Callers who bring a provider's key of their own: it goes through, and nothing of it stays."""

import msgspec
import openai
import pytest
from openai import AsyncOpenAI

from gateway.core.ids import Secret
from gateway.sandbox.faults import Fault
from gateway.settings import AuthMode, Settings
from tests.fakes.gateway_fixture import DEFAULTS, running_gateway, until, until_answered

OWN = "sk-callers-own-key"
MINE = {"authorization": f"Bearer {OWN}", "x-provider": "openai"}


def settings(**fields) -> Settings:
    return msgspec.structs.replace(DEFAULTS, **{"byok": True, **fields})


@pytest.fixture
async def byok(database_url, registry, sandbox):
    """One account, `sk-a`, beside whom callers may bring keys."""
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with running_gateway(database_url, settings()) as gateway:
        await gateway.serves(accounts=1)
        yield gateway


def keys_seen(sandbox):
    return [request.key for request in sandbox.log if request.path.endswith("/chat/completions")]


async def test_a_callers_own_key_goes_through_and_no_account_is_used(byok, sandbox):
    answer = await byok.chat("hi", headers=MINE)

    assert answer.status_code == 200
    assert keys_seen(sandbox) == [OWN]
    assert answer.headers["x-gateway-provider"] == "openai"
    assert answer.headers["x-gateway-attempts"] == "1"
    assert "x-gateway-account" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": f"Bearer {OWN}"}, id="no-provider-named"),
        pytest.param({"x-provider": "openai"}, id="no-key"),
        pytest.param({"x-provider": "openai", "authorization": "Bearer"}, id="empty-key"),
        pytest.param({"x-provider": "openai", "authorization": f"Basic {OWN}"}, id="no-bearer"),
        pytest.param({"x-provider": "openai", "authorization": "Bearer gw-1234567890"}, id="a-client-key"),
        pytest.param({"x-provider": "openai", "authorization": "bearer  GW-1234567890"}, id="in-any-case"),
    ],
)
async def test_all_others_are_served_by_the_accounts(byok, sandbox, headers):
    answer = await byok.chat("hi", headers=headers)

    assert answer.status_code == 200
    assert keys_seen(sandbox) == ["sk-a"]
    assert "x-gateway-account" in answer.headers


async def test_where_it_is_off_a_bearer_is_ignored(database_url, registry, sandbox):
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with running_gateway(database_url, settings(byok=False)) as gateway:
        await gateway.serves(accounts=1)
        answer = await gateway.chat("hi", headers=MINE)

    assert answer.status_code == 200
    assert keys_seen(sandbox) == ["sk-a"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        pytest.param(Fault("invalid_api_key"), 401, id="401"),
        pytest.param(Fault("rate_limited"), 429, id="429"),
        pytest.param(Fault("insufficient_quota"), 429, id="quota"),
        pytest.param(Fault("server_error"), 500, id="500"),
    ],
)
async def test_what_the_provider_says_of_the_key_reaches_its_caller_and_parks_nobody(byok, sandbox, fault, status):
    sandbox.script(fault, key=OWN)

    answer = await byok.chat("hi", headers=MINE)

    assert answer.status_code == status
    assert keys_seen(sandbox) == [OWN]
    assert OWN not in answer.text
    assert byok.service.board.healths.by_scope == {}
    assert byok.service.board.headrooms._by_scope == {}
    assert (await byok.chat("hi")).status_code == 200


async def test_a_rate_limit_comes_with_its_delay(byok, sandbox):
    limited = {"retry-after": "7", "x-ratelimit-remaining-requests": "0", "x-should-retry": "true"}
    sandbox.script(Fault("rate_limited", headers=limited), key=OWN)

    answer = await byok.chat("hi", headers=MINE)

    assert {name: answer.headers.get(name) for name in limited} == limited


async def test_streams_and_lists_of_models_go_through_too(byok, sandbox):
    client = AsyncOpenAI(
        base_url=f"{byok.url}/v1", api_key=OWN, default_headers={"x-provider": "openai"}, max_retries=0
    )
    async with client:
        stream = await client.chat.completions.create(
            model="gpt-4", messages=[{"role": "user", "content": "one two"}], stream=True
        )
        text = "".join([event.choices[0].delta.content or "" async for event in stream if event.choices])
        models = await client.models.list()

    assert text == "echo: one two"
    assert models.data
    assert OWN in {request.key for request in sandbox.log if request.path == "/v1/models"}
    assert keys_seen(sandbox) == [OWN]


async def test_a_stream_that_breaks_is_not_asked_for_again(byok, sandbox):
    sandbox.script(Fault("truncated", after=2), key=OWN)

    answer = await byok.chat("one two three", stream=True, headers=MINE)

    assert "error" in answer.text
    assert keys_seen(sandbox) == [OWN]


async def test_an_unknown_provider_and_a_key_that_no_header_takes_are_the_callers_to_mend(byok):
    unknown = await byok.chat("hi", headers={**MINE, "x-provider": "nobody"})
    bad = await byok.chat("hi", headers={"x-provider": "openai", "authorization": b"Bearer a\x01b"})

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "unknown_provider")
    assert bad.status_code == 400


async def test_the_providers_allow_list_holds(byok):
    answer = await byok.chat("hi", model="gpt-99", headers=MINE)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_no_log_holds_the_key(byok, sandbox, capfd):
    sandbox.script(Fault("invalid_api_key"), key=OWN)

    await byok.chat("hi", headers=MINE)

    async def shown():
        return (await byok.get("/api/v1/calls")).json()["data"]

    await until_answered(shown, "the call")
    (call,) = await shown()
    metrics = (await byok.get("/metrics")).text
    assert OWN not in str(capfd.readouterr()) + metrics + str(call)
    assert (call["provider"], call["account_id"], call["attempts"], call["status"]) == ("openai", None, 1, 401)


async def test_with_client_keys_on_the_gateways_key_goes_in_its_own_header(database_url, registry, sandbox):
    await registry.add_provider("openai", sandbox.url)
    async with running_gateway(database_url, settings(auth=AuthMode.KEYS)) as gateway:
        made = (await gateway.client.post("/api/v1/keys", json={"name": "app", "models": ["gpt-4"]})).json()
        gate_key = {"x-gateway-key": made["key"]}

        async def is_known():
            return (await gateway.chat("hi", headers={**MINE, **gate_key})).status_code == 200

        await until_answered(is_known, "the key")
        without = await gateway.chat("hi", headers=MINE)
        not_allowed = await gateway.chat("hi", model="gpt-4o", headers={**MINE, **gate_key})
        ours_alone = await gateway.chat(
            "hi", headers={"x-provider": "openai", "authorization": f"Bearer {made['key']}"}
        )

    assert without.status_code == 401
    assert "x-gateway-key" in without.json()["error"]["message"]
    assert not_allowed.status_code == 403
    assert ours_alone.status_code == 503
    assert {*keys_seen(sandbox)} == {OWN}


# -- batches -----------------------------------------------------------------------------------------------------


def batch_of(*models: str) -> bytes:
    lines = [{"custom_id": "1", "body": {"model": model, "input": [{"file_id": "file-theirs"}]}} for model in models]
    return b"\n".join(map(msgspec.json.encode, lines))


async def stored(client: AsyncOpenAI, content: bytes) -> bytes:
    """What arrives of a batch's file."""
    made = await client.files.create(file=("in.jsonl", content), purpose="batch")
    return (await client.files.content(made.id)).content


def own_client(gateway, **headers: str) -> AsyncOpenAI:
    named = {"x-provider": "openai", **headers}
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=OWN, default_headers=named, max_retries=0)


async def test_a_batchs_lines_name_models_as_the_same_callers_calls_do(byok, registry, sandbox):
    await registry.add_route("fast", upstream_model="gpt-4")
    await until(lambda: "fast" in byok.snapshot.exact_routes, "the route")
    await byok.chat("hi", model="fast", headers=MINE)

    async with own_client(byok) as client:
        assert await stored(client, batch_of("fast", "gpt-4")) == batch_of("gpt-4", "gpt-4")
        assert await stored(client, b"no lines\n" + batch_of("fast")) == b"no lines\n" + batch_of("gpt-4")

    (asked,) = [seen for seen in sandbox.log if seen.path.endswith("/chat/completions")]
    assert asked.model == "gpt-4"
    assert {seen.key for seen in sandbox.log} <= {OWN, "sk-a"}
    assert {seen.key for seen in sandbox.log if "files" in seen.path} == {OWN}


async def test_a_client_key_with_some_models_has_no_others_in_batches(database_url, registry, sandbox):
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with running_gateway(database_url, settings(auth=AuthMode.KEYS, admin_token=Secret("t" * 20))) as gateway:
        await gateway.serves(accounts=1)
        admin = {"authorization": f"Bearer {'t' * 20}"}
        made = await gateway.client.post("/api/v1/keys", json={"name": "k", "models": ["gpt-4"]}, headers=admin)
        await until(lambda: gateway.snapshot.keys, "the key")
        async with own_client(gateway, **{"x-gateway-key": made.json()["key"]}) as client:
            for refused in (
                stored(client, batch_of("gpt-4", "gpt-3.5-turbo")),
                client.uploads.create(bytes=9, filename="a", mime_type="a/b", purpose="batch"),
            ):
                with pytest.raises(openai.PermissionDeniedError) as error:
                    await refused
                assert error.value.code == "model_not_allowed"
            with pytest.raises(openai.BadRequestError, match="Line 1"):
                await stored(client, b"no lines")
            assert await stored(client, batch_of("gpt-4")) == batch_of("gpt-4")
            await client.uploads.create(bytes=9, filename="a", mime_type="a/b", purpose="user_data")
