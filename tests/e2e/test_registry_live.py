"""Rows in, calls out: SPEC §2 on two running gateways, without a restart."""

import pytest

from tests.fakes.gateway_fixture import connected, running_gateway, until, until_answered

TWO_INSERTS = """
INSERT INTO providers (id, name, base_url, auth_type, auth_strategy, supported_models, is_active)
VALUES ('openai', 'OpenAI', 'https://api.openai.com', 'api_key', 'api_key', '["gpt-4", "gpt-3.5-turbo"]', true);
INSERT INTO accounts (provider_id, label, auth_data, is_active)
VALUES ('openai', 'Account 1', '{"api_key": "sk-proj-x"}', true);
"""
"""As the contract has them."""


@pytest.fixture
async def two(database_url):
    async with running_gateway(database_url) as one, running_gateway(database_url) as other:
        yield one, other


@pytest.fixture
async def served(two, registry, sandbox):
    """Both gateways serve one account of one provider."""
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    for gateway in two:
        await gateway.serves(accounts=1)
    return two


async def each_answers(gateways, status, *, model="gpt-4"):
    for gateway in gateways:

        async def answers(gateway=gateway):
            return (await gateway.chat(model=model)).status_code == status

        await until_answered(answers, f"{status} from {gateway.url}")


async def test_the_two_inserts_of_the_contract_serve_everywhere_within_a_second(two, registry, sandbox):
    await registry.execute(TWO_INSERTS.replace("https://api.openai.com", sandbox.url))

    await each_answers(two, 200)
    await each_answers(two, 200, model="gpt-3.5-turbo")
    assert {seen.key for seen in sandbox.log} == {"sk-proj-x"}


async def test_plaintext_is_sealed_in_place_and_serves_on(served, registry):
    async def is_sealed():
        stored = await registry.connection.fetchval("SELECT auth_data::text FROM accounts")
        return "sk-a" not in stored

    await until_answered(is_sealed, "the sealed row")

    await each_answers(served, 200)


async def test_a_deactivated_account_leaves_and_comes_back(served, registry):
    await registry.execute("UPDATE accounts SET is_active = false")
    await each_answers(served, 503)

    await registry.execute("UPDATE accounts SET is_active = true")
    await each_answers(served, 200)


async def test_a_deleted_account_is_gone(served, registry):
    await registry.execute("DELETE FROM accounts")

    await each_answers(served, 503)


async def test_a_deactivated_provider_is_as_if_it_were_not_there(served, registry):
    await registry.execute("UPDATE providers SET is_active = false")

    await each_answers(served, 404)


async def test_an_allow_list_is_widened_at_once(served, registry):
    await each_answers(served, 404, model="gpt-5")

    await registry.execute("""UPDATE providers SET supported_models = '["gpt-*"]'""")

    await each_answers(served, 200, model="gpt-5")


async def test_a_new_base_url_is_used_at_once(served, registry, sandbox):
    await registry.execute("UPDATE providers SET base_url = 'http://127.0.0.1:9/'")
    await each_answers(served, 502)

    await registry.execute("UPDATE providers SET base_url = $1", f"{sandbox.url}/v1/")
    await each_answers(served, 200)


async def test_a_new_credential_is_used_at_once_and_forgives_the_old_one(served, registry, sandbox):
    sandbox.script("invalid_api_key", key="sk-a")
    assert (await served[0].chat()).status_code == 503

    await registry.execute("""UPDATE accounts SET auth_data = '{"api_key": "sk-new"}'""")

    async def is_served():
        return await served[0].chat_is_ok() and sandbox.log[-1].key == "sk-new"

    await until_answered(is_served, "an answer by the new key")


async def test_a_route_renames_a_model_at_once(served, registry, sandbox):
    await registry.add_route("fast", upstream_model="gpt-4o")

    await each_answers(served, 200, model="fast")
    assert sandbox.log[-1].model == "gpt-4o"

    await registry.execute("DELETE FROM model_routes WHERE pattern = 'fast'")
    await each_answers(served, 404, model="fast")


BAD_ACCOUNTS = {
    "no-key": {"auth_data": {}},
    "key-is-no-text": {"auth_data": {"api_key": 5}},
    "key-with-newline": {"auth_data": {"api_key": "sk\nx"}},
    "key-is-no-header-value": {"auth_data": {"api_key": "sk-→"}},
    "weight-zero": {"weight": 0.0},
    "weight-nan": {"weight": float("nan")},
    "no-room": {"max_concurrency": 0},
    "models-are-no-list": {"supported_models": {"gpt-4": True}},
    "sealed-by-nobody": {"auth_data": {"$enc": "v1", "kid": "zz", "n": "AA==", "ct": "AA=="}},
}
BAD_PROVIDERS = {
    "no-url": ("not a url", "openai", "api_key", "{}"),
    "other-scheme": ("ftp://example.com", "openai", "api_key", "{}"),
    "unknown-kind": ("https://example.com", "nonsense", "api_key", "{}"),
    "unknown-strategy": ("https://example.com", "openai", "magic", "{}"),
    "bad-setting": ("https://example.com", "openai", "api_key", '{"timeout_s": "soon"}'),
    "negative-timeout": ("https://example.com", "openai", "api_key", '{"timeout_s": -1}'),
}


async def problems_of(gateway):
    return (await gateway.get("/api/v1/problems")).json()["data"]


@pytest.mark.parametrize("columns", BAD_ACCOUNTS.values(), ids=BAD_ACCOUNTS)
async def test_a_bad_account_is_skipped_and_reported_and_harms_nobody(pair, registry, columns):
    await registry.add_account("sk-bad", **columns)

    await until_answered(lambda: problems_of(pair), "the problem")
    (problem,) = await problems_of(pair)
    assert problem["table"] == "accounts"
    assert (await pair.chat()).status_code == 200


@pytest.mark.parametrize("values", BAD_PROVIDERS.values(), ids=BAD_PROVIDERS)
async def test_a_bad_provider_is_skipped_and_reported_and_harms_nobody(pair, registry, values):
    await registry.execute(
        "INSERT INTO providers (id, base_url, kind, auth_strategy, settings) VALUES ('bad', $1, $2, $3, $4)", *values
    )

    await until_answered(lambda: problems_of(pair), "the problem")
    (problem,) = await problems_of(pair)
    assert problem["table"] == "providers"
    assert (await pair.chat()).status_code == 200


async def test_a_bad_route_is_skipped_and_reported(pair, registry):
    await registry.add_route("gpt*4")

    await until_answered(lambda: problems_of(pair), "the problem")
    (problem,) = await problems_of(pair)
    assert problem["table"] == "model_routes"
    assert (await pair.chat()).status_code == 200


async def test_a_mended_row_is_no_problem_any_more(pair, registry):
    await registry.execute("UPDATE accounts SET weight = 0 WHERE label = 'sk-a'")
    await pair.serves(accounts=1)

    await registry.execute("UPDATE accounts SET weight = 1 WHERE label = 'sk-a'")
    await pair.serves(accounts=2)

    assert await problems_of(pair) == []


async def test_changes_made_while_the_listener_was_cut_off_arrive(served, registry, database_url, sandbox):
    async with connected(database_url) as other:
        await other.execute("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ILIKE '%listen%'""")
    await registry.add_account("sk-late")

    for gateway in served:
        await until(lambda gateway=gateway: len(gateway.snapshot.accounts) == 2, "the late account")
