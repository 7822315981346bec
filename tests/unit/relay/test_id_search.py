import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from gateway.core.affinity import Binding, Reference, one_of_each_realm
from gateway.core.errors import LimitReached, NoAccountAvailable
from gateway.core.ids import AccountId
from gateway.core.outcome import Fault, FaultKind
from gateway.core.snapshot import Account
from gateway.relay.id_search import IdSearch
from tests.fakes.relay_kit import RelayKit, account, refusal
from tests.fakes.scripted_upstream import Reply, Script

FILE = Reference("file-1", "files")
HERE = Reply(pieces=(b'{"id":"file-1","object":"file","created_at":1700000000}',))
MISSING = refusal(404, "No such File object: file-1")
BUSY = refusal(429, "later", code="rate_limit_exceeded")


def sibling(name: str) -> Account:
    row = account(name)
    credential = msgspec.structs.replace(row.credential, project="proj_1")
    return msgspec.structs.replace(row, credential=credential)


class World:
    def __init__(self, *accounts: str | Account) -> None:
        self.kit = kit = RelayKit(*accounts)
        self.search = IdSearch(asking=kit.asking, clock=kit.clock)
        self.groups = one_of_each_realm(kit.board.snapshot, kit.board.snapshot.accounts.values())

    async def find(self, reference: Reference = FILE, caller: str = "ann") -> Binding | None:
        return await self.kit.finished(self.search.find(reference, self.kit.board.snapshot, self.groups, caller))

    def script(self, *replies: Script) -> None:
        """What each of the accounts says from now on."""
        for account_id, reply in zip(self.kit.board.snapshot.accounts, replies, strict=True):
            self.kit.upstream.on(f"sk-{account_id}", reply)

    @property
    def asked(self) -> list[bytes]:
        return [attempted.request.target for attempted in self.kit.upstream.attempts]


async def test_the_account_that_has_it_is_found() -> None:
    world = World("a", "b", "c")
    world.script(MISSING, HERE, MISSING)

    found = await world.find()

    assert found is not None
    assert (found.account_id, found.owner, found.kind) == (AccountId("b"), None, "files")
    assert found.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert world.asked == [b"/v1/files/file-1"] * 3


async def test_a_miss_is_believed_for_a_minute() -> None:
    world = World("a", "b")
    world.script(MISSING, MISSING)

    assert await world.find() is None
    assert await world.find() is None
    assert len(world.asked) == 2

    world.kit.clock.move(61.0)
    world.script(MISSING, HERE)
    assert await world.find() is not None


async def test_an_account_more_makes_a_miss_uncertain() -> None:
    world = World("a", "b")
    world.script(MISSING, MISSING)
    assert await world.find() is None

    world.kit.set_accounts("a", "b", "c")
    world.groups = [(AccountId(name),) for name in "abc"]
    world.script(MISSING, MISSING, HERE)

    assert await world.find() is not None


@pytest.mark.parametrize(
    "trouble",
    [BUSY, refusal(500), refusal(401), Fault(FaultKind.CONNECT, "refused")],
    ids=["busy", "broken", "rejected", "unreachable"],
)
async def test_who_cannot_say_is_not_believed(trouble: Reply) -> None:
    world = World("a", "b")
    world.script(MISSING, trouble)

    with pytest.raises(NoAccountAvailable) as refused:
        await world.find()
    assert refused.value.code == "id_search_incomplete"

    world.script(MISSING, HERE)
    assert await world.find() is not None


async def test_a_find_counts_whoever_else_cannot_say() -> None:
    world = World("a", "b")
    world.script(BUSY, HERE)

    assert await world.find() is not None


async def test_of_a_project_one_is_asked_and_a_sibling_in_its_place() -> None:
    world = World(sibling("a"), sibling("b"), "c")
    world.script(MISSING, MISSING, MISSING)
    assert await world.find() is None
    assert len(world.asked) == 2

    other = Reference("file-2", "files")
    world.script(BUSY, MISSING, HERE)
    assert await world.find(other) is not None


async def test_eight_are_asked_at_a_time() -> None:
    world = World(*(f"a{number:02}" for number in range(20)))
    world.script(*[Reply(404, wait_s=1.0, pieces=(b"{}",)) for _ in range(20)])

    task = asyncio.create_task(world.find())
    await world.kit.clock.settle()
    assert len(world.asked) == 8
    assert await world.kit.finished(task) is None
    assert len(world.asked) == 20


async def test_calls_that_name_the_same_id_share_one_search() -> None:
    world = World("a", "b")
    world.script(Reply(200, wait_s=1.0, pieces=HERE.pieces), Reply(404, wait_s=1.0, pieces=MISSING.pieces))

    found = await world.kit.finished(
        asyncio.gather(*(world.search.find(FILE, world.kit.board.snapshot, world.groups, "ann") for _ in range(5)))
    )

    assert {one and one.account_id for one in found} == {"a"}
    assert len(world.asked) == 2


async def test_a_caller_that_leaves_stops_nobody_elses_search() -> None:
    world = World("a")
    world.script(Reply(200, wait_s=1.0, pieces=HERE.pieces))
    first = asyncio.create_task(world.search.find(FILE, world.kit.board.snapshot, world.groups, "ann"))
    await world.kit.clock.settle()

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    assert await world.find() is not None
    assert len(world.asked) == 1


async def test_searches_of_a_key_are_bounded() -> None:
    world = World("a", "b")
    world.script(MISSING, MISSING)

    for number in range(60):
        await world.find(Reference(f"file-{number}", "files"))
    with pytest.raises(LimitReached) as refused:
        await world.find(Reference("file-60", "files"))
    assert (refused.value.code, len(world.asked)) == ("too_many_id_searches", 120)
    assert await world.find(Reference("file-x", "files"), "bob") is None, "each key for itself"

    world.kit.clock.move(1.5)
    assert await world.find(Reference("file-y", "files")) is None


async def test_what_must_be_said_to_read_an_assistant_is_said() -> None:
    world = World("a", "b")
    world.script(MISSING, MISSING)

    await world.find(Reference("asst_1", "assistants"))

    assert (b"openai-beta", b"assistants=v2") in world.kit.upstream.attempts[0].request.headers
    assert world.asked == [b"/v1/assistants/asst_1"] * 2


async def test_an_id_cannot_leave_its_collection() -> None:
    world = World("a", "b")
    world.script(MISSING, MISSING)

    await world.find(Reference("../models?x=/y", "files"))

    assert world.asked == [b"/v1/files/..%2Fmodels%3Fx%3D%2Fy"] * 2


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"created_at":"x"}'])
async def test_an_object_that_does_not_say_when_it_was_made_is_found_all_the_same(body: bytes) -> None:
    world = World("a")
    world.script(Reply(pieces=(body,)))

    found = await world.find()

    assert found is not None
    assert found.created_at is None
