import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.engine import StoreUnavailable, connect, make_engine, store_errors


async def test_a_refused_connection_is_store_unavailable() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", 1)

    with pytest.raises(StoreUnavailable), store_errors():
        async with engine.connect():
            pass
    with pytest.raises(StoreUnavailable):
        await connect("postgresql://nobody@127.0.0.1:1/none")

    await engine.dispose()


async def test_a_connection_cut_in_the_middle_is_store_unavailable_and_the_pool_recovers(engine: AsyncEngine) -> None:
    with pytest.raises(StoreUnavailable), store_errors():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


async def test_a_slow_statement_is_stopped(database_url: str) -> None:
    engine = make_engine(database_url, 1, statement_timeout_s=0.05)

    with pytest.raises(StoreUnavailable), store_errors():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    await engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT 1 / 0", id="arithmetic"),
        pytest.param("SELECT nothing FROM nowhere", id="no-such-table"),
        pytest.param("INSERT INTO providers (id) VALUES ('a')", id="constraint"),
    ],
)
async def test_a_refused_statement_stays_what_it_is(engine: AsyncEngine, statement: str) -> None:
    with pytest.raises(DBAPIError), store_errors():
        async with engine.connect() as connection:
            await connection.execute(text(statement))


async def test_an_argument_that_does_not_fit_is_no_outage(engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError), store_errors():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT CAST(:n AS integer)"), {"n": "text"})


async def test_an_errors_text_holds_no_parameter_of_its_statement(engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError) as failed:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere WHERE key = :key"), {"key": "sk-proj-abcdef"})

    assert "sk-proj-abcdef" not in str(failed.value)
