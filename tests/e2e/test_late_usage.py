"""Usage of responses in the background, batches and runs: once for all replicas, told by who sees the end first."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from openai import AsyncOpenAI

from gateway.core.ids import Secret
from gateway.sandbox.server import Sandbox
from gateway.settings import AuthMode, Settings
from tests.fakes.gateway_fixture import Gateway, Registry, running_gateway, until
from tests.fakes.plain_sdk import plain_sdk

TOKEN = "the-token-of-the-admin"  # noqa: S105  # a test's own
ADMIN = {"authorization": f"Bearer {TOKEN}"}
KEYED = Settings(auth=AuthMode.KEYS, admin_token=Secret(TOKEN))
LINE = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4","messages":[]}}\n'


class World(NamedTuple):
    gateways: list[Gateway]
    clients: list[AsyncOpenAI]
    """Of one key, at each of the gateways."""
    key_id: str

    async def counted(self) -> list[dict[str, object]]:
        """Calls of all gateways that had usage."""
        found: list[dict[str, object]] = []
        for gateway in self.gateways:
            calls = (await gateway.client.get("/api/v1/calls?limit=100", headers=ADMIN)).json()
            found += [call for call in calls["data"] if call["input_tokens"]]
        return found


@pytest.fixture
async def world(database_url: str, registry: Registry, sandbox: Sandbox) -> AsyncIterator[World]:
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with running_gateway(database_url, KEYED) as one, running_gateway(database_url, KEYED) as two:
        made = (await one.client.post("/api/v1/keys", json={"name": "k", "owner": "ann"}, headers=ADMIN)).json()
        for gateway in (one, two):
            await gateway.serves(accounts=1)
            await until(lambda gateway=gateway: gateway.snapshot.keys, "the key")
        clients = [plain_sdk(each.url, made["key"]) for each in (one, two)]
        yield World([one, two], clients, made["id"])
        for client in clients:
            await client.close()


async def test_a_response_in_the_background_is_counted_once_by_all_replicas(world: World) -> None:
    one, two = world.clients
    made = await one.responses.create(model="gpt-4", input="hi", background=True)
    assert (made.status, made.usage) == ("queued", None)

    await asyncio.gather(*(client.responses.retrieve(made.id) for client in (one, two) for _ in range(5)))

    (counted,) = await world.counted()
    assert (counted["endpoint"], counted["input_tokens"], counted["output_tokens"]) == ("responses.get", 7, 2)
    assert counted["usage_of"] == {"id": made.id, "model": "gpt-4", "client_key_id": world.key_id}
    metrics = (await world.gateways[0].client.get("/metrics", headers=ADMIN)).text
    others = (await world.gateways[1].client.get("/metrics", headers=ADMIN)).text
    assert 'gateway_tokens_total{direction="input",model=' in metrics + others


async def test_its_stream_counts_it(world: World) -> None:
    one, two = world.clients
    stream = await one.responses.create(model="gpt-4", input="hi", background=True, stream=True)
    made = [event async for event in stream][-1].response  # type: ignore[union-attr]  # the last event has it
    await two.responses.retrieve(made.id)

    (counted,) = await world.counted()
    assert (counted["endpoint"], counted["usage_of"]) == ("responses.create", None)


async def test_a_batch_is_counted_by_its_output(world: World) -> None:
    one, two = world.clients
    file = await one.files.create(file=("in.jsonl", LINE * 3), purpose="batch")
    batch = await one.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = await two.batches.retrieve(batch.id)
    assert done.output_file_id is not None

    for client in (one, two, one):
        await client.files.content(done.output_file_id)

    (counted,) = await world.counted()
    assert (counted["endpoint"], counted["input_tokens"], counted["output_tokens"]) == ("files.content", 3, 3)
    assert counted["usage_of"]["id"] == done.output_file_id  # type: ignore[index]  # it is an object


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # OpenAI's assistants are, for their users
async def test_runs_are_counted_once_by_all_replicas(world: World) -> None:
    one, two = world.clients
    assistant = await one.beta.assistants.create(model="gpt-4")
    made = await one.beta.threads.create_and_run(assistant_id=assistant.id)
    measured = await one.evals.create(data_source_config={"type": "logs"}, testing_criteria=[])
    source = {"type": "completions", "model": "gpt-4", "source": {"type": "stored_completions"}}
    run = await one.evals.runs.create(measured.id, data_source=source)  # type: ignore[arg-type]  # a dict of that form
    assert (made.status, run.status) == ("queued", "queued")

    for client in (two, one, two):
        await client.beta.threads.runs.retrieve(made.id, thread_id=made.thread_id)
        await client.evals.runs.retrieve(run.id, eval_id=measured.id)

    counted = sorted(await world.counted(), key=lambda call: str(call["endpoint"]))
    assert [(each["endpoint"], each["input_tokens"], each["output_tokens"]) for each in counted] == [
        ("evals.runs.get", 7, 2),
        ("threads.runs.get", 7, 2),
    ]
    assert [each["usage_of"]["id"] for each in counted] == [run.id, made.id]  # type: ignore[index]  # they are objects


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_stream_of_a_run_counts_it(world: World) -> None:
    one, two = world.clients
    assistant = await one.beta.assistants.create(model="gpt-4")
    async with one.beta.threads.create_and_run_stream(assistant_id=assistant.id) as stream:
        made = await stream.get_final_run()
    await two.beta.threads.runs.retrieve(made.id, thread_id=made.thread_id)

    (counted,) = await world.counted()
    assert made.usage is not None
    assert (counted["endpoint"], counted["input_tokens"]) == ("threads.create_and_run", made.usage.prompt_tokens)


async def test_a_response_that_was_waited_for_is_counted_by_its_call(world: World) -> None:
    one, two = world.clients
    made = await one.responses.create(model="gpt-4", input="hi")
    await two.responses.retrieve(made.id)

    (counted,) = await world.counted()
    assert counted["endpoint"] == "responses.create"
