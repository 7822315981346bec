import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.store.cooldowns import ParkTable, delete_expired_parks, forget_edited, forget_parks, load_parks, save_parks
from gateway.store.engine import StoreUnavailable, make_engine

NOW = datetime.now(UTC)


def park(what: str, rest_s: float = 600.0, *, strikes: int = 1, is_rejected: bool = False) -> Park:
    until = NOW + timedelta(seconds=rest_s)
    return Park(
        scope=Scope(ScopeKind.HOLDER_MODEL, "group:openai:g", what),
        reason=OutcomeKind.RATE_LIMITED,
        strikes=strikes,
        since_at=NOW,
        until_at=until,
        probe_at=until,
        is_rejected=is_rejected,
    )


async def test_parks_survive(connection: AsyncConnection) -> None:
    await save_parks(connection, [park("a"), park("b", 700.0, strikes=3)])

    assert sorted(await load_parks(connection), key=lambda one: one.scope.what) == [
        park("a"),
        park("b", 700.0, strikes=3),
    ]


@pytest.mark.parametrize("order", [(600.0, 900.0), (900.0, 600.0)])
async def test_the_later_deadline_wins(connection: AsyncConnection, order: tuple[float, float]) -> None:
    for rest_s in order:
        await save_parks(connection, [park("a", rest_s)])

    assert await load_parks(connection) == [park("a", 900.0)]


async def test_the_later_deadline_wins_in_one_call_too(connection: AsyncConnection) -> None:
    await save_parks(connection, [park("a", 900.0), park("a", 600.0)])

    assert await load_parks(connection) == [park("a", 900.0)]


async def test_what_is_rejected_stays_rejected_until_it_is_forgotten(connection: AsyncConnection) -> None:
    await save_parks(connection, [park("a", 900.0)])
    await save_parks(connection, [park("a", 1.0, is_rejected=True)])
    await save_parks(connection, [park("a", 950.0)])

    assert await load_parks(connection) == [park("a", 950.0, is_rejected=True)]

    assert await forget_parks(connection, [park("a").scope, park("b").scope]) == 1
    assert await load_parks(connection) == []


async def test_what_is_over_is_not_loaded_but_the_rejected_is(connection: AsyncConnection) -> None:
    await save_parks(connection, [park("over", -1.0), park("dead", -1.0, is_rejected=True), park("on")])

    assert {one.scope.what for one in await load_parks(connection)} == {"dead", "on"}


async def test_what_is_over_is_deleted_in_batches(connection: AsyncConnection) -> None:
    over = [park(f"m{number}", -1.0) for number in range(25)]
    await save_parks(connection, [*over, park("dead", -1.0, is_rejected=True), park("on")])

    assert [await delete_expired_parks(connection, 10) for _ in range(4)] == [10, 10, 5, 0]
    assert await connection.scalar(text("SELECT count(*) FROM cooldowns")) == 2


async def test_rows_of_another_release_are_left_out(connection: AsyncConnection) -> None:
    await save_parks(connection, [park("a"), park("b"), park("c")])
    await connection.execute(text("UPDATE cooldowns SET reason = 'bored' WHERE what = 'a'"))
    await connection.execute(text("UPDATE cooldowns SET scope_kind = 'planet' WHERE what = 'b'"))

    assert [one.scope.what for one in await load_parks(connection)] == ["c"]


async def test_thousands_at_once_and_from_many_sides(engine: AsyncEngine, connection: AsyncConnection) -> None:
    parks = [park(f"m{number}") for number in range(1200)]
    table = ParkTable(engine)

    done = await asyncio.gather(table.keep(parks, []), table.keep(parks[::-1], []), table.keep([], [parks[0].scope]))

    assert done == [True, True, True]
    assert len(await load_parks(connection)) >= 1199


async def test_names_that_no_row_can_hold_are_left_out(engine: AsyncEngine, connection: AsyncConnection) -> None:
    odd = [park("nul\0"), park("x" * 5000)]

    assert await ParkTable(engine).keep([*odd, park("a")], [one.scope for one in odd])
    assert await load_parks(connection) == [park("a")]


async def test_a_table_that_is_away_says_so() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", 1)

    assert not await ParkTable(engine).keep([park("a")], [])
    await ParkTable(engine).delete_expired()
    with pytest.raises(StoreUnavailable):
        await ParkTable(engine).load()

    await engine.dispose()


@pytest.fixture
async def account(connection: AsyncConnection) -> str:
    await connection.execute(text("INSERT INTO providers (id, name, base_url) VALUES ('p', 'p', 'http://127.0.0.1')"))
    made = await connection.scalar(
        text("INSERT INTO accounts (provider_id, label, auth_data) VALUES ('p', 'a', '{}') RETURNING id::text")
    )
    return str(made)


def rejected(account: str, reason: OutcomeKind = OutcomeKind.CREDENTIAL_REJECTED) -> Park:
    scope = Scope(ScopeKind.ACCOUNT, account)
    return msgspec.structs.replace(park("", is_rejected=True), scope=scope, reason=reason)


async def test_a_rejection_ends_with_an_edit_that_no_gateway_saw(connection: AsyncConnection, account: str) -> None:
    await save_parks(connection, [rejected(account)])
    assert await load_parks(connection) == [rejected(account)]

    await connection.execute(text("""UPDATE accounts SET auth_data = '{"api_key": "sk-new"}'"""))

    assert await load_parks(connection) == []
    assert await forget_edited(connection) == 1


async def test_a_rejection_after_the_edit_stays(connection: AsyncConnection, account: str) -> None:
    await connection.execute(text("""UPDATE accounts SET auth_data = '{"api_key": "sk-new"}'"""))
    await save_parks(connection, [rejected(account)])

    assert await forget_edited(connection) == 0
    assert await load_parks(connection) == [rejected(account)]


async def test_an_edit_ends_no_other_rest(connection: AsyncConnection, account: str) -> None:
    others = [rejected("another"), rejected(account, OutcomeKind.OUT_OF_QUOTA)]
    for other in others:
        await save_parks(connection, [other])

        await connection.execute(text("UPDATE accounts SET weight = 2"))

        assert await load_parks(connection) == [other]
        await forget_parks(connection, [other.scope])
