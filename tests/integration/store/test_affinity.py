from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.affinity import Binding
from gateway.core.ids import AccountId, ProviderId
from gateway.relay.ports import IdStore
from gateway.store.affinity import (
    IdTable,
    delete_passed,
    has_account,
    load_bindings,
    load_cursor,
    load_one_of_each_account,
    save_bindings,
)
from gateway.store.engine import make_engine
from tests.fakes.id_store import MemoryIds

A = AccountId("00000000-0000-0000-0000-00000000000a")
B = AccountId("00000000-0000-0000-0000-00000000000b")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def binding(
    id_: str, account: AccountId = A, *, kind: str = "files", owner: str | None = "ann", after_s: float = 0.0
) -> Binding:
    return Binding(
        id=id_,
        kind=kind,
        provider_id=ProviderId("openai"),
        account_id=account,
        owner=owner,
        realm="openai:org-a:proj_a",
        created_at=AT + timedelta(seconds=after_s),
    )


async def test_bindings_come_back_as_they_were_saved(connection: AsyncConnection) -> None:
    saved = [binding("file-a"), binding("file-b", B, owner=None), binding("resp_c", kind="responses")]

    await save_bindings(connection, saved)

    found = await load_bindings(connection, ["file-a", "file-b", "resp_c", "file-none"])
    assert sorted(found, key=lambda one: one.id) == saved


async def test_an_id_that_is_met_again_is_corrected_by_its_owner_alone(connection: AsyncConnection) -> None:
    await save_bindings(connection, [binding("file-a", A)])
    await save_bindings(connection, [binding("file-a", B, after_s=5.0)])
    await save_bindings(connection, [binding("file-a", A, owner="bob"), binding("file-a", A, owner=None)])

    assert await load_bindings(connection, ["file-a"]) == [binding("file-a", B, after_s=5.0)]


async def test_ids_that_no_row_can_hold_are_left_out(engine: AsyncEngine, connection: AsyncConnection) -> None:
    odd = ["", "nul\0", "x" * 600, "\ud800"]

    assert await IdTable(engine).save([*map(binding, odd), binding("file-a")], odd) == frozenset()
    assert await load_bindings(connection, [*odd, "file-a"]) == [binding("file-a")]


async def test_thousands_at_once(connection: AsyncConnection) -> None:
    await save_bindings(connection, [binding(f"file-{number}") for number in range(2500)])

    assert await connection.scalar(text("SELECT count(*) FROM stateful_ids")) == 2500


async def test_accounts_that_hold_something_of_an_owner_are_found_by_one_object_each(
    connection: AsyncConnection,
) -> None:
    await save_bindings(
        connection,
        [
            *(binding(f"file-a{number}", A) for number in range(20)),
            *(binding(f"file-b{number}", B) for number in range(20)),
            binding("file-shared", B, owner=None),
            binding("batch_a", A, kind="batches"),
        ],
    )

    async def accounts(owner: str | None, kind: str) -> list[AccountId]:
        return [one.account_id for one in await load_one_of_each_account(connection, owner, kind)]

    assert await accounts("ann", "files") == [A, B]
    assert await accounts("ann", "batches") == [A]
    assert await accounts(None, "files") == [B]
    assert await accounts("bob", "files") == []


@pytest.mark.parametrize(("is_newest_first", "cursor"), [(True, "file-3"), (False, "file-1")])
async def test_the_cursor_is_the_last_object_before_the_place(
    connection: AsyncConnection, cursor: str, *, is_newest_first: bool
) -> None:
    await save_bindings(
        connection,
        [
            *(binding(f"file-{number}", owner=None, after_s=number) for number in range(6)),
            binding("batch_2", kind="batches", after_s=2.5),
            binding("file-of-b", B, after_s=2.5),
        ],
    )
    at = AT + timedelta(seconds=2)

    assert await load_cursor(connection, "files", [A], at, is_newest_first=is_newest_first) == cursor


async def test_an_object_whose_time_is_not_known_marks_no_place_until_it_is(connection: AsyncConnection) -> None:
    undated = msgspec.structs.replace(binding("file-a"), created_at=None)
    await save_bindings(connection, [undated])
    assert await load_bindings(connection, ["file-a"]) == [undated]
    assert await load_cursor(connection, "files", [A], AT, is_newest_first=False) is None

    await save_bindings(connection, [binding("file-a", after_s=-5.0)])
    await save_bindings(connection, [undated])

    assert await load_bindings(connection, ["file-a"]) == [binding("file-a", after_s=-5.0)]
    assert await load_cursor(connection, "files", [A], AT, is_newest_first=False) == "file-a"


async def test_at_the_beginning_there_is_no_cursor(connection: AsyncConnection) -> None:
    await save_bindings(connection, [binding("file-a")])

    assert await load_cursor(connection, "files", [A, B], AT, is_newest_first=True) is None


async def test_only_old_rows_of_kinds_that_pass_are_deleted(connection: AsyncConnection) -> None:
    kinds = ("responses", "items", "encrypted_content", "chat/completions", "files", "models", "threads")
    await save_bindings(connection, [binding(f"old-{kind}", kind=kind) for kind in kinds])
    await connection.execute(text("UPDATE stateful_ids SET stored_at = now() - interval '36 days'"))
    await save_bindings(connection, [binding(f"new-{kind}", kind=kind) for kind in kinds])

    assert [await delete_passed(connection, 3) for _ in range(3)] == [3, 1, 0]
    left = set((await connection.scalars(text("SELECT kind FROM stateful_ids WHERE id LIKE 'old-%'"))).all())
    assert left == {"files", "models", "threads"}
    assert await connection.scalar(text("SELECT count(*) FROM stateful_ids WHERE id LIKE 'new-%'")) == len(kinds)


async def test_an_account_that_is_inactive_is_told_from_one_that_is_gone(connection: AsyncConnection) -> None:
    await connection.execute(text("INSERT INTO providers (id, base_url) VALUES ('openai', 'https://a')"))
    made = await connection.scalar(
        text("INSERT INTO accounts (provider_id, is_active) VALUES ('openai', false) RETURNING id::text")
    )

    assert await has_account(connection, AccountId(str(made)))
    assert not await has_account(connection, A)


@pytest.fixture(params=["postgres", "memory"])
def table(request: pytest.FixtureRequest, engine: AsyncEngine) -> IdStore:
    """The table, and the fake that stands for it in unit tests: they must not differ."""
    return IdTable(engine) if request.param == "postgres" else MemoryIds()


async def test_the_table_keeps_finds_and_forgets(table: IdStore) -> None:
    assert await table.save([binding("file-a"), binding("file-b", owner=None)], []) == set()
    assert await table.save([binding("file-a"), binding("file-c")], []) == set()
    theirs = [binding("file-a", B, owner="bob"), binding("file-b", B, owner="ann"), binding("file-d")]
    assert await table.save(theirs, []) == {"file-a", "file-b"}
    assert await table.save([binding("resp_c", kind="responses", owner=None)], ["file-a", "file-c", "file-d"]) == set()

    assert await table.find(["file-a", "file-b"]) == [binding("file-b", owner=None)]
    assert [one.id for one in await table.one_of_each_account(None, "files") or []] == ["file-b"]
    assert await table.one_of_each_account(None, "responses") == []
    assert await table.one_of_each_account("ann", "files") == []
    assert await table.has_account(A) is False


async def test_the_table_knows_where_a_list_has_come_to(table: IdStore) -> None:
    await table.save([binding(f"file-{number}", after_s=number) for number in range(5)], [])
    at = AT + timedelta(seconds=2)

    assert await table.cursor("files", [A], at, is_newest_first=True) == "file-3"
    assert await table.cursor("files", [A], at, is_newest_first=False) == "file-1"
    assert await table.cursor("files", [B], at, is_newest_first=True) is None
    assert await table.cursor("batches", [A], at, is_newest_first=True) is None


async def test_a_table_that_is_away_says_so() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", 1)
    table = IdTable(engine)

    assert await table.find(["file-a"]) is None
    assert await table.one_of_each_account(None, "files") is None
    assert await table.has_account(A) is None
    assert await table.save([binding("file-a")], []) is None
    assert await table.delete_passed() == 0

    await engine.dispose()


async def test_the_id_of_an_account_is_corrected_in_the_row_alone(connection: AsyncConnection) -> None:
    """A binding read is a value of its own: nobody else's copy changes."""
    await save_bindings(connection, [binding("file-a")])
    (before,) = await load_bindings(connection, ["file-a"])
    await save_bindings(connection, [msgspec.structs.replace(before, account_id=B)])

    assert (before.account_id, (await load_bindings(connection, ["file-a"]))[0].account_id) == (A, B)
