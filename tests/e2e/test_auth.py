"""Client keys: who may call where keys are needed, and the admin API's token."""

import pytest

from gateway.core.ids import Secret
from gateway.settings import Settings
from tests.e2e.owners import ADMIN, KEYED, TOKEN
from tests.fakes.gateway_fixture import running_gateway, until_answered


@pytest.fixture
async def keyed(database_url, registry, sandbox):
    """A gateway that needs keys."""
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with running_gateway(database_url, KEYED) as gateway:
        yield gateway


@pytest.fixture
async def two(keyed, database_url):
    """It, and a replica."""
    async with running_gateway(database_url, KEYED) as replica:
        yield [keyed, replica]


async def make_key(gateway, **fields):
    answer = await gateway.client.post("/api/v1/keys", json={"name": "app", **fields}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    await until_status(gateway, made["key"], 200, model=fields.get("models", ["gpt-4"])[0])
    return made


def bearer(key):
    return {"authorization": f"Bearer {key}"}


async def until_status(gateway, key, status, **options):
    async def answers():
        return (await gateway.chat(headers=bearer(key), **options)).status_code == status

    await until_answered(answers, f"{status} at {gateway.url}")


async def test_a_key_serves_and_is_revoked_within_a_second_everywhere(two):
    made = await make_key(two[0])
    assert made["key"].startswith("gw-")
    await until_status(two[1], made["key"], 200)

    await two[1].client.delete(f"/api/v1/keys/{made['id']}", headers=ADMIN)

    for gateway in two:
        await until_status(gateway, made["key"], 401)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        bearer("gw-wrong"),
        bearer("sk-a"),
        {"authorization": "Basic eDp5"},
        {"api-key": "x"},
        ADMIN,
    ],
    ids=["none", "empty", "wrong", "an-accounts", "basic", "api-key", "the-admins"],
)
async def test_without_a_valid_key_nobody_is_let_in(keyed, sandbox, headers):
    answer = await keyed.chat(headers=headers)
    models = await keyed.client.get("/v1/models", headers=headers)

    for each in (answer, models):
        assert each.status_code == 401
        error = each.json()["error"]
        assert (set(error), error["code"]) == ({"message", "type", "param", "code"}, "invalid_api_key")
    assert [seen for seen in sandbox.log if seen.method == "POST"] == []


async def test_an_expired_key_is_refused(keyed, registry):
    made = await make_key(keyed)

    await registry.execute("UPDATE client_keys SET expires_at = now() - interval '1 second'")

    await until_status(keyed, made["key"], 401)
    answer = await keyed.chat(headers=bearer(made["key"]))
    assert "expired" in answer.json()["error"]["message"]


async def test_a_key_for_some_models_has_these_alone(keyed, sandbox):
    made = await make_key(keyed, models=["gpt-4"])

    refused = await keyed.chat(model="gpt-4o", headers=bearer(made["key"]))
    listed = await keyed.client.get("/v1/models", headers=bearer(made["key"]))

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert [model["id"] for model in listed.json()["data"]] == ["gpt-4"]
    assert {seen.model for seen in sandbox.log if seen.method == "POST"} == {"gpt-4"}


async def test_a_key_for_some_models_cannot_write_another_before_its_own(keyed, sandbox):
    """Which of two members of one name is read differs from server to server."""
    made = await make_key(keyed, models=["gpt-4"])
    body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "model": "gpt-4"}'

    answer = await keyed.client.post("/v1/chat/completions", content=body, headers=bearer(made["key"]))

    assert answer.status_code == 200
    assert sandbox.log[-1].body.count(b'"model": "gpt-4"') == 2


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"model": "gpt-4o", "x": "\\ud800"}'),
        ("application/json", b'{"model": "gpt-4o", "x": NaN}'),
        ("application/json", b'\xef\xbb\xbf{"model": "gpt-4o"}'),
        ("text/plain", b' {"model": "gpt-4o"}'),
        ("application/x-www-form-urlencoded", b'{"model": "gpt-4o"}'),
    ],
)
async def test_a_key_for_some_models_names_no_other_where_nobody_knows_the_endpoint(keyed, sandbox, content_type, body):
    """A proxy on the way may take this path for that of chats."""
    made = await make_key(keyed, models=["gpt-4"])
    headers = bearer(made["key"]) | {"content-type": content_type}

    refused = await keyed.client.post("/v1//chat/completions", content=body, headers=headers)

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert not [seen for seen in sandbox.log if "//" in seen.path]


async def test_a_key_is_never_forwarded(keyed, sandbox):
    made = await make_key(keyed)

    await keyed.chat(headers={"x-gateway-key": made["key"], "authorization": "Bearer sk-other"})

    assert made["key"] not in repr(sandbox.log)
    assert "sk-other" not in repr(sandbox.log)


async def test_a_key_is_shown_once(keyed, registry):
    made = await make_key(keyed)

    listed = (await keyed.client.get("/api/v1/keys", headers=ADMIN)).text
    stored = await registry.connection.fetchval("SELECT string_agg(client_keys::text, '') FROM client_keys")

    assert made["key"] not in listed
    assert made["key"] not in stored


@pytest.mark.parametrize(
    "path", ["/api/v1/accounts", "/api/v1/keys", "/api/v1/problems", "/health", "/metrics", "/schema"]
)
async def test_pages_of_the_inside_need_the_token(keyed, path):
    assert (await keyed.get(path)).status_code in {401, 403}
    assert (await keyed.client.get(path, headers=bearer("wrong"))).status_code in {401, 403}
    assert (await keyed.client.get(path, headers=ADMIN)).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_liveness_is_open(keyed, path):
    assert (await keyed.get(path)).status_code == 200


async def test_off_loopback_keys_are_needed_by_default(database_url, registry, sandbox):
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with running_gateway(database_url, Settings(admin_token=Secret(TOKEN)), is_loopback=False) as gateway:
        assert (await gateway.chat()).status_code == 401
