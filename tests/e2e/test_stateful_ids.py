"""Ids go to the account that has them: two accounts of two organisations, two gateways on one database."""

import asyncio
import json

import openai
import pytest
from openai import AsyncOpenAI

from gateway.sandbox.faults import Fault
from tests.e2e.owners import World, respond, sdk
from tests.fakes.gateway_fixture import Gateway, until, until_answered


async def test_responses_that_follow_each_other_stay_at_their_account(world: World) -> None:
    for _ in range(4):
        last = await respond(world.ann)
        for _ in range(3):
            last = await respond(world.ann_too, previous_response_id=last.id)

    keys = world.seen("/v1/responses", "POST")
    chains = [set(keys[start : start + 4]) for start in range(0, 16, 4)]
    assert all(len(chain) == 1 for chain in chains)
    assert len(set.union(*chains)) == 2


async def test_a_replica_knows_an_id_as_soon_as_the_caller_does(world: World) -> None:
    for _ in range(10):
        made = await respond(world.ann)
        again = await world.ann_too.responses.retrieve(made.id)
        assert again.id == made.id
        await world.ann.responses.delete(made.id)

    assert all(len(world.seen(f"/v1/responses/{one}")) <= 1 for one in {seen.path for seen in world.sandbox.log})


async def test_a_streams_id_is_known_at_its_end(world: World) -> None:
    for _ in range(4):
        stream = await world.ann.responses.create(model="gpt-4", input="hi", stream=True)
        events = [event async for event in stream]
        made = events[-1].response  # type: ignore[union-attr]  # the last event has it
        assert (await world.ann_too.responses.retrieve(made.id)).id == made.id


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # OpenAI's assistants are, for their users
async def test_what_one_owner_makes_lies_together(world: World) -> None:
    files = [await world.ann.files.create(file=(f"{n}.txt", b"x"), purpose="assistants") for n in range(4)]
    store = await world.ann.vector_stores.create(file_ids=[file.id for file in files])
    assistant = await world.ann.beta.assistants.create(
        model="gpt-4", tool_resources={"file_search": {"vector_store_ids": [store.id]}}
    )
    run = await world.ann_too.beta.threads.create_and_run(assistant_id=assistant.id)
    message = await world.ann_new.beta.threads.messages.create(run.thread_id, role="user", content="hi")

    assert message.id.startswith("msg_")
    assert len({one.key for one in world.sandbox.log if one.method == "POST"}) == 1


async def test_others_do_not_find_what_is_not_theirs(world: World) -> None:
    file = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    made = await respond(world.ann)

    with pytest.raises(openai.NotFoundError) as by_path:
        await world.bob.files.retrieve(file.id)
    with pytest.raises(openai.NotFoundError):
        await world.bob.files.content(file.id)
    with pytest.raises(openai.BadRequestError) as by_chain:
        await respond(world.bob, previous_response_id=made.id)
    with pytest.raises(openai.BadRequestError) as by_field:
        await world.bob.chat.completions.create(
            model="gpt-4",
            messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": file.id}}]}],
        )

    assert by_path.value.code == "object_not_found"
    assert (by_chain.value.code, by_chain.value.param) == ("previous_response_not_found", "previous_response_id")
    assert by_field.value.param == "messages[0].content[0].file.file_id"
    assert (await world.ann_new.files.retrieve(file.id)).id == file.id, "a key of the same owner"


async def test_an_escaped_name_hides_no_id(world: World) -> None:
    file = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    body = (
        b'{"model":"gpt-4","messages":[{"role":"user","content":[{"type":"file","file":{"file\\u005fid":"%b"}}]}]}'
        % file.id.encode()
    )

    answer = await world.gateways[0].client.post(
        "/v1/chat/completions", content=body, headers={"authorization": f"Bearer {world.bob.api_key}"}
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "object_not_found")


async def test_messages_that_stand_twice_hide_no_id(world: World) -> None:
    file = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    body = (
        b'{"model":"gpt-4","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"%b"}}]}],'
        b'"messages":[{"role":"user","content":"hi"}]}' % file.id.encode()
    )

    answer = await world.gateways[0].client.post(
        "/v1/chat/completions", content=body, headers={"authorization": f"Bearer {world.bob.api_key}"}
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "duplicate_member")
    assert not world.seen("/v1/chat/completions", "POST")


async def test_two_projects_in_one_call_are_named_both(world: World) -> None:
    made = {}
    while len(made) < 2:
        response = await respond(world.ann)
        made[world.seen("/v1/responses", "POST")[-1]] = response.id
    file = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    home = world.seen("/v1/files", "POST")[-1]
    elsewhere = next(id_ for key, id_ in made.items() if key != home)

    with pytest.raises(openai.BadRequestError) as refused:
        await respond(
            world.ann,
            [{"role": "user", "content": [{"type": "input_file", "file_id": file.id}]}],  # type: ignore[arg-type]  # a plain dict
            previous_response_id=elsewhere,
        )

    assert refused.value.code == "mixed_account_references"
    assert file.id in refused.value.message
    assert elsewhere in refused.value.message


async def test_encrypted_reasoning_goes_back_to_who_can_read_it(world: World) -> None:
    for _ in range(6):
        first = await respond(world.ann, store=False, include=["reasoning.encrypted_content"])
        sent = [item.model_dump(exclude_none=True) for item in first.output]
        again = await world.ann_too.responses.create(
            model="gpt-4", input=[*sent, {"role": "user", "content": "more"}], store=False
        )
        assert again.output_text == "echo: more"


async def test_a_fine_tuned_model_is_served_where_it_was_trained(world: World) -> None:
    await world.registry.execute("UPDATE providers SET supported_models = '[]'")
    for gateway in world.gateways:
        await until(lambda gateway=gateway: not gateway.snapshot.providers["openai"].supported_models, "all models")
    file = await world.ann.files.create(file=("t.jsonl", b"{}"), purpose="fine-tune")
    job = await world.ann.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file.id)
    model = (await world.ann.fine_tuning.jobs.retrieve(job.id)).fine_tuned_model or ""
    home = world.seen("/v1/files", "POST")[0]

    for _ in range(4):
        await world.ann_too.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])

    assert set(world.seen("/v1/chat/completions", "POST")) == {home}
    with pytest.raises(openai.NotFoundError):
        await world.bob.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])


async def test_an_id_waits_for_its_account_and_never_goes_elsewhere(world: World) -> None:
    made = await respond(world.ann)
    home = world.seen("/v1/responses", "POST")[-1]
    world.sandbox.script(Fault("rate_limited", key=home, retry_after_ms="400"))

    again = await respond(world.ann, previous_response_id=made.id)

    assert again.previous_response_id == made.id
    assert set(world.seen("/v1/responses", "POST")) == {home}


async def test_an_account_that_rests_for_long_is_a_429(world: World) -> None:
    made = await respond(world.ann)
    home = world.seen("/v1/responses", "POST")[-1]
    world.sandbox.script(Fault("rate_limited", key=home, retry_after="120", times=None))

    with pytest.raises(openai.RateLimitError) as refused:
        await respond(world.ann, previous_response_id=made.id)

    assert float(refused.value.response.headers["retry-after"]) >= 100
    assert set(world.seen("/v1/responses", "POST")) == {home}


async def test_a_home_that_rests_is_taken_by_another_account(world: World) -> None:
    await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    home = world.seen("/v1/files", "POST")[-1]
    world.sandbox.script(Fault("rate_limited", key=home, retry_after="60", times=None))

    second = await world.ann.files.create(file=("b.txt", b"x"), purpose="user_data")

    assert (await world.ann_too.files.retrieve(second.id)).id == second.id
    assert set(world.seen("/v1/files", "POST")) == {"sk-a", "sk-b"}


@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        pytest.param("UPDATE accounts SET is_active = false WHERE label = $1", 409, "account_inactive", id="inactive"),
        pytest.param("DELETE FROM accounts WHERE label = $1", 404, "account_gone", id="deleted"),
    ],
)
async def test_an_account_that_is_not_there_any_more_is_told(
    world: World, statement: str, status: int, code: str
) -> None:
    file = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    await world.registry.execute(statement, world.seen("/v1/files", "POST")[-1])
    for gateway in world.gateways:
        await gateway.serves(accounts=1)

    for client in (world.ann, world.ann_too):
        with pytest.raises(openai.APIStatusError) as refused:
            await client.files.retrieve(file.id)
        assert (refused.value.status_code, refused.value.code) == (status, code)


def has_project(gateway: Gateway) -> bool:
    return any(account.credential.project for account in gateway.snapshot.accounts.values())


async def test_a_sibling_of_the_project_serves_in_its_place(world: World) -> None:
    file = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    home = world.seen("/v1/files", "POST")[-1]
    credential = {"api_key": home, "organization": "org-1", "project": "proj_1"}
    await world.registry.execute("UPDATE accounts SET auth_data = $1 WHERE label = $2", json.dumps(credential), home)
    for gateway in world.gateways:
        await until(lambda gateway=gateway: has_project(gateway), "the project")
    made = await world.ann.files.create(file=("b.txt", b"x"), purpose="user_data")
    await world.registry.add_account(home + "-2", auth_data={**credential, "api_key": home})
    for gateway in world.gateways:
        await gateway.serves(accounts=3)
    await world.registry.execute("DELETE FROM accounts WHERE label = $1", home)
    for gateway in world.gateways:
        await gateway.serves(accounts=2)

    found = [await client.files.retrieve(id_) for client in (world.ann, world.ann_too) for id_ in (made.id,)]

    assert {one.id for one in found} == {made.id}
    with pytest.raises(openai.NotFoundError):
        await world.ann.files.retrieve(file.id)  # its project was not known when it was made


async def test_calls_without_keys_share(pair: Gateway) -> None:
    async with sdk(pair) as one, sdk(pair, "other") as other:
        file = await one.files.create(file=("a.txt", b"x"), purpose="user_data")
        assert (await other.files.retrieve(file.id)).id == file.id


async def test_the_named_provider_must_be_the_ids_own(world: World) -> None:
    await world.registry.add_provider("other", world.sandbox.url)
    await world.registry.add_account("sk-c", "other")
    for gateway in world.gateways:
        await gateway.serves(accounts=3)
    made = await world.ann.files.create(
        file=("a.txt", b"x"), purpose="user_data", extra_headers={"x-provider": "other"}
    )

    assert (await world.ann_too.files.retrieve(made.id)).id == made.id, "the id tells the provider"
    with pytest.raises(openai.BadRequestError) as refused:
        await world.ann.files.retrieve(made.id, extra_headers={"x-provider": "openai"})
    assert refused.value.code == "mixed_account_references"


async def test_with_postgres_gone_ids_stay_and_follow_later(world: World) -> None:
    first = world.gateways[0]
    store = first.service.ids
    saved, found = store.save, store.find

    async def away(*_: object) -> None:
        return None

    store.save, store.find = away, away
    made = await respond(world.ann)
    assert (await world.ann.responses.retrieve(made.id)).id == made.id
    with pytest.raises(openai.InternalServerError) as refused:
        await world.ann.responses.retrieve("resp_000000000000000000000099")
    assert refused.value.code == "ids_unavailable"

    store.save, store.find = saved, found

    async def is_stored() -> bool:
        return await world.registry.connection.fetchval("SELECT count(*) FROM stateful_ids WHERE id = $1", made.id) == 1

    await until_answered(is_stored, "the id in the table")
    assert (await world.ann_too.responses.retrieve(made.id)).id == made.id


async def test_a_deleted_object_is_forgotten(world: World) -> None:
    file = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    await world.ann.files.delete(file.id)

    async def is_gone() -> bool:
        return await world.registry.connection.fetchval("SELECT count(*) FROM stateful_ids WHERE id = $1", file.id) == 0

    await until_answered(is_gone, "no row")


async def test_a_creation_whose_end_is_unknown_is_not_made_again(world: World) -> None:
    world.sandbox.script(Fault("reset_before_headers"))

    with pytest.raises(openai.APIStatusError):
        await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")

    assert len(world.seen("/v1/files", "POST")) == 1


async def test_many_callers_at_once_keep_their_ids_apart(world: World) -> None:
    async def walk(client: AsyncOpenAI) -> None:
        last = await respond(client)
        for _ in range(3):
            last = await respond(client, previous_response_id=last.id)
            assert (await client.responses.retrieve(last.id)).id == last.id

    await asyncio.gather(*(walk(client) for client in (world.ann, world.ann_too, world.bob, world.ann_new) * 5))
