"""Where calls go for what they name, and what is learned from their answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random

import msgspec
import pytest

from gateway.core.affinity import Binding, Bound, Reference
from gateway.core.call import Call
from gateway.core.errors import InvalidCall, ModelNotFound, NoAccountAvailable, ObjectNotFound
from gateway.core.ids import AccountId, CallId, ModelName, ProviderId
from gateway.core.outcome import OutcomeKind
from gateway.core.snapshot import Account
from gateway.relay.affinity import Affinity
from gateway.relay.answer import Answer
from gateway.relay.id_search import IdSearch
from gateway.relay.job import Job
from gateway.relay.known_ids import KnownIds
from gateway.relay.learning import Learning
from gateway.relay.lists import Lists
from gateway.relay.metering import Progress
from gateway.relay.stateful import StatefulRelay
from gateway.wire.endpoints import find
from gateway.wire.references import references_of
from tests.fakes.id_store import MemoryIds
from tests.fakes.relay_kit import BROKEN, EVENT_HEADERS, RelayKit, account, rate_limited, refusal
from tests.fakes.scripted_upstream import JSON_HEADERS, Reply

AT = datetime(2026, 11, 21, tzinfo=UTC)
FILE = Reference("file-1", "files", "input_file_id")
PATH = Reference("file-1", "files")
MADE = b'{"id":"file-1","object":"file","created_at":1700000000}'
NOT_HERE = refusal(404, "No such File object")


RUNNING: list["asyncio.Task[None]"] = []
"""Writers of the worlds of one test."""


@pytest.fixture(autouse=True)
async def _writers() -> AsyncIterator[None]:
    yield
    for task in RUNNING:
        task.cancel()
    await asyncio.gather(*RUNNING, return_exceptions=True)
    RUNNING.clear()


class World:
    """A relay with ids around it; `ann` calls, unless said otherwise."""

    def __init__(self, *accounts: str | Account, is_shared: bool = True) -> None:
        self.kit = kit = RelayKit(*(accounts or ("a", "b")))
        self.store = MemoryIds()
        self.store.accounts = set(kit.board.snapshot.accounts)
        self.known = KnownIds(self.store, clock=kit.clock)
        search = IdSearch(asking=kit.asking, clock=kit.clock)
        self.affinity = Affinity(
            board=kit.board, known=self.known, store=self.store, search=search, is_shared=is_shared
        )
        lists = Lists(
            board=kit.board,
            affinity=self.affinity,
            known=self.known,
            store=self.store,
            relay=kit.relay.relay_call,
        )
        learning = Learning(board=kit.board, known=self.known)
        RUNNING.append(asyncio.create_task(self.known.run()))
        self.relay = StatefulRelay(
            relay=kit.relay, lists=lists, learning=learning, board=kit.board, clock=kit.clock, rng=Random(1)
        )

    def has(self, id_: str, account_id: str = "a", *, owner: str | None = "ann", kind: str = "files") -> None:
        self.known.learn(
            [
                Binding(
                    id=id_,
                    kind=kind,
                    provider_id=ProviderId("openai"),
                    account_id=AccountId(account_id),
                    owner=owner,
                    realm=None,
                    created_at=AT,
                )
            ]
        )

    def call(self, path: str, method: str = "POST", owner: str | None = "ann", **fields: object) -> Call:
        endpoint = find(method, path)
        assert endpoint is not None
        return Call(id=CallId("c"), endpoint=endpoint, path=path, owner=owner, **fields)

    async def bind(
        self, *named: Reference, path: Reference | None = None, owner: str | None = "ann", **fields: object
    ) -> tuple[Call, Bound]:
        call = self.call("/batches", owner=owner, **fields)
        return await self.kit.finished(self.affinity.bind(call, path, named))

    async def served(self, call: Call, body: bytes = b"{}") -> Answer:
        """The call from its reading to its answer."""
        fields = msgspec.json.decode(body)
        named = references_of(call, fields)
        call, bound = await self.kit.finished(
            self.affinity.bind(call, named.path, named.others, keeps_chats=named.keeps_chats)
        )
        progress = Progress(call, self.kit.meter, self.kit.clock, self.kit.clock.now())
        job = Job(call, self.kit.board.pools.pool_for(call), (), body, progress, body, bound=bound)
        return await self.kit.finished(self.relay.relay_call(job))

    async def settled(self) -> None:
        """What was learned is in the table."""
        await self.kit.clock.settle()


# -- where a call goes -------------------------------------------------------------------------------------------


async def test_a_call_goes_where_what_it_names_is() -> None:
    world = World()
    world.has("file-1", "b")

    call, bound = await world.bind(FILE)

    assert call.pinned == {"b"}
    assert bound.is_placed


async def test_a_call_that_names_nothing_goes_where_it_likes() -> None:
    call, bound = await World().bind()

    assert (call.pinned, bound.is_placed, bound.ids) == (None, False, frozenset())


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        (PATH, 404, "object_not_found"),
        (FILE, 400, "object_not_found"),
        (Reference("file-1", "responses", "previous_response_id"), 400, "previous_response_not_found"),
        (Reference("file-1", "models", "model", is_soft=True), 404, "model_not_found"),
        (Reference("file-1", "encrypted_content", "input[0].encrypted_content"), 400, "invalid_encrypted_content"),
        (Reference("file-1", "vaults", "vault_ids[0]", is_soft=True), 400, "object_not_found"),
    ],
)
async def test_what_is_anothers_is_not_there(reference: Reference, status: int, code: str) -> None:
    world = World()
    world.has("file-1", owner="ann")

    for owner in ("bob", None):
        with pytest.raises(ObjectNotFound) as refused:
            await world.bind(reference, owner=owner)
        assert (refused.value.status, refused.value.code) == (status, code)
    assert world.kit.upstream.attempts == []


async def test_an_unknown_id_is_looked_for_and_is_everybodys() -> None:
    world = World()
    world.kit.upstream.on("sk-a", NOT_HERE)
    world.kit.upstream.on("sk-b", Reply(pieces=(MADE,)))

    for owner in ("ann", "bob", None):
        call, _ = await world.bind(FILE, owner=owner)
        assert call.pinned == {"b"}
    assert len(world.kit.upstream.attempts) == 2


async def test_what_nobody_has_is_left_to_the_upstream_to_say() -> None:
    world = World()
    for key in ("sk-a", "sk-b"):
        world.kit.upstream.on(key, NOT_HERE)

    call, bound = await world.bind(FILE)

    assert (call.pinned, [one.id for one in bound.unknown]) == (None, ["file-1"])


async def test_with_one_account_nothing_is_looked_for() -> None:
    world = World("a")

    call, _ = await world.bind(FILE)

    assert (call.pinned, world.kit.upstream.attempts) == (None, [])


async def test_what_may_be_no_id_is_not_looked_for() -> None:
    world = World()

    await world.bind(Reference("x", "vaults", "vault_ids[0]", is_soft=True))

    assert world.kit.upstream.attempts == []


async def test_foreign_ids_can_be_refused() -> None:
    with pytest.raises(ObjectNotFound):
        await World("a", is_shared=False).bind(FILE)


async def test_with_postgres_away_unseen_ids_are_nobodys_to_name_where_owners_count() -> None:
    world = World("a")
    world.store.is_away = True

    with pytest.raises(NoAccountAvailable) as refused:
        await world.bind(FILE)
    assert refused.value.code == "ids_unavailable"
    call, _ = await world.bind(FILE, owner=None)
    assert call.pinned is None


@pytest.mark.parametrize(
    ("is_in_registry", "status", "code"), [(True, 409, "account_inactive"), (False, 404, "account_gone")]
)
async def test_an_account_that_cannot_serve_any_more_is_told(status: int, code: str, *, is_in_registry: bool) -> None:
    world = World("a")
    world.has("file-1", "z")
    world.store.accounts |= {AccountId("z")} if is_in_registry else set()

    with pytest.raises(ObjectNotFound) as refused:
        await world.bind(FILE)

    assert (refused.value.status, refused.value.code) == (status, code)


async def test_the_header_must_name_the_ids_provider() -> None:
    world = World()
    world.has("file-1")

    with pytest.raises(InvalidCall) as refused:
        await world.bind(FILE, named_provider=ProviderId("other"))

    assert refused.value.code == "mixed_account_references"


async def test_models_of_a_batch_leave_the_accounts_that_serve_them() -> None:
    world = World(account("a", supported_models=("gpt-4",)), account("b", supported_models=("gpt-4", "gpt-4o")))
    call = world.call("/files")

    one, bound = await world.affinity.bind(call, None, [], models=[ModelName("gpt-4o"), ModelName("gpt-4")])
    assert (one.pinned, bound.is_placed) == ({"b"}, False)
    with pytest.raises(ModelNotFound):
        await world.affinity.bind(call, None, [], models=[ModelName("gpt-5")])
    world.has("file-1", "a")
    with pytest.raises(ModelNotFound):
        await world.affinity.bind(call, None, [FILE], models=[ModelName("gpt-4o")])


# -- what is learned ---------------------------------------------------------------------------------------------


async def test_what_a_call_makes_is_its_callers() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", Reply(pieces=(MADE,)))

    await world.served(world.call("/files"))

    made = world.known.get("file-1")
    assert made is not None
    assert (made.owner, made.account_id) == ("ann", "a")
    assert made.created_at == datetime.fromtimestamp(1_700_000_000, UTC)


async def test_what_a_shared_object_leads_to_is_shared() -> None:
    world = World("a")
    world.has("batch_1", owner=None, kind="batches")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"id":"batch_1","object":"batch","output_file_id":"file-out"}',)))

    await world.served(world.call("/batches/batch_1", "GET"))

    output = world.known.get("file-out")
    assert output is not None
    assert output.owner is None


async def test_what_an_owners_object_leads_to_is_the_owners() -> None:
    world = World("a")
    world.has("batch_1", kind="batches")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"id":"batch_1","object":"batch","output_file_id":"file-out"}',)))

    await world.served(world.call("/batches/batch_1", "GET"))

    output = world.known.get("file-out")
    assert output is not None
    assert output.owner == "ann"


async def test_an_unknown_id_that_serves_is_everybodys() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", Reply(pieces=(MADE,)))

    await world.served(world.call("/files/file-1", "GET"))

    found = world.known.get("file-1")
    assert found is not None
    assert found.owner is None


async def test_an_image_teaches_nothing() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"created":1,"data":[{"id":"file-1","object":"file"}]}',)))

    await world.served(world.call("/images/edits", model=ModelName("gpt-image-1")), b'{"model":"gpt-image-1"}')

    assert world.known.get("file-1") is None


async def test_a_refused_call_teaches_nothing() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", NOT_HERE)

    answer = await world.served(world.call("/files/file-1", "GET"))

    assert (answer.status, world.known.get("file-1")) == (404, None)


async def test_what_is_deleted_is_forgotten_and_what_is_below_it_forgets_nothing() -> None:
    world = World("a")
    world.has("thread_1", kind="threads")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"id":"x","deleted":true}',)))

    await world.served(world.call("/threads/thread_1/messages/msg_1", "DELETE"))
    assert world.known.get("thread_1") is not None
    await world.served(world.call("/threads/thread_1", "DELETE"))
    assert world.known.get("thread_1") is None


RESPONSE = b'"object":"response","created_at":1700000000,"store":true'


def events(*pairs: tuple[str, bytes]) -> bytes:
    return b"".join(
        b'event: %b\ndata: {"type":"%b",%b}\n\n' % (name.encode(), name.encode(), rest) for name, rest in pairs
    )


async def test_a_streams_ids_are_learned_from_its_first_and_last_events() -> None:
    world = World("a")
    world.kit.upstream.on(
        "sk-a",
        Reply(
            200,
            EVENT_HEADERS,
            (
                events(("response.created", b'"response":{"id":"resp_1",%b,"output":[]}' % RESPONSE)),
                events(("response.output_text.delta", b'"delta":"hi"')),
                events(
                    (
                        "response.completed",
                        b'"response":{"id":"resp_1","status":"completed",%b,"output":[{"type":"message","id":"msg_1"}]}'
                        % RESPONSE,
                    )
                ),
            ),
        ),
    )
    call = world.call("/responses", model=ModelName("gpt-4"), is_stream=True)

    answer = await world.served(call, b'{"model":"gpt-4","input":"hi","stream":true}')
    assert answer.coming is not None
    text = await world.kit.streamed(answer)

    assert b"response.completed" in text
    assert {id_: row.owner for id_, row in world.store.rows.items()} == {"resp_1": "ann", "msg_1": "ann"}


# -- home --------------------------------------------------------------------------------------------------------


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

    answer = await world.served(world.call("/files"))

    assert (answer.outcome, len(world.kit.upstream.keys)) == (OutcomeKind.UPSTREAM_ERROR, 1)


async def test_where_nobody_has_room_the_caller_waits_as_any_other() -> None:
    world = World("a", "b")
    for key in ("sk-a", "sk-b"):
        world.kit.upstream.on(key, rate_limited(2.0), Reply(pieces=(b'{"id":"x"}',)))

    answer = await world.served(world.call("/files"))

    assert (answer.status, len(world.kit.upstream.keys)) == (200, 3)


# -- lists -------------------------------------------------------------------------------------------------------


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
