import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.notify.announcer import PgAnnouncer
from gateway.notify.channel import PgChannel
from gateway.notify.listener import (
    HEALTH_CHANNEL,
    Listener,
    ListenerEvent,
    ParksHeard,
    RecoveriesHeard,
    RegistryChanged,
    Resynced,
)
from gateway.notify.messages import write_messages
from gateway.relay.clock import SystemClock
from gateway.store.cooldowns import ParkTable, load_parks
from gateway.store.engine import make_engine
from tests.waits import PATIENCE_S

LISTENERS = (
    "SELECT pid, query FROM pg_stat_activity "
    "WHERE application_name = 'gateway listener' AND datname = current_database()"
)


def scope(holder: str) -> Scope:
    return Scope(ScopeKind.ACCOUNT, holder)


def park(holder: str = "a1", rest_s: float = 60.0) -> Park:
    since = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    until = since + timedelta(days=36500, seconds=rest_s)
    return Park(
        scope=scope(holder),
        reason=OutcomeKind.OUT_OF_QUOTA,
        strikes=1,
        since_at=since,
        until_at=until,
        probe_at=until,
    )


class Heard:
    """The events of one listener; waits for one that fits."""

    def __init__(self) -> None:
        self.all: list[ListenerEvent] = []
        self._came = asyncio.Event()

    def __call__(self, event: ListenerEvent) -> None:
        self.all.append(event)
        self._came.set()

    async def until(self, fits: Callable[[list[ListenerEvent]], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not fits(self.all):
                self._came.clear()
                await self._came.wait()

    async def count(self, event: ListenerEvent, times: int) -> None:
        await self.until(lambda events: events.count(event) >= times)


@asynccontextmanager
async def listening(
    url: str, heard: Heard, *, sender: str = "me", heartbeat_s: float = 600.0
) -> AsyncIterator[Listener]:
    listener = Listener(url, heard, sender=sender, sleep=SystemClock().sleep, heartbeat_s=heartbeat_s)
    task = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def psql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def the_only_listener(psql: asyncpg.Connection) -> asyncpg.Record:
    """One that was terminated may still be seen for some milliseconds."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := await psql.fetch(LISTENERS)) != 1:
            pass
    return found[0]


async def test_it_resyncs_and_then_hears_tables_in_order(database_url: str, psql: asyncpg.Connection) -> None:
    heard = Heard()
    async with listening(database_url, heard) as listener:
        await heard.count(Resynced(), 1)
        await psql.execute("INSERT INTO providers (id, base_url) VALUES ('a', 'b')")
        await psql.execute("DELETE FROM model_routes")
        await heard.count(RegistryChanged("model_routes"), 1)

        assert listener.state.is_connected
        assert listener.state.connects == 1
    assert heard.all == [Resynced(), RegistryChanged("providers"), RegistryChanged("model_routes")]


async def test_rests_that_a_person_deletes_are_heard_and_those_that_a_gateway_ends_are_not(
    database_url: str, psql: asyncpg.Connection
) -> None:
    heard, engine = Heard(), make_engine(database_url)
    table = ParkTable(engine)
    async with listening(database_url, heard):
        await heard.count(Resynced(), 1)
        assert await table.keep([park("a1"), park("a2")], [])
        assert await table.keep([], [park("a1").scope])
        await psql.execute("DELETE FROM cooldowns")
        await psql.execute("DELETE FROM model_routes")
        await heard.count(RegistryChanged("model_routes"), 1)

    await engine.dispose()
    assert heard.all[1:-1] == [RecoveriesHeard((park("a2").scope,))]


async def test_rows_that_a_person_changes_are_told_as_they_are_now(database_url: str, psql: asyncpg.Connection) -> None:
    heard, engine, kept = Heard(), make_engine(database_url), park("a1")
    assert await ParkTable(engine).keep([kept], [])
    async with listening(database_url, heard):
        await heard.count(Resynced(), 1)
        await psql.execute("SET timezone = 'Asia/Kolkata'")
        await psql.execute("UPDATE cooldowns SET until_at = until_at - interval '30 s'")
        await psql.execute("UPDATE cooldowns SET until_at = 'infinity'")
        await psql.execute("UPDATE cooldowns SET is_rejected = true")
        await psql.execute("UPDATE cooldowns SET holder = 'a2'")
        await psql.execute("DELETE FROM model_routes")
        await heard.count(RegistryChanged("model_routes"), 1)

    await engine.dispose()
    shorter, farthest = kept.until_at - timedelta(seconds=30), datetime(9000, 1, 1, tzinfo=UTC)
    endless = replace(kept, until_at=farthest, probe_at=farthest)
    rejected = replace(endless, is_rejected=True)
    told = [replace(kept, until_at=shorter, probe_at=shorter), endless, rejected, replace(rejected, scope=scope("a2"))]
    events: list[ListenerEvent] = []
    for now in told:
        events += [RecoveriesHeard((scope("a1"),)), ParksHeard((now,))]
    assert heard.all[1:-1] == events


async def test_rests_that_a_person_writes_or_truncates_are_heard(database_url: str, psql: asyncpg.Connection) -> None:
    heard, engine, kept = Heard(), make_engine(database_url), park("a1")
    assert await ParkTable(engine).keep([kept], [])
    async with listening(database_url, heard):
        await heard.count(Resynced(), 1)
        await psql.execute(
            "INSERT INTO cooldowns (scope_kind, holder, what, reason, strikes, since_at, until_at, probe_at) "
            "SELECT scope_kind, 'a2', what, reason, strikes, since_at, until_at, until_at + interval '1 h' "
            "FROM cooldowns"
        )
        await psql.execute("TRUNCATE cooldowns")
        await psql.execute("DELETE FROM model_routes")
        await heard.count(RegistryChanged("model_routes"), 1)

    await engine.dispose()
    assert heard.all[1:-1] == [
        ParksHeard((park("a2"),)),
        RecoveriesHeard((scope("a1"),)),
        RecoveriesHeard((scope("a2"),)),
    ]


async def test_a_terminated_listener_comes_back_once(database_url: str, psql: asyncpg.Connection) -> None:
    heard = Heard()
    with capture_logs() as lines:
        async with listening(database_url, heard) as listener:
            for times in (1, 2, 3):
                await heard.count(Resynced(), times)
                only = await the_only_listener(psql)
                if times < 3:
                    await psql.execute("SELECT pg_terminate_backend($1)", only["pid"])
            await psql.execute("DELETE FROM model_routes")
            await heard.count(RegistryChanged("model_routes"), 1)

            assert listener.state.connects == 3
            assert heard.all.count(Resynced()) == 3

    events = [line["event"] for line in lines]
    assert events == ["listener.connected", *["listener.lost", "listener.reconnected"] * 2]


async def test_it_waits_for_a_server_that_is_not_there_yet() -> None:
    heard, slept = Heard(), []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 8:
            enough.set()
            await asyncio.Event().wait()

    with capture_logs() as lines:
        listener = Listener("postgresql://nobody@127.0.0.1:1/none", heard, sender="me", sleep=sleep)
        task = asyncio.create_task(listener.run())
        async with asyncio.timeout(PATIENCE_S):
            await enough.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert not listener.state.is_connected
    assert [line["event"] for line in lines] == ["listener.lost"]


async def test_a_silent_connection_is_asked_whether_it_lives(database_url: str, psql: asyncpg.Connection) -> None:
    heard = Heard()
    async with listening(database_url, heard, heartbeat_s=0.01):
        await heard.count(Resynced(), 1)
        async with asyncio.timeout(PATIENCE_S):
            while (await the_only_listener(psql))["query"] != "SELECT 1":
                pass

    assert heard.all == [Resynced()]


async def test_what_cannot_be_read_is_logged_and_skipped(database_url: str, psql: asyncpg.Connection) -> None:
    heard = Heard()
    (readable,) = write_messages("other", parks=[park()])
    with capture_logs() as lines:
        async with listening(database_url, heard):
            await heard.count(Resynced(), 1)
            for payload in ("", "rubbish", '{"v":99,"from":"x"}', readable):
                await psql.execute("SELECT pg_notify($1, $2)", HEALTH_CHANNEL, payload)
            await heard.count(ParksHeard((park(),)), 1)

    assert heard.all == [Resynced(), ParksHeard((park(),))]
    assert [line["event"] for line in lines].count("message.ignored") == 3


async def test_news_reaches_the_others_and_not_oneself_and_is_kept(database_url: str) -> None:
    mine, theirs = Heard(), Heard()
    engine = make_engine(database_url, 2)
    channel = PgChannel(database_url, HEALTH_CHANNEL)
    announcer = PgAnnouncer(channel, ParkTable(engine), sender="me", sleep=SystemClock().sleep)
    task = asyncio.create_task(announcer.run())
    async with listening(database_url, mine), listening(database_url, theirs, sender="other"):
        await mine.count(Resynced(), 1)
        await theirs.count(Resynced(), 1)

        announcer.announce(park("a"))
        announcer.announce(park("b"))
        await theirs.count(ParksHeard((park("a"), park("b"))), 1)
        announcer.announce_recovery(park("a").scope)
        await theirs.count(RecoveriesHeard((park("a").scope,)), 1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await announcer.close()

    async with engine.connect() as connection:
        assert await load_parks(connection) == [park("b")]
    await engine.dispose()
    assert mine.all == [Resynced()]


async def test_a_cut_channel_says_no_once_and_then_sends_again(database_url: str, psql: asyncpg.Connection) -> None:
    channel = PgChannel(database_url, HEALTH_CHANNEL)
    assert await channel.send(["1"])
    await psql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gateway announcer'"
        " AND datname = current_database()"
    )

    answers = [await channel.send(["2"]) for _ in range(2)]

    assert answers in ([False, True], [True, True])
    await channel.close()


async def test_a_channel_to_nowhere_says_no() -> None:
    assert not await PgChannel("postgresql://nobody@127.0.0.1:1/none", HEALTH_CHANNEL).send(["1"])
