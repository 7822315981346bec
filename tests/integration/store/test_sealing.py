import asyncio
import base64

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.store.auth_data import credential_text
from gateway.store.cipher import Cipher, UnknownKey, parse_keys
from gateway.store.registry import Loaded, load_snapshot
from gateway.store.sealing import SEALING_LOCK, check_keys, seal_rows
from tests.waits import PATIENCE_S

K1 = "k1:" + base64.b64encode(b"1" * 32).decode()
K2 = "k2:" + base64.b64encode(b"2" * 32).decode()
OLD, NEW = Cipher(parse_keys(K1)), Cipher(parse_keys(f"{K2},{K1}"))


@pytest.fixture(autouse=True)
async def accounts(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql("INSERT INTO providers (id, base_url) VALUES ('openai', 'https://x.example')")
    await connection.exec_driver_sql(
        "INSERT INTO accounts (provider_id, label, auth_data, is_active) VALUES "
        """('openai', 'a', '{"api_key": "sk-a"}', true), ('openai', 'b', '{"apikey": "sk-b"}', true), """
        """('openai', 'c', '{"api_key": "sk-c"}', false)"""
    )


async def load(engine: AsyncEngine, cipher: Cipher) -> Loaded:
    async with engine.connect() as connection:
        return await load_snapshot(connection, version=1, cipher=cipher, kinds=frozenset({"openai"}))


async def seal(engine: AsyncEngine, loaded: Loaded, cipher: Cipher) -> int | None:
    async with engine.begin() as connection:
        return await seal_rows(connection, (*loaded.plain, *loaded.stale), cipher)


async def stored(connection: AsyncConnection) -> str:
    return str(await connection.scalar(text("SELECT string_agg(a::text, ' ') FROM accounts a")))


async def test_every_secret_is_sealed_also_of_rows_that_cannot_serve(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    before = await load(engine, OLD)

    assert await seal(engine, before, OLD) == 3

    after = await load(engine, OLD)
    assert "sk-" not in await stored(connection)
    assert (after.plain, after.stale) == ((), ())
    assert after.snapshot.accounts == before.snapshot.accounts
    digests = await connection.scalars(text("SELECT credential_digest FROM accounts ORDER BY created_at"))
    assert list(digests) == [
        OLD.digest(str(credential_text({"api_key": "sk-a"}))),
        None,
        OLD.digest(str(credential_text({"api_key": "sk-c"}))),
    ]


async def test_rows_of_an_older_key_are_sealed_anew(engine: AsyncEngine, connection: AsyncConnection) -> None:
    await seal(engine, await load(engine, OLD), OLD)
    rotated = await load(engine, NEW)
    assert (len(rotated.plain), len(rotated.stale)) == (0, 3)

    assert await seal(engine, rotated, NEW) == 3

    assert list(await connection.scalars(text("SELECT DISTINCT auth_data->>'kid' FROM accounts"))) == ["k2"]
    only_new = Cipher(parse_keys(K2))
    last = await load(engine, only_new)
    assert (last.plain, last.stale) == ((), ())
    assert [one.label for one in last.snapshot.accounts.values()] == ["a"]


async def test_a_change_made_meanwhile_wins(engine: AsyncEngine, connection: AsyncConnection) -> None:
    loaded = await load(engine, OLD)
    await connection.exec_driver_sql("""UPDATE accounts SET auth_data = '{"api_key": "sk-new"}' WHERE label = 'a'""")

    assert await seal(engine, loaded, OLD) == 2

    again = await load(engine, OLD)
    assert [row.auth_data for row in again.plain] == [{"api_key": "sk-new"}]


async def test_a_row_that_somebody_holds_is_left_for_later_and_nobody_waits(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    loaded = await load(engine, OLD)
    async with engine.begin() as operator:
        await operator.execute(text("UPDATE accounts SET label = 'held' WHERE label = 'a'"))
        async with asyncio.timeout(PATIENCE_S):
            assert await seal(engine, loaded, OLD) == 2
        await operator.rollback()

    assert await seal(engine, await load(engine, OLD), OLD) == 1


async def test_two_that_seal_at_once_do_it_once(engine: AsyncEngine) -> None:
    loaded = await load(engine, OLD)

    done = await asyncio.gather(*(seal(engine, loaded, OLD) for _ in range(4)))

    assert sum(count or 0 for count in done) == 3
    assert (await load(engine, OLD)).plain == ()


async def test_who_finds_another_at_it_does_nothing(engine: AsyncEngine, connection: AsyncConnection) -> None:
    loaded = await load(engine, OLD)
    async with engine.begin() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SEALING_LOCK})

        assert await seal(engine, loaded, OLD) is None

    assert "sk-a" in await stored(connection)


async def test_a_key_that_is_not_configured_stops_a_start(engine: AsyncEngine, connection: AsyncConnection) -> None:
    await seal(engine, await load(engine, NEW), NEW)

    await check_keys(connection, NEW)
    with pytest.raises(UnknownKey, match="'k2'"):
        await check_keys(connection, OLD)


async def test_a_damaged_envelope_stops_no_start(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql("""UPDATE accounts SET auth_data = '{"$enc": 1}'""")

    await check_keys(connection, OLD)
