import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from gateway.core.ids import AccountId
from gateway.core.organizations import Membership
from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.core.uses import Audience
from gateway.store.affinity import BATCH
from gateway.store.engine import StoreUnavailable
from gateway.upkeep import IdUpkeep, ParkUpkeep, UsesUpkeep
from tests.fakes.relay_kit import RelayKit
from tests.waits import PATIENCE_S

# -- parks -------------------------------------------------------------------------------------------------------


class Table:
    """Fits `ParkTable`, as far as it is read: `a` is parked; away as long as `is_away` says."""

    def __init__(self, kit):
        at = kit.clock.wall_now()
        until = at + timedelta(seconds=60)
        scope = Scope(ScopeKind.ACCOUNT, "a")
        reason = OutcomeKind.OUT_OF_QUOTA
        self.park = Park(scope=scope, reason=reason, strikes=1, since_at=at, until_at=until, probe_at=until)
        self.is_away = False
        self.reads = 0

    async def load(self):
        self.reads += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return [self.park], [Membership(AccountId("b"), "org-1", False)]


@pytest.fixture
def kit():
    return RelayKit("a", "b")


async def test_what_the_table_keeps_is_heard(kit):
    upkeep = ParkUpkeep(table=Table(kit), board=kit.board)

    await upkeep.read()

    assert kit.serving() == {"b"}
    assert kit.board.pools.affiliations.learned(AccountId("b"), kit.board.snapshot).organization == "org-1"


async def test_it_is_read_again_after_a_reconnect_and_only_then(kit):
    table = Table(kit)
    upkeep = ParkUpkeep(table=table, board=kit.board)
    reading = asyncio.create_task(upkeep.read_again())
    await kit.clock.settle()
    assert table.reads == 0

    upkeep.note_resync()
    await reading

    assert (table.reads, kit.serving()) == (1, {"b"})


async def test_a_reading_that_failed_is_owed(kit):
    table = Table(kit)
    table.is_away = True
    upkeep = ParkUpkeep(table=table, board=kit.board)

    upkeep.note_resync()
    await upkeep.read_again()
    assert kit.serving() == {"a", "b"}
    table.is_away = False
    await upkeep.read_again()

    assert (table.reads, kit.serving()) == (2, {"b"})


# -- ids ---------------------------------------------------------------------------------------------------------


async def test_ids_that_passed_go_in_batches_with_pauses(kit):
    batches, old = [BATCH, BATCH, 3], []

    class Ids:
        async def delete_passed(self):
            return batches.pop(0)

    class Owed:
        async def delete_old(self):
            old.append("deleted")

    await kit.finished(IdUpkeep(ids=Ids(), others=[Owed()], clock=kit.clock).delete_passed())

    assert (batches, old, kit.clock.slept) == ([], ["deleted"], [0.5, 0.5])


# -- uses --------------------------------------------------------------------------------------------------------


class Told:
    """What each audience was told; fits announcer and neighbours, and headrooms whose answers are the questions."""

    def __init__(self, *, has_neighbours):
        self.are_there = has_neighbours
        self.replicas, self.neighbours, self.lines = [], [], []
        self.announce_uses, self.tell = self.replicas.append, self.neighbours.append
        self.on_news = None

    def near(self, now, audience):
        return ("near", audience, now)

    def news(self, now, audience):
        return ("news", audience, now)

    def fresh_news(self, now):
        return ("fresh", now)

    def tell_neighbours(self, when):
        self.on_news = when

    def note_lines(self, lines, now):
        self.lines.append((lines, now))


def uses_upkeep(told, kit):
    board, waiting = SimpleNamespace(headrooms=told, pools=told), SimpleNamespace(lines=["line"])
    return UsesUpkeep((told, told), board=board, waiting=waiting, clock=kit.clock)


@pytest.mark.parametrize("has_neighbours", [True, False])
async def test_what_is_near_its_limit_is_told_whole_and_news_often(kit, has_neighbours):
    told, now = Told(has_neighbours=has_neighbours), kit.clock.now()
    upkeep = uses_upkeep(told, kit)

    await upkeep.announce()
    await upkeep.announce_news()

    assert told.replicas == [("near", Audience.REPLICAS, now), ("news", Audience.REPLICAS, now)]
    assert told.neighbours == [(kind, Audience.NEIGHBOURS, now) for kind in ("near", "news") if has_neighbours]
    assert told.lines == [(["line"], now)]
    assert (told.on_news is not None) is has_neighbours


async def test_neighbours_are_told_soon_after_a_call(kit):
    told, heard = Told(has_neighbours=True), asyncio.Queue()
    told.tell = heard.put_nowait
    uses_upkeep(told, kit)

    told.on_news()

    async with asyncio.timeout(PATIENCE_S):
        assert await heard.get() == ("fresh", kit.clock.now())
