"""Files of batches: they lie where their lines can be served."""

import json

import openai
import pytest

from tests.e2e.owners import World, respond
from tests.fakes.gateway_fixture import until

JSONL = b"".join(
    json.dumps(
        {"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4", "n": 1}}
    ).encode()
    + b"\n"
    for n in range(3)
)


async def test_a_batch_follows_its_file_and_its_output_is_found(world: World) -> None:
    file = await world.ann.files.create(file=("in.jsonl", JSONL), purpose="batch")
    batch = await world.ann_too.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    done = await world.ann.batches.retrieve(batch.id)
    output = await world.ann_too.files.content(done.output_file_id or "")

    assert len(output.text.splitlines()) == 3
    asked = {one.key for one in world.sandbox.log if "files" in one.path or "batches" in one.path}
    assert len(asked) == 1


def jsonl(*models: str, **fields: object) -> bytes:
    lines = [
        {"custom_id": str(number), "method": "POST", "url": "/v1/responses", "body": {"model": model, **fields}}
        for number, model in enumerate(models)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def test_a_batchs_file_goes_to_an_account_that_serves_its_model(world: World) -> None:
    await world.registry.execute("UPDATE accounts SET supported_models = '[\"gpt-4o\"]' WHERE label = 'sk-b'")
    for gateway in world.gateways:
        await until(
            lambda gateway=gateway: any(one.supported_models for one in gateway.snapshot.accounts.values()), "it"
        )

    clients = (world.ann, world.bob, world.ann_new)
    for model, account in (("gpt-4", {"sk-a"}), ("gpt-4o", {"sk-a", "sk-b"})):
        for client in clients:
            await client.files.create(file=("in.jsonl", jsonl(model, model)), purpose="batch")
        assert set(world.seen("/v1/files", "POST")[-len(clients) :]) <= account
    await world.registry.execute("UPDATE accounts SET supported_models = '[\"gpt-4\"]' WHERE label = 'sk-a'")
    for gateway in world.gateways:
        await until(
            lambda gateway=gateway: all(one.supported_models for one in gateway.snapshot.accounts.values()), "it"
        )

    await world.ann.files.create(file=("in.jsonl", jsonl("gpt-4o") * 20_000), purpose="batch")
    assert world.seen("/v1/files", "POST")[-1] == "sk-b", "also a file that does not stay in memory"
    with pytest.raises(openai.BadRequestError) as refused:
        await world.ann.files.create(file=("in.jsonl", jsonl("gpt-4", "gpt-4o")), purpose="batch")
    assert refused.value.code == "mixed_account_references"
    with pytest.raises(openai.NotFoundError):
        await world.ann.files.create(file=("in.jsonl", jsonl("gpt-5")), purpose="batch")


async def test_a_batchs_file_lies_where_the_objects_of_its_lines_lie(world: World) -> None:
    made = await respond(world.ann)
    home = world.seen("/v1/responses", "POST")[-1]

    for _ in range(2):
        await world.ann.files.create(file=("in.jsonl", jsonl("gpt-4", previous_response_id=made.id)), purpose="batch")

    assert set(world.seen("/v1/files", "POST")) == {home}
    with pytest.raises(openai.BadRequestError) as refused:
        await world.bob.files.create(file=("in.jsonl", jsonl("gpt-4", previous_response_id=made.id)), purpose="batch")
    assert (refused.value.code, refused.value.param) == ("object_not_found", "file[0].previous_response_id")


async def test_a_file_may_name_more_objects_than_are_looked_up_at_once(world: World) -> None:
    home = await world.registry.connection.fetchval("SELECT id FROM accounts WHERE label = 'sk-b'")
    await world.registry.execute(
        "INSERT INTO stateful_ids (id, kind, provider_id, account_id, owner, is_listed) "
        "SELECT 'resp_' || n, 'responses', 'openai', $1, CASE WHEN n < 11000 THEN 'ann' ELSE 'bob' END, false "
        "FROM generate_series(0, 11000) n",
        home,
    )

    def file(count: int) -> bytes:
        return b"".join(jsonl("gpt-4", previous_response_id=f"resp_{number}") for number in range(count))

    await world.ann.files.create(file=("in.jsonl", file(11_000)), purpose="batch")
    with pytest.raises(openai.BadRequestError) as refused:
        await world.ann.files.create(file=("in.jsonl", file(11_001)), purpose="batch")

    assert world.seen("/v1/files", "POST") == ["sk-b"]
    assert refused.value.param == "file[11000].previous_response_id"
