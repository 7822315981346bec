"""Callers who bring a provider's key of their own: it goes through, and nothing of it stays."""

import msgspec
import pytest
from openai import AsyncOpenAI

from gateway.sandbox.faults import Fault
from gateway.settings import AuthMode, Settings
from tests.fakes.gateway_fixture import DEFAULTS, running_gateway, until_answered

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

    await until_answered(shown, 2, "the call")
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

        await until_answered(is_known, 2, "the key")
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
