"""Fixtures of all tests: a PostgreSQL server per session, and a database per test."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg
import hypothesis
import pytest

from tests.databases import chosen_source, running_server, sibling_url

hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
"""The same examples each time, whatever the machine's speed; nothing is written into the checkout."""
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_report_header() -> str:
    source = chosen_source()
    named = {"url": "TEST_DATABASE_URL", "docker": "a container (testcontainers)", "embedded": "the embedded server"}
    return f"database: {named[source]}"


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """A server to create databases on; never put tables into the database it names."""
    with running_server() as url:
        yield url


@pytest.fixture(scope="session")
async def template_database(postgres_server_url: str) -> AsyncIterator[str]:
    """The name of a migrated database that nobody connects to: copies of it take some 30 ms."""
    from gateway.store.migrate import upgrade  # noqa: PLC0415  # unit tests need no SQL library

    name = await _create(postgres_server_url)
    await asyncio.to_thread(upgrade, sibling_url(postgres_server_url, name))
    yield name
    await _drop(postgres_server_url, name)


@pytest.fixture
async def database_url(postgres_server_url: str, template_database: str) -> AsyncIterator[str]:
    """A fresh, migrated database of this test alone."""
    name = await _create(postgres_server_url, template=template_database)
    yield sibling_url(postgres_server_url, name)
    await _drop(postgres_server_url, name)


@pytest.fixture
async def empty_database_url(postgres_server_url: str) -> AsyncIterator[str]:
    """A fresh database with nothing in it."""
    name = await _create(postgres_server_url)
    yield sibling_url(postgres_server_url, name)
    await _drop(postgres_server_url, name)


async def _create(server_url: str, *, template: str = "template0") -> str:
    name = f"gw_test_{uuid.uuid4().hex[:16]}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
    return name


async def _drop(server_url: str, name: str) -> None:
    await _execute(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _execute(server_url: str, statement: str) -> None:
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
