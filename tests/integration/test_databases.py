"""The fixtures that every database test stands on."""

import asyncpg


async def test_database_url_is_migrated(database_url):
    connection = await asyncpg.connect(database_url)

    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()

    assert {"providers", "accounts", "model_routes"} <= {row["tablename"] for row in tables}


async def test_two_tests_never_share_a_database(empty_database_url, database_url):
    connection = await asyncpg.connect(empty_database_url)

    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()

    assert tables == []
    assert empty_database_url != database_url
