"""Where calls go for what they name."""

import pytest

from gateway.core.affinity import Reference
from gateway.core.cooldown import Health, Phase
from gateway.core.errors import InvalidCall, ModelNotFound, NoAccountAvailable, ObjectNotFound
from gateway.core.ids import FOREVER, AccountId, ModelName, ProviderId
from gateway.core.outcome import Scope, ScopeKind
from gateway.core.snapshot import AuthStrategy, Provider
from tests.fakes.relay_kit import account, refusal, snapshot_of
from tests.fakes.scripted_upstream import Reply
from tests.fakes.stateful_kit import FILE, MADE, NOT_HERE, PATH, World

pytestmark = pytest.mark.usefixtures("ended_writers")


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


async def test_many_objects_are_looked_up_in_parts() -> None:
    world = World()
    for id_, account_id in (("file-1", "b"), ("file-2", "b"), ("file-3", "a")):
        world.has(id_, account_id)
    world.has("file-4", owner="bob")
    call = world.call("/files")
    one, two, three, four = (Reference(f"file-{n}", "files", f"file[0].file-{n}") for n in range(1, 5))
    new = Reference("new", "items", is_soft=True)

    assert await world.affinity.narrowed(call, [new]) == []
    assert await world.affinity.narrowed(call, [new, one]) == [one]
    assert await world.affinity.narrowed(call, [one, two]) == [one]
    with pytest.raises(InvalidCall) as mixed:
        await world.affinity.narrowed(call, [one, three])
    assert mixed.value.code == "mixed_account_references"
    with pytest.raises(ObjectNotFound) as refused:
        await world.affinity.narrowed(call, [one, four])
    assert refused.value.param == "file[0].file-4"


async def test_apis_that_have_no_such_objects_are_not_asked() -> None:
    world = World()
    claude = Provider(
        id=ProviderId("claude"),
        name="Claude",
        kind="anthropic",
        base_url="https://api.anthropic.com",
        auth_strategy=AuthStrategy.API_KEY,
    )
    accounts = account("a"), account("b"), account("c", provider_id=claude.id)
    world.kit.board.replace_snapshot(snapshot_of(*accounts, others=[claude]))
    for key in ("sk-a", "sk-b"):
        world.kit.upstream.on(key, NOT_HERE)
    world.kit.upstream.on("", refusal(429, "later"))  # its keys stand in another header

    _, bound = await world.bind(Reference("resp_1", "responses", "previous_response_id"))
    assert len(bound.unknown) == 1
    with pytest.raises(NoAccountAvailable):  # files it has, and does not say
        await world.bind(FILE)


async def test_whose_credential_is_rejected_for_good_leaves_nobody_unsure() -> None:
    world = World("a", "b", "c")
    for key in ("sk-a", "sk-b"):
        world.kit.upstream.on(key, NOT_HERE)
    world.kit.upstream.on("sk-c", refusal(401, "Incorrect API key provided", code="invalid_api_key"))
    with pytest.raises(NoAccountAvailable):
        await world.bind(FILE)

    rejected = Health(Phase.REJECTED, strikes=3, until=FOREVER, probe_at=FOREVER)
    world.kit.board.healths.put(Scope(ScopeKind.ACCOUNT, "c"), rejected)

    _, bound = await world.bind(FILE)
    assert [one.id for one in bound.unknown] == ["file-1"]
