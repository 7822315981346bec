"""Models in the lines of a batch's file: what routes and deployments call otherwise goes out under that name."""

import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import openai
import pytest
from openai import AsyncOpenAI

from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.fakes.gateway_fixture import Gateway, Registry, until
from tests.fakes.plain_sdk import plain_sdk


class World(NamedTuple):
    gateway: Gateway
    registry: Registry
    sandbox: Sandbox
    client: AsyncOpenAI

    async def stored(self, content: bytes, **fields: object) -> bytes:
        """What arrives of a file that is uploaded."""
        made = await self.client.files.create(file=("in.jsonl", content), purpose="batch", **fields)  # type: ignore[arg-type]  # any field
        return (await self.client.files.content(made.id)).content


@pytest.fixture
async def world(gateway: Gateway, registry: Registry, sandbox: Sandbox) -> AsyncIterator[World]:
    await registry.execute("UPDATE providers SET supported_models = '[]'")
    await registry.add_route("fast", upstream_model="gpt-4o-mini")
    await registry.add_route("slow", upstream_model="o3")
    await registry.add_account("sk-a", supported_models=["fast", "gpt-4"])
    await registry.add_account("sk-b", supported_models=["slow", "fast"])
    await gateway.serves(accounts=2)
    await until(lambda: "slow" in gateway.snapshot.exact_routes, "the routes")
    async with plain_sdk(gateway.url) as client:
        yield World(gateway, registry, sandbox, client)


def line(model: str, text: str = "hi") -> bytes:
    """With blanks, an escape and a number that no encoder would write again."""
    return b'{"custom_id": "1",  "body": {"n": 1.0, "input": %b, "model":"%b"}}\n' % (
        json.dumps(text).encode(),
        model.encode(),
    )


async def test_lines_go_out_under_the_names_of_the_upstream(world: World) -> None:
    assert await world.stored(line("fast") + line("gpt-4", "fäst")) == line("gpt-4o-mini") + line("gpt-4", "fäst")
    assert await world.stored(line("gpt-4")) == line("gpt-4")


async def test_a_file_that_does_not_stay_in_memory_does_too(world: World) -> None:
    count = 30_000

    assert await world.stored((line("slow") + line("fast")) * count) == (line("o3") + line("gpt-4o-mini")) * count


async def test_the_account_is_the_one_that_serves_the_names_of_the_caller(world: World) -> None:
    for _ in range(4):
        await world.stored(line("slow"))

    assert {one.key for one in world.sandbox.log if one.method == "POST"} == {"sk-b"}


async def test_the_next_account_gets_the_same_lines(world: World) -> None:
    await world.registry.execute("UPDATE accounts SET supported_models = NULL")
    await until(lambda: not any(one.supported_models for one in world.gateway.snapshot.accounts.values()), "the lists")
    world.sandbox.script(Fault("rate_limited", path="/v1/files"))

    assert await world.stored(line("fast") * 3) == line("gpt-4o-mini") * 3
    assert {one.key for one in world.sandbox.log if one.path == "/v1/files"} == {"sk-a", "sk-b"}


async def test_models_of_two_providers_are_refused_in_words(world: World) -> None:
    await world.registry.add_provider("other", world.sandbox.url, supported_models=[])
    await world.registry.add_account("sk-o", "other")
    await world.registry.add_route("theirs", "other")
    await until(lambda: "theirs" in world.gateway.snapshot.exact_routes, "the route")

    with pytest.raises(openai.BadRequestError) as refused:
        await world.stored(line("fast") + line("theirs"))

    assert refused.value.code == "mixed_account_references"
    assert "`fast`, `theirs`" in str(refused.value)
    assert "one file, or make one call, for each model" in str(refused.value)


async def test_deployments_name_lines_too(world: World) -> None:
    await world.registry.execute("""UPDATE providers SET settings = '{"deployments": {"gpt-4": "my-four"}}'""")
    await until(lambda: world.gateway.snapshot.providers["openai"].settings.deployments, "the setting")

    assert await world.stored(line("gpt-4")) == line("my-four")
