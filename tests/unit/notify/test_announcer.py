import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from gateway.core.organizations import Membership
from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.notify.announcer import FLUSH_AFTER_S, PgAnnouncer
from gateway.notify.messages import Message, read_message
from tests.fakes.clock import FakeClock

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def park(holder: str, rest_s: float = 7.0, *, is_rejected: bool = False) -> Park:
    until = AT + timedelta(seconds=rest_s)
    return Park(
        scope=Scope(ScopeKind.ACCOUNT, holder),
        reason=OutcomeKind.OUT_OF_QUOTA,
        strikes=1,
        since_at=AT,
        until_at=until,
        probe_at=until,
        is_rejected=is_rejected,
    )


class FakePostgres:
    """Channel and table in one; `is_up` False refuses both, `is_table_up` the table alone."""

    def __init__(self) -> None:
        self.is_up = True
        self.is_table_up = True
        self.is_closed = False
        self.sent: list[Message] = []
        self.saved: list[Park] = []
        self.forgotten: list[Scope] = []
        self.learned: list[Membership] = []

    async def send(self, payloads: Sequence[str]) -> bool:
        if self.is_up:
            self.sent.extend(message for payload in payloads if (message := read_message(payload)))
        return self.is_up

    async def keep(self, parks: Sequence[Park], recovered: Sequence[Scope]) -> bool:
        if self.is_up and self.is_table_up:
            self.saved.extend(parks)
            self.forgotten.extend(recovered)
        return self.is_up and self.is_table_up

    async def keep_organizations(self, memberships: Sequence[Membership]) -> bool:
        if self.is_up and self.is_table_up:
            self.learned.extend(memberships)
        return self.is_up and self.is_table_up

    async def close(self) -> None:
        self.is_closed = True


@asynccontextmanager
async def running(postgres: FakePostgres, clock: FakeClock, max_held: int = 10) -> AsyncIterator[PgAnnouncer]:
    announcer = PgAnnouncer(postgres, postgres, sender="me", sleep=clock.sleep, max_held=max_held)
    task = asyncio.create_task(announcer.run())
    try:
        yield announcer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_burst_is_one_message_with_the_latest_of_each_scope() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    async with running(postgres, clock) as announcer:
        for rest_s in (6.0, 9.0, 7.0):
            announcer.announce(park("a", rest_s))
        announcer.announce(park("b"))

        await clock.advance(FLUSH_AFTER_S)

    assert clock.slept[0] == FLUSH_AFTER_S
    assert [message.parks for message in postgres.sent] == [(park("a", 9.0), park("b"))]
    assert postgres.saved == [park("a", 9.0), park("b")]


async def test_a_rejection_goes_before_a_longer_rest() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    async with running(postgres, clock) as announcer:
        announcer.announce(park("a", 60.0))
        announcer.announce(park("a", 10.0, is_rejected=True))

        await clock.advance(FLUSH_AFTER_S)

    assert postgres.saved == [park("a", 10.0, is_rejected=True)]


async def test_short_parks_are_told_and_not_kept() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    async with running(postgres, clock) as announcer:
        announcer.announce(park("short", 4.9))
        announcer.announce(park("long", 5.0))
        announcer.announce(park("dead", 1.0, is_rejected=True))

        await clock.advance(FLUSH_AFTER_S)

    assert [one.scope.holder for message in postgres.sent for one in message.parks] == ["short", "long", "dead"]
    assert [one.scope.holder for one in postgres.saved] == ["long", "dead"]


async def test_a_recovery_replaces_the_park_before_it_and_is_forgotten_in_the_table() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    scope = park("a").scope
    async with running(postgres, clock) as announcer:
        announcer.announce(park("a"))
        announcer.announce_recovery(scope)

        await clock.advance(FLUSH_AFTER_S)

    assert [(message.parks, message.recoveries) for message in postgres.sent] == [((), (scope,))]
    assert (postgres.saved, postgres.forgotten) == ([], [scope])


async def test_news_is_kept_while_postgres_is_away_and_newer_news_wins() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    async with running(postgres, clock) as announcer:
        postgres.is_up = False
        announcer.announce(park("a"))
        announcer.announce(park("b"))
        await clock.advance(FLUSH_AFTER_S)
        announcer.announce_recovery(park("a").scope)
        postgres.is_up = True

        await clock.advance(0.05 + FLUSH_AFTER_S)

    assert clock.slept[:2] == [FLUSH_AFTER_S, 0.05]
    assert [one.scope.holder for one in postgres.saved] == ["b"]
    assert [scope.holder for scope in postgres.forgotten] == ["a"]


async def test_pauses_double_up_to_two_seconds_and_begin_anew() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    postgres.is_up = False
    async with running(postgres, clock) as announcer:
        announcer.announce(park("a"))
        await clock.advance(8 * FLUSH_AFTER_S + 5.2)
        postgres.is_up = True
        await clock.advance(3.0)
        postgres.is_up = False
        announcer.announce(park("a"))
        await clock.advance(FLUSH_AFTER_S)

    pauses = [asked for asked in clock.slept if asked != FLUSH_AFTER_S]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 0.05]


async def test_what_the_table_refused_is_told_again() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    postgres.is_table_up = False
    async with running(postgres, clock) as announcer:
        announcer.announce(park("a"))
        await clock.advance(FLUSH_AFTER_S)
        postgres.is_table_up = True
        await clock.advance(0.05 + FLUSH_AFTER_S)

    assert len(postgres.sent) == 2
    assert postgres.saved == [park("a")]


async def test_the_oldest_news_goes_when_too_much_is_held() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    async with running(postgres, clock, max_held=3) as announcer:
        for holder in ("a", "b", "c", "a", "d"):
            announcer.announce(park(holder))

        await clock.advance(FLUSH_AFTER_S)

        assert announcer.dropped == 1
    assert [one.scope.holder for one in postgres.saved] == ["c", "a", "d"]


async def test_closing_sends_what_is_held() -> None:
    postgres, clock = FakePostgres(), FakeClock()
    async with running(postgres, clock) as announcer:
        announcer.announce(park("a"))
    await announcer.close()

    assert postgres.saved == [park("a")]
    assert postgres.is_closed


async def test_a_flush_that_is_cancelled_loses_nothing() -> None:
    class Stuck(FakePostgres):
        async def send(self, payloads: Sequence[str]) -> bool:
            if self.is_up:
                return await super().send(payloads)
            await asyncio.Event().wait()
            return False

    postgres, clock = Stuck(), FakeClock()
    postgres.is_up = False
    async with running(postgres, clock) as announcer:
        announcer.announce(park("a"))
        await clock.advance(FLUSH_AFTER_S)
    postgres.is_up = True
    await announcer.close()

    assert postgres.saved == [park("a")]
    assert msgspec.structs.asdict(postgres.sent[0])["sender"] == "me"


async def test_closing_gives_up_on_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(FakePostgres):
        async def send(self, payloads: Sequence[str]) -> bool:
            await asyncio.Event().wait()
            return False

    monkeypatch.setattr("gateway.notify.announcer.CLOSE_TIMEOUT_S", 0.01)
    postgres = Silent()
    announcer = PgAnnouncer(postgres, postgres, sender="me", sleep=FakeClock().sleep)
    announcer.announce(park("a"))

    await announcer.close()

    assert postgres.is_closed
