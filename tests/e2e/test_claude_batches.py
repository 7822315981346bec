"""Batches of messages: their calls name models as they would alone, and what they used is counted once."""

import msgspec
import pytest

from tests.fakes.anthropic_api import AnthropicApi, written
from tests.fakes.gateway_fixture import DEFAULTS, Gateway, Registry, running_gateway, until

VERSION = {"anthropic-version": "2023-06-01"}
PATH = "/v1/messages/batches"


def batch(*models: str) -> dict[str, object]:
    return {"requests": [{"custom_id": "1", "params": {"max_tokens": 1, "model": model}} for model in models]}


@pytest.fixture
async def claude(database_url: str, registry: Registry, api: AnthropicApi):
    await registry.add_provider("anthropic", api.url, kind="anthropic", supported_models=[])
    await registry.add_account("sk-ant-a", "anthropic")
    await registry.add_route("fast", "anthropic", upstream_model="claude-haiku-4-5")
    async with running_gateway(database_url, msgspec.structs.replace(DEFAULTS, byok=True)) as gateway:
        await gateway.serves(accounts=1)
        await until(lambda: "fast" in gateway.snapshot.exact_routes, "the route")
        yield gateway


async def sent(gateway: Gateway, api: AnthropicApi, body: dict[str, object], **headers: str) -> object:
    """What arrives of it."""
    answer = await gateway.client.post(PATH, json=body, headers={**VERSION, **headers})
    assert answer.status_code == 200, answer.text
    return api.seen[-1].body


@pytest.mark.parametrize("headers", [{}, {"x-provider": "anthropic", "x-api-key": "sk-ant-mine"}], ids=["ours", "own"])
async def test_they_go_out_under_the_names_of_the_upstream(
    claude: Gateway, api: AnthropicApi, headers: dict[str, str]
) -> None:
    assert await sent(claude, api, batch("fast", "claude-opus-4-1"), **headers) == batch(
        "claude-haiku-4-5", "claude-opus-4-1"
    )
    assert await sent(claude, api, batch("claude-opus-4-1"), **headers) == batch("claude-opus-4-1")
    assert api.keys == [headers.get("x-api-key", "sk-ant-a")] * 2


async def test_all_of_many_do(claude: Gateway, api: AnthropicApi) -> None:
    assert await sent(claude, api, batch(*["fast"] * 20_000)) == batch(*["claude-haiku-4-5"] * 20_000)


async def test_what_it_used_is_counted_by_the_first_who_reads_all_results(claude: Gateway, api: AnthropicApi) -> None:
    made = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"}
    usage = {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 3}
    result = {"custom_id": "a", "result": {"type": "succeeded", "message": {"usage": usage}}}
    api.script("sk-ant-a", *(written(200, told) for told in (made, made | {"processing_status": "ended"}, result)))
    await sent(claude, api, batch("fast"))

    for below in ("", "/results", "/results"):
        await claude.client.get(f"{PATH}/msgbatch_1{below}", headers=VERSION)

    calls = (await claude.client.get("/api/v1/calls?limit=10")).json()["data"]
    (counted,) = [call for call in calls if call["input_tokens"]]
    assert (counted["endpoint"], counted["input_tokens"], counted["cached_tokens"], counted["output_tokens"]) == (
        "messages.batches.results",
        7,
        2,
        3,
    )
    assert counted["usage_of"]["id"] == "msgbatch_1"
