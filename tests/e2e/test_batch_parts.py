"""A batch's file that comes in parts: its lines name what its sender may use, wherever parts begin and end."""

import asyncio
import io
import json

import openai
import pytest
from openai import AsyncOpenAI

from tests.e2e.owners import ADMIN, World, respond
from tests.fakes.gateway_fixture import until
from tests.fakes.plain_sdk import plain_sdk

FORM = "application/jsonl"


def line(model: str = "gpt-4", text: str = "hi", **fields: object) -> bytes:
    body = {"model": model, "input": text, **fields}
    return json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": body}).encode() + b"\n"


async def sent(
    clients: list[AsyncOpenAI], parts: list[bytes], *, order: list[int] | None = None
) -> openai.types.Upload:
    """The upload, begun at the first client; its parts in this order, each through the next client."""
    size = sum(map(len, parts))
    upload = await clients[0].uploads.create(bytes=size, filename="in.jsonl", mime_type=FORM, purpose="batch")
    ids = {}
    for turn, place in enumerate(order or range(len(parts))):
        client = clients[turn % len(clients)]
        ids[place] = (await client.uploads.parts.create(upload.id, data=parts[place])).id
    return await clients[-1].uploads.complete(upload.id, part_ids=[ids[place] for place in sorted(ids)])


async def test_a_file_in_parts_makes_a_batch_through_any_replica_in_any_order(world: World) -> None:
    made = await world.ann.files.create(file=("a.txt", b"x"), purpose="user_data")
    file = line() + line(tools=[{"type": "code_interpreter", "file_ids": [made.id]}]) + line(text="ä" * 99)
    cut, further = len(line()) + 40, len(file) - 31
    parts = [file[:cut], file[cut:further], file[further:]]

    upload = await sent([world.ann, world.ann_too], parts, order=[2, 0, 1])

    assert upload.file is not None
    assert (await world.ann_too.files.content(upload.file.id)).content == file
    batch = await world.ann.batches.create(
        input_file_id=upload.file.id, endpoint="/v1/responses", completion_window="24h"
    )
    assert (await world.ann.batches.retrieve(batch.id)).status == "completed"


async def test_the_sdks_own_way_of_cutting_works(world: World) -> None:
    file = line(text="x" * 500) * 200

    upload = await world.ann.uploads.upload_file_chunked(
        file=file, filename="in.jsonl", bytes=len(file), mime_type=FORM, purpose="batch", part_size=7_777
    )

    assert upload.file is not None
    assert (await world.ann.files.content(upload.file.id)).content == file


@pytest.mark.parametrize("border", ["in a part", "over a border", "before the first line end", "at the end"])
async def test_anothers_object_is_found_wherever_it_stands(world: World, border: str) -> None:
    theirs = await respond(world.ann)
    evil = line(previous_response_id=theirs.id)
    place = len(line()) + evil.index(theirs.id.encode()) + 3
    file = line() + evil + line()
    parts = {
        "in a part": [line() + evil + line(), line()],
        "over a border": [file[:place], file[place:]],
        "before the first line end": [evil, line()],
        "at the end": [line(), evil.rstrip()],
    }[border]

    with pytest.raises(openai.BadRequestError) as refused:
        await sent([world.bob], parts)

    assert refused.value.code == "previous_response_not_found" or "not found" in str(refused.value)
    assert not any("complete" in one.path for one in world.sandbox.log)


async def test_an_id_that_only_one_order_makes_is_found_in_that_order(world: World) -> None:
    theirs = await respond(world.ann)
    evil = line(previous_response_id=theirs.id)
    place = evil.index(theirs.id.encode()) + 5
    upload = await world.bob.uploads.create(bytes=1, filename="in.jsonl", mime_type=FORM, purpose="batch")
    tail, head, none = [
        (await world.bob.uploads.parts.create(upload.id, data=data)).id
        for data in (evil[place:], line() + evil[:place], line().rstrip())
    ]

    with pytest.raises(openai.BadRequestError) as refused:
        await world.bob.uploads.complete(upload.id, part_ids=[head, tail])
    with pytest.raises(openai.BadRequestError) as unknown:
        await world.bob.uploads.complete(upload.id, part_ids=[none, "part_of_another"])
    with pytest.raises(openai.BadRequestError) as twice:
        await world.bob.post(
            f"/uploads/{upload.id}/complete",
            cast_to=object,
            content=b'{"part_ids":["%b"],"part_ids":["%b","%b"]}' % (none.encode(), head.encode(), tail.encode()),
        )
    done = await world.bob.uploads.complete(upload.id, part_ids=[none])

    assert theirs.id in str(refused.value)
    assert unknown.value.code == "invalid_batch_file"
    assert twice.value.code == "duplicate_member"
    assert done.status == "completed"


async def test_models_that_the_key_may_not_use_are_refused_also_over_a_border(world: World) -> None:
    made = await world.gateways[0].client.post(
        "/api/v1/keys", json={"name": "few", "owner": "ann", "models": ["gpt-4"]}, headers=ADMIN
    )
    await until(lambda: len(world.gateways[0].snapshot.keys) == 4, "the key")
    async with plain_sdk(world.gateways[0].url, made.json()["key"]) as few:
        other = line("gpt-4o")
        for parts in ([line() + other + line()], [line() + other[:80], other[80:]]):
            with pytest.raises(openai.PermissionDeniedError) as refused:
                await sent([few], parts)
            assert refused.value.code == "model_not_allowed"
        assert (await sent([few], [line() + line()[:50], line()[50:]])).status == "completed"


async def test_a_name_that_routes_change_is_refused_for_the_lines_stay_as_they_are(world: World) -> None:
    await world.registry.add_route("fast", upstream_model="gpt-4")
    await until(lambda: "fast" in world.gateways[0].snapshot.exact_routes, "the route")

    with pytest.raises(openai.BadRequestError, match="`fast`") as refused:
        await sent([world.ann], [line() + line("fast") + line()])

    assert refused.value.code == "invalid_batch_file"
    assert (await sent([world.ann], [line("gpt-4")])).status == "completed"


async def test_other_uploads_pass_unread(world: World) -> None:
    upload = await world.bob.uploads.create(bytes=6, filename="a", mime_type="x/y", purpose="user_data")
    part = await world.bob.uploads.parts.create(upload.id, data=io.BytesIO(b"\nno\nlines"))

    done = await world.bob.uploads.complete(upload.id, part_ids=[part.id])

    assert done.file is not None
    assert (await world.bob.files.content(done.file.id)).content == b"\nno\nlines"


async def test_parts_that_come_at_once_are_all_kept(world: World) -> None:
    file = line() * 40
    cuts = range(0, len(file), 33)
    upload = await world.ann.uploads.create(bytes=len(file), filename="in.jsonl", mime_type=FORM, purpose="batch")

    parts = await asyncio.gather(
        *(
            (world.ann, world.ann_too)[turn % 2].uploads.parts.create(upload.id, data=file[at : at + 33])
            for turn, at in enumerate(cuts)
        )
    )
    done = await world.ann.uploads.complete(upload.id, part_ids=[part.id for part in parts])

    assert done.file is not None
    assert (await world.ann.files.content(done.file.id)).content == file
