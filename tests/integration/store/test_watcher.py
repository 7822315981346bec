import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from structlog.testing import capture_logs

from gateway.core.ids import ProviderId
from gateway.core.snapshot import Snapshot
from gateway.notify.listener import Listener, RegistryChanged, Resynced
from gateway.relay.clock import SystemClock
from gateway.store.cipher import Cipher, UnknownKey, new_key, parse_keys
from gateway.store.engine import StoreUnavailable, make_engine
from gateway.store.registry import load_snapshot
from gateway.store.watcher import RegistryWatcher
from tests.waits import PATIENCE_S

OPENAI = ProviderId("openai")
PROVIDER = "INSERT INTO providers (id, base_url) VALUES ('openai', 'https://api.openai.com')"
ACCOUNT = """INSERT INTO accounts (provider_id, label, auth_data) VALUES ('openai', 'a', '{"api_key": "sk-a"}')"""


class Snapshots:
    """What the watcher handed out; waits for one that fits."""

    def __init__(self) -> None:
        self.all: list[Snapshot] = []
        self._came = asyncio.Event()

    def __call__(self, snapshot: Snapshot) -> None:
        self.all.append(snapshot)
        self._came.set()

    async def until(self, fits: Callable[[Snapshot], bool]) -> Snapshot:
        async with asyncio.timeout(PATIENCE_S):
            while not self.all or not fits(self.all[-1]):
                self._came.clear()
                await self._came.wait()
        return self.all[-1]


def watcher_of(engine: AsyncEngine, cipher: Cipher, snapshots: Snapshots, poll_s: float = 600.0) -> RegistryWatcher:
    return RegistryWatcher(
        engine,
        cipher,
        kinds=frozenset({"openai"}),
        on_snapshot=snapshots,
        sleep=SystemClock().sleep,
        poll_s=poll_s,
    )


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def turn() -> None:
    """Lets the other tasks run."""
    await asyncio.sleep(0)  # noqa: TID251  # no time passes


async def until_sealed(connection: AsyncConnection) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await connection.scalar(text("SELECT count(*) FROM accounts WHERE NOT auth_data ? '$enc'")):
            pass


async def test_an_insert_by_sql_serves_and_is_sealed(
    database_url: str, engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    snapshots = Snapshots()
    watcher = watcher_of(engine, cipher, snapshots)
    await watcher.start()

    def on_event(event: object) -> None:
        if isinstance(event, (RegistryChanged, Resynced)):
            watcher.reload_soon()

    listener = Listener(database_url, on_event, sender="me", sleep=SystemClock().sleep)
    async with running(watcher.run()), running(listener.run()):
        psql = await asyncpg.connect(database_url)
        try:
            await psql.execute(PROVIDER + ";" + ACCOUNT)
        finally:
            await psql.close()

        snapshot = await snapshots.until(lambda one: bool(one.accounts))
        await until_sealed(connection)

    assert [account.credential.secret.reveal() for account in snapshot.accounts_of[OPENAI]] == ["sk-a"]
    assert [one.version for one in snapshots.all] == list(range(1, len(snapshots.all) + 1))


async def test_a_poll_finds_what_no_notification_told(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    snapshots = Snapshots()
    watcher = watcher_of(engine, cipher, snapshots, poll_s=0.01)
    await watcher.start()
    async with running(watcher.run()):
        await connection.exec_driver_sql(PROVIDER)
        await snapshots.until(lambda one: OPENAI in one.providers)
        await connection.exec_driver_sql("UPDATE providers SET name = 'x'")
        await snapshots.until(lambda one: one.providers[OPENAI].name == "x")
        await connection.exec_driver_sql("DELETE FROM providers")
        await snapshots.until(lambda one: not one.providers)


async def test_a_change_begun_early_and_committed_late_is_found_by_the_poll(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    snapshots = Snapshots()
    watcher = watcher_of(engine, cipher, snapshots, poll_s=0.01)
    await connection.exec_driver_sql(PROVIDER)
    await watcher.start()
    async with running(watcher.run()):
        async with engine.begin() as late:
            await late.exec_driver_sql("UPDATE providers SET name = 'late'")
            await connection.exec_driver_sql("INSERT INTO providers (id, base_url) VALUES ('b', 'https://b.example')")
            await snapshots.until(lambda one: len(one.providers) == 2)

        await snapshots.until(lambda one: one.providers[OPENAI].name == "late")


async def test_an_unchanged_registry_is_not_loaded_again(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    snapshots = Snapshots()
    watcher = watcher_of(engine, cipher, snapshots)
    first = await watcher.start()
    confirmed = watcher.confirmed
    async with running(watcher.run()):
        watcher.reload_soon()
        async with asyncio.timeout(PATIENCE_S):
            while watcher.confirmed == confirmed:
                await turn()

    assert snapshots.all == [first]
    assert 0 <= watcher.age_s <= time.monotonic() - watcher.confirmed


async def test_sealing_converges(engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher) -> None:
    await connection.exec_driver_sql(PROVIDER)
    await connection.exec_driver_sql(ACCOUNT)
    snapshots = Snapshots()
    watchers = [watcher_of(engine, cipher, snapshots, poll_s=0.01) for _ in range(3)]

    with capture_logs() as lines:
        for watcher in watchers:
            await watcher.start()
        for _ in range(3):
            for watcher in watchers:
                await watcher._refresh()

    assert [line["count"] for line in lines if line["event"] == "account.sealed"] == [1]
    assert len(snapshots.all) == 4  # the first one loads once more what it sealed itself


async def test_a_problem_is_logged_once_and_without_its_secret(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await connection.exec_driver_sql(PROVIDER)
    await connection.exec_driver_sql(ACCOUNT.replace("api_key", "hunter2"))
    watcher = watcher_of(engine, cipher, Snapshots())

    with capture_logs() as lines:
        await watcher.start()
        await connection.exec_driver_sql("UPDATE providers SET name = 'x'")
        await watcher._refresh()

    reported = [line for line in lines if line["event"] == "row.reported"]
    assert [(line["table"], line["is_skipped"], line["log_level"]) for line in reported] == [
        ("accounts", True, "warning")
    ]
    assert "hunter2" not in str(lines)
    assert "sk-a" not in str(lines)


@asynccontextmanager
async def renamed_away(server_url: str, name: str) -> AsyncIterator[None]:
    """No connection to the database of this name lives or comes to be, as when the server is gone."""
    server = await asyncpg.connect(server_url)
    try:
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")  # who comes anew would hold the next up
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
                with suppress(asyncpg.ObjectInUseError):
                    await server.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
                    break
        yield
        await server.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        await server.close()


async def test_a_flood_of_bad_rows_is_no_flood_of_lines(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await connection.exec_driver_sql(
        "INSERT INTO client_keys (digest) SELECT sha256(n::text::bytea) FROM generate_series(1, 50) AS n"
    )

    with capture_logs() as lines:
        await watcher_of(engine, cipher, Snapshots()).start()

    assert [line["problems"] for line in lines if line["event"] == "snapshot.replaced"] == [50]
    assert len([line for line in lines if line["event"] == "row.reported"]) == 20


async def test_with_postgres_away_the_last_good_snapshot_stays(
    database_url: str, postgres_server_url: str, engine: AsyncEngine, cipher: Cipher
) -> None:
    async with engine.begin() as connection:
        await connection.exec_driver_sql(PROVIDER)
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
    snapshots = Snapshots()
    watcher = watcher_of(engine, cipher, snapshots, poll_s=0.01)
    await watcher.start()

    with capture_logs() as lines:
        async with running(watcher.run()):
            async with renamed_away(postgres_server_url, name), asyncio.timeout(PATIENCE_S):
                while not any(line["event"] == "database.lost" for line in lines):
                    await turn()
                assert watcher.snapshot.providers
            async with asyncio.timeout(PATIENCE_S), engine.begin() as connection:
                await connection.exec_driver_sql("UPDATE providers SET name = 'back'")

            await snapshots.until(lambda one: one.providers[OPENAI].name == "back")

    events = [line["event"] for line in lines if line["event"].startswith("database.")]
    assert events == ["database.lost", "database.recovered"]


async def test_a_start_without_postgres_is_an_error(cipher: Cipher) -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", 1)

    with pytest.raises(StoreUnavailable):
        await watcher_of(engine, cipher, Snapshots()).start()

    await engine.dispose()


async def test_rows_under_an_unknown_key_stop_a_start_and_later_only_themselves(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher
) -> None:
    await connection.exec_driver_sql(PROVIDER)
    await connection.exec_driver_sql(ACCOUNT)
    started = watcher_of(engine, cipher, Snapshots())
    await started.start()
    other = Cipher(parse_keys(new_key("k9")))

    with pytest.raises(UnknownKey, match="'k1'"):
        await watcher_of(engine, other, Snapshots()).start()

    await connection.exec_driver_sql("""UPDATE accounts SET auth_data = auth_data || '{"kid": "k9"}'""")
    await started._refresh()
    assert [problem.id for problem in started.snapshot.problems]
    assert "k9" in started.snapshot.problems[0].message
    assert started.snapshot.providers


async def test_a_row_that_comes_during_a_reading_and_goes_again_leaves_nothing_behind(
    engine: AsyncEngine, connection: AsyncConnection, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load_after_an_insert(*args: object, **options: object) -> object:
        monkeypatch.undo()
        await connection.execute(text(ACCOUNT))
        return await load_snapshot(*args, **options)

    await connection.execute(text(PROVIDER))
    monkeypatch.setattr("gateway.store.watcher.load_snapshot", load_after_an_insert)
    watcher = watcher_of(engine, cipher, Snapshots())
    await watcher.start()

    await connection.execute(text("DELETE FROM accounts"))
    await watcher._refresh()

    assert watcher.snapshot.accounts == {}
