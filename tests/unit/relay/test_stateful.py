"""Creations go home, and next door where home has no room."""

import pytest

from gateway.core.errors import OutcomeUnknown
from tests.fakes.relay_kit import BROKEN, rate_limited
from tests.fakes.scripted_upstream import Reply
from tests.fakes.stateful_kit import World

pytestmark = pytest.mark.usefixtures("ended_writers")


async def test_an_owners_creations_go_home() -> None:
    homes = {}
    for owner in ("ann", "bob", "cid", "dan", "eve", None):
        world = World("a", "b", "c")
        for key in ("sk-a", "sk-b", "sk-c"):
            world.kit.upstream.on(key, Reply(pieces=(b'{"id":"x"}',)))
        for path in ("/files", "/vector_stores", "/threads", "/uploads"):
            await world.served(world.call(path, owner=owner))
        assert len(set(world.kit.upstream.keys)) == 1
        homes[owner] = world.kit.upstream.keys[0]

    assert len(set(homes.values())) > 1


async def test_who_cannot_take_it_at_home_goes_next_door() -> None:
    world = World("a", "b", "c")
    replies = {key: Reply(pieces=(b'{"id":"x"}',)) for key in ("sk-a", "sk-b", "sk-c")}
    for key, reply in replies.items():
        world.kit.upstream.on(key, reply)
    await world.served(world.call("/files"))
    home = world.kit.upstream.keys[0]
    world.kit.upstream.on(home, rate_limited(30.0))

    answer = await world.served(world.call("/files"))

    assert answer.status == 200
    assert len(world.kit.upstream.keys) == 3


async def test_a_creation_whose_end_is_unknown_is_not_made_next_door() -> None:
    world = World("a", "b", "c")
    for key in ("sk-a", "sk-b", "sk-c"):
        world.kit.upstream.on(key, BROKEN)

    with pytest.raises(OutcomeUnknown):
        await world.served(world.call("/files"))

    assert len(world.kit.upstream.keys) == 1


async def test_where_nobody_has_room_the_caller_waits_as_any_other() -> None:
    world = World("a", "b")
    for key in ("sk-a", "sk-b"):
        world.kit.upstream.on(key, rate_limited(2.0), Reply(pieces=(b'{"id":"x"}',)))

    answer = await world.served(world.call("/files"))

    assert (answer.status, len(world.kit.upstream.keys)) == (200, 3)
