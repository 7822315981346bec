"""The fixtures that every database test stands on."""

import asyncpg
import pytest

from tests.emptied import OTHERS_END, STRUCTURE, TABLES, Databases, drop_database

PROVIDER = "INSERT INTO providers (id, name, base_url) VALUES ('p', 'p', 'http://127.0.0.1')"
ACCOUNT = "INSERT INTO accounts (provider_id, label, auth_data) VALUES ('p', 'a', '{}')"
ODD_ROWS = ("DELETE FROM model_routes", "UPDATE alembic_version SET version_num = 'x'")
MANY = """
    INSERT INTO providers (id, name, base_url)
    SELECT n, repeat('x', 200), 'http://127.0.0.1' FROM generate_series(1, 9000) n
"""
SETTING = "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET lock_timeout = 5'; END $$"
TRIGGER = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'accounts'::regclass AND NOT tgisinternal"


async def test_database_url_is_migrated(database_url):
    connection = await asyncpg.connect(database_url)

    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()

    assert {"providers", "accounts", "model_routes"} <= {row["tablename"] for row in tables}


async def test_two_tests_never_share_a_database(empty_database_url, database_url, databases):
    connection = await asyncpg.connect(empty_database_url)

    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    other = await databases.take()

    assert tables == []
    assert len({empty_database_url, database_url, other}) == 3
    await databases.give_back(other)


@pytest.fixture
async def of_one(postgres_server_url, template_database):
    """Databases of this test alone."""
    databases = Databases(postgres_server_url, template_database)
    yield databases
    await databases.close()


async def used(url, *statements):
    """Does what a test does, and forgets to close its connection."""
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    return connection


async def content(connection):
    """All rows of all tables."""
    return {table: await connection.fetch(f"SELECT * FROM {table}") for (table,) in await connection.fetch(TABLES)}  # noqa: S608  # our own tables


async def test_a_used_database_is_as_good_as_new(of_one):
    url = await of_one.take()
    before = await used(url)
    new = await content(before)
    left_open = await used(
        url, PROVIDER, ACCOUNT, "DELETE FROM model_routes", "UPDATE alembic_version SET version_num = 1"
    )
    await left_open.execute("BEGIN; UPDATE accounts SET weight = 2")

    await of_one.give_back(url)
    again = await of_one.take()

    assert again == url
    connection = await used(again)
    assert await content(connection) == new
    assert left_open.is_closed()
    await connection.execute(PROVIDER)
    made = await connection.fetchval("SELECT nextval(pg_get_serial_sequence('audit_log', 'id'))")
    assert made == 1
    for each in (before, left_open, connection):
        each.terminate()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("ALTER TABLE accounts ADD COLUMN colour text", id="column"),
        pytest.param("ALTER TABLE accounts DROP COLUMN weight", id="no-column"),
        pytest.param("CREATE TABLE more (n int)", id="table"),
        pytest.param("CREATE INDEX more ON accounts (label)", id="index"),
        pytest.param("DROP TRIGGER {trigger} ON accounts", id="no-trigger"),
        pytest.param("ALTER TABLE accounts DISABLE TRIGGER ALL", id="triggers-off"),
        pytest.param("CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'", id="function"),
        pytest.param("ALTER TABLE accounts ADD CHECK (tier < 9)", id="constraint"),
        pytest.param("CREATE SCHEMA more", id="schema"),
        pytest.param(SETTING, id="setting"),
    ],
)
async def test_any_change_of_the_structure_is_seen(database_url, change):
    connection = await asyncpg.connect(database_url)
    before = await connection.fetchval(STRUCTURE)
    transaction = connection.transaction()
    await transaction.start()

    await connection.execute(change.format(trigger=await connection.fetchval(TRIGGER)))

    assert await connection.fetchval(STRUCTURE) != before
    await transaction.rollback()
    assert await connection.fetchval(STRUCTURE) == before
    await connection.close()


@pytest.mark.parametrize(
    "change", [pytest.param("CREATE TABLE more (n int)", id="table"), pytest.param(MANY, id="size")]
)
async def test_a_database_that_cannot_be_as_new_is_dropped(of_one, change):
    url = await of_one.take()
    await (await used(url, change)).close()

    await of_one.give_back(url)
    another = await of_one.take()

    assert another != url
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


async def test_a_database_that_was_lost_is_replaced(of_one, postgres_server_url):
    url = await of_one.take()
    await drop_database(postgres_server_url, url.partition("?")[0].rpartition("/")[2])

    await of_one.give_back(url)

    (await used(await of_one.take())).terminate()


async def test_what_a_test_left_undone_on_the_connection_that_stays_is_undone(of_one):
    url = await of_one.take()
    connection = await of_one.opened(url)
    await connection.execute(f"SET lock_timeout = 5; SELECT pg_advisory_lock(1); BEGIN; {PROVIDER}; LISTEN news")

    await of_one.give_back(url)

    assert await of_one.take() == url
    assert await of_one.opened(url) is connection
    assert await connection.fetchval("SHOW lock_timeout") == "0"
    assert await connection.fetchval("SELECT count(*) FROM providers") == 0
    assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_test_may_end_every_connection(of_one):
    url = await of_one.take()
    connection = await used(url, PROVIDER)
    await connection.execute(OTHERS_END)
    connection.terminate()

    await of_one.give_back(url)

    assert await of_one.take() == url
