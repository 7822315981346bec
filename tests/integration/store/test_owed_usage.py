"""What is owed for, in the table and in the fake that stands for it."""

import asyncio

import asyncpg
import pytest

from gateway.core.owed_usage import OwedUsage
from gateway.relay.owed import OwedStore
from gateway.store.engine import make_engine
from gateway.store.owed_usage import OwedTable
from tests.fakes.owed_store import MemoryOwed

OWED = OwedUsage("resp_1", "gpt-4", "key-1")


@pytest.fixture(params=["table", "fake"])
def store(request: pytest.FixtureRequest) -> OwedStore:
    return MemoryOwed() if request.param == "fake" else OwedTable(request.getfixturevalue("engine"))


async def test_a_note_is_claimed_once(store: OwedStore) -> None:
    assert await store.note(OWED)
    assert await store.note(OwedUsage("resp_1", "other"))
    assert await store.has("resp_1") is True

    claims = await asyncio.gather(*(store.claim("resp_1") for _ in range(4)))

    assert sorted(claims, key=bool) == [False, False, False, OWED]
    assert await store.has("resp_1") is False


async def test_what_is_not_owed_is_told(store: OwedStore) -> None:
    assert await store.claim("resp_2") is False
    assert await store.has("") is False


async def test_texts_that_no_table_holds_are_left_out(engine) -> None:
    table = OwedTable(engine)

    assert await table.note(OwedUsage("a\0b"))
    assert await table.note(OwedUsage("resp_1", "gpt\0"))

    assert await table.claim("a\0b") is False
    assert await table.has("a\0b") is False
    assert await table.claim("resp_1") == OwedUsage("resp_1")


async def test_old_notes_go(engine, database_url: str) -> None:
    table = OwedTable(engine)
    await table.note(OWED)
    await table.note(OwedUsage("resp_2"))
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE owed_usage SET owed_at = now() - interval '36 days' WHERE id = 'resp_1'")
    await connection.close()

    assert await table.delete_old() == 1
    assert (await table.has("resp_1"), await table.has("resp_2")) == (False, True)


async def test_a_note_whose_commit_is_not_answered_may_be_there(engine, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "CREATE FUNCTION falls() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$"
    )
    await connection.execute(
        "CREATE CONSTRAINT TRIGGER falls AFTER INSERT ON owed_usage DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION falls()"
    )
    try:
        assert await OwedTable(engine).note(OWED)
    finally:
        await connection.execute("DROP FUNCTION falls CASCADE")
        await connection.close()


async def test_away_is_no_word() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/nothing", 1)
    table = OwedTable(engine)

    assert not await table.note(OWED)
    assert (await table.claim("x"), await table.has("x"), await table.delete_old()) == (None, None, 0)
    await engine.dispose()
