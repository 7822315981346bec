"""Lists over the accounts."""

from datetime import UTC, datetime

import msgspec
import pytest

from gateway.core.affinity import Bound
from gateway.core.errors import NoAccountAvailable
from gateway.relay.job import Job
from gateway.relay.metering import Progress
from tests.fakes.relay_kit import refusal
from tests.fakes.scripted_upstream import JSON_HEADERS, Reply
from tests.fakes.stateful_kit import World

pytestmark = pytest.mark.usefixtures("ended_writers")


def listed(*ids: str, has_more: bool = False) -> Reply:
    data = [{"id": id_, "object": "file", "created_at": 1_700_000_000 + int(id_[5:])} for id_ in ids]
    return Reply(200, JSON_HEADERS, (msgspec.json.encode({"object": "list", "data": data, "has_more": has_more}),))


async def test_a_list_is_merged_and_sifted() -> None:
    world = World()
    for id_, owner in (("file-1", "ann"), ("file-3", "bob"), ("file-5", "ann")):
        world.has(id_, "a", owner=owner)
    world.has("file-4", "b")
    world.kit.clock.move(1.0)
    await world.settled()
    world.kit.upstream.on("sk-a", listed("file-9", "file-5", "file-3", "file-1"))
    world.kit.upstream.on("sk-b", listed("file-4", "file-2"))

    answer = await world.served(world.call("/files", "GET"))

    page = msgspec.json.decode(answer.body)
    assert [item["id"] for item in page["data"]] == ["file-5", "file-4", "file-1"]
    assert (page["has_more"], page["last_id"]) == (False, "file-1")


async def test_so_many_objects_of_others_that_nothing_is_left_is_said() -> None:
    world = World("a")
    world.has("file-1")
    await world.settled()
    pages = [listed(f"file-{number}", has_more=True) for number in range(200, 1000)]
    world.kit.upstream.on("sk-a", *pages)
    call = world.call("/files", "GET")
    progress = Progress(call, world.kit.meter, world.kit.clock, world.kit.clock.now())

    with pytest.raises(NoAccountAvailable) as refused:
        await world.relay.relay_call(Job(call, world.kit.board.pools.pool_for(call), (), b"", progress, bound=Bound()))

    assert refused.value.code == "list_incomplete"


async def test_a_cursor_that_the_upstream_lost_is_gone_round() -> None:
    world = World()
    world.has("file-5", "a")
    world.has("file-4", "b")
    await world.settled()
    lost = "file-900"
    world.has(lost, "b", owner="bob")
    await world.settled()
    row = world.store.rows[lost]
    world.store.rows[lost] = msgspec.structs.replace(row, created_at=datetime.fromtimestamp(1_700_000_006, UTC))
    world.store.rows["file-5"] = msgspec.structs.replace(
        world.store.rows["file-5"], created_at=datetime.fromtimestamp(1_700_000_005, UTC)
    )
    world.known._known.clear()
    world.kit.upstream.on("sk-a", listed())
    world.kit.upstream.on("sk-b", refusal(404, "no such cursor"), listed("file-4"))

    answer = await world.served(world.call("/files", "GET", query=b"after=file-5"))

    assert [item["id"] for item in msgspec.json.decode(answer.body)["data"]] == ["file-4"]
    queries = [attempted.request.target for attempted in world.kit.upstream.attempts if attempted.key == "sk-b"]
    assert [b"after=file-900" in query for query in queries] == [True, False]
