from functools import partial

import msgspec
import pytest

from gateway.core.errors import ObjectNotFound
from gateway.relay.batch_file import LOOKED_UP, read_batch
from gateway.relay.spooled import Spool, SpooledBody
from gateway.wire.multipart import FormReader
from tests.fakes.stateful_kit import World

LINE = (
    b'{"custom_id":"%d","method":"POST","url":"/v1/responses","body":{"model":"m","previous_response_id":"resp_%d"}}\n'
)
MANY = 12_000
HEAD = (
    b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--X\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
)


async def uploaded(file: bytes) -> tuple[Spool, SpooledBody]:
    spool, reader = Spool(), FormReader(b"X")
    for piece in (HEAD, file, b"\r\n--X--\r\n"):
        reader.feed(piece)
        await spool.add(piece)
    return spool, await spool.finish(reader.form)


@pytest.mark.usefixtures("ended_writers")
async def test_a_file_may_name_as_many_objects_as_it_has_lines() -> None:
    world = World()
    world.has("resp_0", "b", kind="responses")
    await world.settled()
    first = world.store.rows["resp_0"]
    for number in range(1, MANY):
        world.store.rows[f"resp_{number}"] = msgspec.structs.replace(first, id=f"resp_{number}")
    spool, body = await uploaded(b"".join(LINE % (number, number) for number in range(MANY)))

    lines = await read_batch(body, partial(world.affinity.narrowed, world.call("/files")))
    spool.close()

    assert lines is not None
    assert lines.lines == MANY
    assert [one.id for one in lines.references] == ["resp_0"]
    assert max(map(len, world.store.finds)) <= LOOKED_UP + 1


@pytest.mark.usefixtures("ended_writers")
async def test_the_last_of_many_objects_is_looked_at_as_the_first() -> None:
    world = World()
    for number in range(2 * LOOKED_UP):
        world.has(f"resp_{number}", "b", kind="responses")
    world.has(f"resp_{2 * LOOKED_UP}", "b", kind="responses", owner="bob")
    spool, body = await uploaded(b"".join(LINE % (number, number) for number in range(2 * LOOKED_UP + 1)))

    with pytest.raises(ObjectNotFound) as refused:
        await read_batch(body, partial(world.affinity.narrowed, world.call("/files")))
    spool.close()

    assert refused.value.param == f"file[{2 * LOOKED_UP}].previous_response_id"


@pytest.mark.usefixtures("ended_writers")
async def test_what_lines_name_and_nobody_knows_is_not_learned_by_an_upload() -> None:
    world = World()
    prompt = b'{"body":{"model":"m","prompt":{"id":"pmpt_1"}}}\n'
    spool, body = await uploaded(prompt)

    lines = await read_batch(body, partial(world.affinity.narrowed, world.call("/files")))
    spool.close()

    assert lines is not None
    assert lines.references == []
