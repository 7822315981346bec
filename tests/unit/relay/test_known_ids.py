import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from gateway.core.affinity import Binding
from gateway.core.ids import AccountId, ProviderId
from gateway.relay.known_ids import KnownIds
from tests.fakes.clock import FakeClock
from tests.fakes.id_store import MemoryIds

AT = datetime(2026, 11, 21, tzinfo=UTC)


def binding(id_: str, account: str = "a", owner: str | None = "ann") -> Binding:
    return Binding(
        id=id_,
        kind="files",
        provider_id=ProviderId("openai"),
        account_id=AccountId(account),
        owner=owner,
        realm=None,
        created_at=AT,
    )


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryIds()
        self.known = KnownIds(self.store, clock=self.clock, max_known=3, max_held=4)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    task = asyncio.create_task(world.known.run())
    yield world
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_learned_is_known_at_once_and_stored_before_the_answer(world: World) -> None:
    saved = world.known.learn([binding("file-1")])
    assert saved is not None

    await world.known.stored(saved)

    assert world.known.get("file-1") == binding("file-1")
    assert world.store.rows == {"file-1": binding("file-1")}
    assert world.known.learn([binding("file-1")]) is None, "nothing new"


async def test_what_comes_while_a_batch_is_written_is_the_next_batch(world: World) -> None:
    world.store.held = asyncio.Event()
    world.known.learn([binding("file-1")])
    await world.clock.settle()
    second = world.known.learn([binding("file-2")])
    third = world.known.learn([binding("file-3")])
    assert second is third is not None

    world.store.held.set()
    await world.known.stored(third)

    assert world.store.writes == [["file-1"], ["file-2", "file-3"]]


async def test_an_answer_waits_no_longer_than_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.relay.known_ids.STORED_WITHIN_S", 0.01)
    world.store.held = asyncio.Event()
    saved = world.known.learn([binding("file-1")])
    assert saved is not None

    await world.known.stored(saved)

    assert not saved.is_set()


async def test_an_id_never_changes_its_owner(world: World) -> None:
    world.known.learn([binding("file-1")])

    assert world.known.learn([binding("file-1", "b", "bob"), binding("file-1", "b", None)]) is None
    assert world.known.get("file-1") == binding("file-1")
    assert world.known.learn([binding("file-1", "b")]) is not None
    assert world.known.get("file-1") == binding("file-1", "b")


async def test_only_what_the_memory_lacks_is_asked_for(world: World) -> None:
    world.store.rows = {id_: binding(id_) for id_ in ("file-1", "file-2")}

    assert await world.known.find(["file-1", "file-none"]) == ({"file-1": binding("file-1")}, True)
    found, is_certain = await world.known.find(["file-1", "file-2"])

    assert (set(found), is_certain) == ({"file-1", "file-2"}, True)
    assert world.store.finds == [["file-1", "file-none"], ["file-2"]]
    await world.known.find(["file-1"])
    assert len(world.store.finds) == 2


async def test_the_memory_is_bounded_and_the_longest_unused_goes_first(world: World) -> None:
    for number in (1, 2, 3):
        world.known.learn([binding(f"file-{number}")])
    await world.clock.settle()
    world.known.get("file-1")
    world.known.learn([binding("file-4")])
    await world.clock.settle()

    assert [id_ for id_ in ("file-1", "file-2", "file-3", "file-4") if world.known.get(id_)] == [
        "file-1",
        "file-3",
        "file-4",
    ]
    assert set((await world.known.find(["file-2"]))[0]) == {"file-2"}, "the table has it"


async def test_with_postgres_gone_ids_stay_and_follow_later(world: World) -> None:
    world.store.is_away = True
    world.known.learn([binding("file-1")])
    await world.clock.settle()
    assert world.known.is_away

    saved = world.known.learn([binding("file-2")])
    assert saved is not None
    await world.known.stored(saved)  # at once: nobody waits for who is away
    assert await world.known.find(["file-1", "file-9"]) == ({"file-1": binding("file-1")}, False)

    world.store.is_away = False
    await world.clock.advance(1.0)
    assert set(world.store.rows) == {"file-1", "file-2"}
    assert not world.known.is_away


async def test_what_waits_for_postgres_is_bounded(world: World) -> None:
    world.store.is_away = True
    world.known.learn([binding(f"file-{number}") for number in range(6)])
    await world.clock.settle()

    world.store.is_away = False
    await world.clock.advance(1.0)

    assert set(world.store.rows) == {f"file-{number}" for number in (2, 3, 4, 5)}
    assert world.known.dropped == 2


async def test_what_is_forgotten_is_unknown_at_once_and_gone_from_the_table(world: World) -> None:
    saved = world.known.learn([binding("file-1")])
    assert saved is not None
    await world.known.stored(saved)

    world.known.forget(["file-1"])
    assert await world.known.find(["file-1"]) == ({}, True)
    await world.clock.settle()

    assert world.store.rows == {}


async def test_something_newer_is_not_lost_while_the_older_is_written(world: World) -> None:
    world.store.held = asyncio.Event()
    world.known.learn([binding("file-1", "a")])
    await world.clock.settle()
    world.known.learn([binding("file-1", "b")])

    world.store.held.set()
    await world.clock.settle()

    assert world.store.rows["file-1"].account_id == "b"


async def test_what_is_held_at_the_end_is_stored() -> None:
    world = World()
    world.known.learn([binding("file-1")])

    await world.known.close()

    assert set(world.store.rows) == {"file-1"}


async def test_an_end_with_postgres_away_waits_for_nobody() -> None:
    world = World()
    world.store.is_away = True
    world.known.learn([binding("file-1")])

    await world.known.close()

    assert world.store.rows == {}


async def test_a_table_that_does_not_answer_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.relay.known_ids.FIND_TIMEOUT_S", 0.01)

    async def hangs(_ids: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(world.store, "find", hangs)

    assert await world.known.find(["file-1"]) == ({}, False)


async def test_an_answer_that_shows_an_id_of_another_owner_makes_it_nobody_elses(world: World) -> None:
    """It may repeat what the caller wrote: `tools[0].parameters`, say."""
    world.store.rows = {"file-1": binding("file-1")}

    shown = world.known.learn([binding("file-1", "b", "bob")])
    assert shown is not None
    await world.known.stored(shown)

    assert await world.known.find(["file-1"]) == ({"file-1": binding("file-1")}, True)
    assert world.known.get("file-1") == binding("file-1")


async def test_the_table_is_asked_whose_an_id_is_before_it_is_stored(world: World) -> None:
    world.store.rows = {"file-1": binding("file-1")}
    world.store.held = asyncio.Event()
    world.known.learn([binding("file-1", "b", "bob"), binding("file-2", "b", "bob")])

    assert await world.known.find(["file-1", "file-2"]) == (
        {"file-1": binding("file-1"), "file-2": binding("file-2", "b", "bob")},
        True,
    )


async def test_what_was_made_is_known_without_asking_the_table(world: World) -> None:
    """Postgres may hang: who made an object can go on using it at once."""
    world.store.held = asyncio.Event()
    world.known.learn([binding("file-1")], made=["file-1"])

    assert await world.known.find(["file-1"]) == ({"file-1": binding("file-1")}, True)
    assert world.store.finds == []
