"""Lists over the accounts: merged, sifted by owner, with cursors that hold."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI

from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.e2e.owners import World, made_outside, sdk
from tests.fakes.gateway_fixture import Gateway, Registry


async def upload(client: AsyncOpenAI, name: str = "a.txt", **options: object) -> str:
    made = await client.files.create(file=(name, b"x"), purpose="user_data", **options)  # type: ignore[arg-type]  # any option
    return made.id


@pytest.fixture
async def spread(pair: Gateway, sandbox: Sandbox) -> AsyncIterator[tuple[Gateway, AsyncOpenAI, list[str]]]:
    """An open gateway, and five files in each of two accounts, in turns."""
    ids = [await made_outside(sandbox, key) for _ in range(5) for key in ("sk-a", "sk-b")]
    async with sdk(pair) as client:
        yield pair, client, ids


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 10, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_the_sdk_pages_through_all_accounts(
    spread: tuple[Gateway, AsyncOpenAI, list[str]], limit: int, order: str
) -> None:
    _, client, ids = spread

    listed = [file.id async for file in client.files.list(limit=limit, order=order)]  # type: ignore[arg-type]  # a plain str

    assert sorted(listed) == sorted(ids)
    assert len(listed) == len(ids), "none twice"


@pytest.mark.parametrize("limit", [1, 3])
async def test_an_id_that_was_learned_in_passing_hides_nothing(
    spread: tuple[Gateway, AsyncOpenAI, list[str]], limit: int
) -> None:
    """A batch names its output file, but not when that was made."""
    _, client, ids = spread
    for _ in range(2):
        file = await client.files.create(file=("b.jsonl", b'{"custom_id":"1"}'), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        done = await client.batches.retrieve(batch.id)
        ids = [*ids, file.id, str(done.output_file_id)]

    newest = [one.id async for one in client.files.list(limit=limit)]
    oldest = [one.id async for one in client.files.list(limit=limit, order="asc")]

    assert sorted(newest) == sorted(ids)
    assert oldest == newest[::-1]
    page = await client.files.list(after=ids[-1], limit=100)
    assert [one.id for one in page.data] == newest[newest.index(ids[-1]) + 1 :]


async def test_pages_have_what_openais_have(spread: tuple[Gateway, AsyncOpenAI, list[str]]) -> None:
    gateway, _, ids = spread

    first = (await gateway.get("/v1/files?limit=4")).json()
    rest = (await gateway.get(f"/v1/files?limit=100&after={first['last_id']}")).json()

    assert (first["object"], len(first["data"]), first["has_more"]) == ("list", 4, True)
    assert (first["first_id"], first["last_id"]) == (first["data"][0]["id"], first["data"][-1]["id"])
    assert (len(rest["data"]), rest["has_more"]) == (6, False)
    assert {one["id"] for one in first["data"] + rest["data"]} == set(ids)
    assert set(first["data"][0]) >= {"id", "object", "bytes", "created_at", "filename", "purpose"}


async def test_a_page_before_another_is_the_one_that_was_turned(
    spread: tuple[Gateway, AsyncOpenAI, list[str]],
) -> None:
    gateway, _, _ = spread
    whole = [one["id"] for one in (await gateway.get("/v1/files")).json()["data"]]

    back = (await gateway.get(f"/v1/files?limit=3&before={whole[6]}")).json()

    assert [one["id"] for one in back["data"]] == whole[3:6]
    assert back["has_more"]


async def test_order_is_by_time_over_all_accounts(pair: Gateway, sandbox: Sandbox, registry: Registry) -> None:
    ids = [await made_outside(sandbox, key) for key in ("sk-a", "sk-b", "sk-a", "sk-b")]
    for shelf in sandbox._service._objects._shelves.values():
        for file in shelf.listed("/files"):
            file["created_at"] = 1_700_000_000 + int(file["id"][-4:], 16)

    newest = [one["id"] for one in (await pair.get("/v1/files")).json()["data"]]
    oldest = [one["id"] for one in (await pair.get("/v1/files?order=asc&limit=3")).json()["data"]]
    after = [one["id"] for one in (await pair.get(f"/v1/files?limit=1&after={newest[1]}")).json()["data"]]

    assert (newest, oldest, after) == (ids[::-1], ids[:3], [newest[2]])


async def test_one_sees_ones_own_alone(world: World) -> None:
    mine = {await upload(world.ann, f"{number}.txt") for number in range(5)}
    theirs = {await upload(world.bob) for _ in range(3)}
    await made_outside(world.sandbox, "sk-a")

    for client, ids in ((world.ann, mine), (world.ann_too, mine), (world.ann_new, mine), (world.bob, theirs)):
        assert {file.id async for file in client.files.list(limit=2)} == ids


async def test_ones_own_in_several_accounts_are_one_list(world: World) -> None:
    ids = {await upload(world.ann)}
    home = world.seen("/v1/files", "POST")[-1]
    world.sandbox.script(Fault("rate_limited", key=home, path="/v1/files", retry_after_ms="300"))
    while len(set(world.seen("/v1/files", "POST"))) < 2:
        ids.add(await upload(world.ann))

    assert {file.id async for file in world.ann_too.files.list(limit=1)} == ids


async def test_an_owner_of_nothing_has_an_empty_list(world: World) -> None:
    await upload(world.ann)

    page = await world.bob.files.list()

    assert (page.data, page.has_more) == ([], False)
    assert (await world.bob.batches.list()).data == []


async def test_a_cursor_of_another_is_not_found(world: World) -> None:
    theirs = await upload(world.ann)
    await upload(world.bob)

    with pytest.raises(openai.BadRequestError) as refused:
        await world.bob.files.list(after=theirs)
    assert (refused.value.code, refused.value.param) == ("object_not_found", "after")


async def test_an_account_that_fails_fails_the_list(
    spread: tuple[Gateway, AsyncOpenAI, list[str]], sandbox: Sandbox
) -> None:
    _, client, _ = spread
    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60", times=None))

    with pytest.raises(openai.RateLimitError):
        await client.files.list()


async def test_a_limit_that_is_none_is_answered_by_the_upstream(spread: tuple[Gateway, AsyncOpenAI, list[str]]) -> None:
    gateway, _, _ = spread

    assert (await gateway.get("/v1/files?limit=none")).status_code == 200
    assert (await gateway.get("/v1/batches?limit=0")).status_code == 200


async def test_the_lists_of_other_kinds_are_merged_too(world: World) -> None:
    stores = {(await world.ann.vector_stores.create(name=str(number))).id for number in range(3)}
    evals = {(await client_eval(world.ann)).id for _ in range(2)}

    assert {one.id async for one in world.ann_too.vector_stores.list(limit=1)} == stores
    assert {one.id async for one in world.ann_too.evals.list(limit=1)} == evals


async def client_eval(client: AsyncOpenAI) -> "openai.types.EvalCreateResponse":
    return await client.evals.create(
        data_source_config={"type": "custom", "item_schema": {}},
        testing_criteria=[],
    )


async def test_lists_lead_to_the_provider_that_holds_something(world: World) -> None:
    """With two providers and no default one, a list names none."""
    ids = {await upload(world.ann)}
    await world.registry.add_provider("other", world.sandbox.url)
    await world.registry.add_account("sk-c", "other")
    for gateway in world.gateways:
        await gateway.serves(accounts=3)
    ids.add(await upload(world.ann, extra_headers={"x-provider": "other"}))

    assert {file.id async for file in world.ann_too.files.list(limit=1)} == ids
    named = world.ann.files.list(limit=1, extra_headers={"x-provider": "other"})
    assert len([file async for file in named]) == 1


async def test_stored_chats_are_listed(world: World) -> None:
    said = [
        await world.ann.chat.completions.create(
            model="gpt-4", messages=[{"role": "user", "content": str(number)}], store=True
        )
        for number in range(4)
    ]

    ids = {chat.id for chat in said}
    assert {one.id async for one in world.ann_too.chat.completions.list(limit=2)} <= ids


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/files/", 404),
        ("/v1//files", 404),
        ("/v1/%66iles", 404),
        ("/v1/Files", 404),
        ("/v1/%66iles/{id}", 404),
        ("/v1/files/{id}/", 404),
        ("/v1/files/{id}/more", 404),
        ("/v1/files?limit=none", 400),
        ("/v1/files?order=up", 400),
    ],
)
async def test_no_spelling_of_a_path_shows_what_is_anothers(world: World, path: str, status: int) -> None:
    theirs = await upload(world.ann)
    asked = len(world.sandbox.log)

    answer = await world.gateways[0].client.get(
        path.format(id=theirs), headers={"authorization": f"Bearer {world.bob.api_key}"}
    )

    assert answer.status_code == status
    assert '"filename"' not in answer.text
    assert len(world.sandbox.log) == asked
