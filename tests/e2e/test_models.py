"""`GET /v1/models/{model}`: listed models are the gateway's to show; of others their upstream is asked."""

import pytest

from tests.fakes.gateway_fixture import running_gateway, until


@pytest.fixture
async def opened(database_url, registry, sandbox):
    """A provider without an allow-list, two accounts."""
    await registry.add_provider("openai", sandbox.url, supported_models=[])
    await registry.add_account("sk-a")
    await registry.add_account("sk-b")
    async with running_gateway(database_url) as gateway:
        await gateway.serves(accounts=2)
        await until(lambda: len(gateway.service.catalog._lists) == 2, "the accounts' lists")
        sandbox.reset()
        yield gateway


def reads(sandbox):
    return [seen.path for seen in sandbox.log if seen.path.startswith("/v1/models/")]


async def test_a_listed_model_is_shown_without_a_call_upstream(opened, sandbox):
    answer = await opened.get("/v1/models/gpt-4o")

    assert (answer.status_code, answer.json()["id"]) == (200, "gpt-4o")
    assert reads(sandbox) == []


async def test_of_a_model_that_no_list_has_the_upstream_is_asked(opened, sandbox):
    opened.service.catalog._lists.clear()  # as if it had come since the lists were read

    answer = await opened.get("/v1/models/gpt-4o")

    assert (answer.status_code, answer.json()["id"]) == (200, "gpt-4o")
    assert answer.headers["x-gateway-attempts"] == "1"
    assert reads(sandbox) == ["/v1/models/gpt-4o"]


async def test_a_model_that_is_nowhere_is_a_404_and_parks_nobody(opened):
    answer = await opened.get("/v1/models/no-such-model")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert (await opened.chat(model="no-such-model")).status_code == 200


async def test_an_allow_list_says_what_there_is(pair, sandbox):
    answer = await pair.get("/v1/models/gpt-5")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert reads(sandbox) == []


async def test_a_path_in_the_name_of_a_model_leads_nowhere(opened, sandbox):
    answer = await opened.get("/v1/models/%2e%2e/files")

    assert answer.status_code in {400, 404}
    assert reads(sandbox) == []
