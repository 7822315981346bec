"""Fixtures of all tests: a PostgreSQL server per session, and a database per test."""

import asyncio
import contextlib
import gc
import importlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.databases import chosen_source, running_server, sibling_url
from tests.emptied import Databases, create_database, drop_database

HERE = Path(__file__).resolve().parent

hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
"""The same examples each time, whatever the machine's speed; nothing is written into the checkout."""
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


gc.disable()  # what is made while tests are collected stays


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Each xdist worker imports its share of all tests before it collects them, and then the others'.

    Who imports a test module first compiles it for all. Rewriting its assertions takes 10 ms and more, and each worker
    of a fresh clone would do that for every module.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or any(Path(path).resolve() != HERE for path in session.config.args):
        return
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for path in sorted(HERE.rglob("test_*.py"))[number::count]:
        name = ".".join(path.relative_to(HERE.parent).with_suffix("").parts)
        with contextlib.suppress(Exception, pytest.skip.Exception):  # pytest says it better, where it collects it
            importlib.import_module(name)


def pytest_collection_finish() -> None:
    """The collector looks no more at what eight thousand collected tests are made of: each full look took 0.5 s."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


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
    """The name of a migrated database that nobody connects to."""
    from gateway.store.migrate import upgrade  # noqa: PLC0415  # unit tests need no SQL library

    name = await create_database(postgres_server_url)
    await asyncio.to_thread(upgrade, sibling_url(postgres_server_url, name))
    yield name
    await drop_database(postgres_server_url, name)


@pytest.fixture(scope="session")
async def databases(postgres_server_url: str, template_database: str) -> AsyncIterator[Databases]:
    """Migrated databases: for fixtures that live longer than a test."""
    databases = Databases(postgres_server_url, template_database)
    yield databases
    await databases.close()


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A migrated database, as good as new, of this test alone."""
    url = await databases.take()
    yield url
    await databases.give_back(url)


@pytest.fixture
async def empty_database_url(postgres_server_url: str) -> AsyncIterator[str]:
    """A fresh database with nothing in it."""
    name = await create_database(postgres_server_url)
    yield sibling_url(postgres_server_url, name)
    await drop_database(postgres_server_url, name)
