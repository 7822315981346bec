"""Brings a database to the schema of this release, in process: `upgrade(dsn)`.

Plain functions for the command line, the supervisor and tests; from a coroutine call them with `asyncio.to_thread`.
Several may upgrade at once: an advisory lock lets one work and the others find the work done.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from gateway.store.engine import make_engine, store_errors
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger

_log = get_logger()

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

UPGRADE_LOCK = 4_829_001_677_031
"""Key of the advisory lock that is held while migrating. Any number would do; it must never change."""

_ONE_AT_A_TIME = Lock()
"""Alembic's `context` and `op` are globals of the process."""

T = TypeVar("T")


def upgrade(dsn: str, revision: str = "head") -> None:
    """Migrates up to `revision`. Waits for whoever else is migrating this database.

    Raises:
        StoreUnavailable: the server cannot be reached.
        alembic.util.CommandError: the database is at a revision which this release does not know.
    """
    began = monotonic()
    before, after = _run(dsn, lambda connection: _migrate(connection, command.upgrade, revision))
    if before != after:
        _log.info(
            Event.MIGRATIONS_APPLIED,
            from_revision=before,
            to_revision=after,
            total_s=round(monotonic() - began, 3),
        )


def downgrade(dsn: str, revision: str = "base") -> None:
    """Migrates down to `revision`. Raises as `upgrade` does."""
    _run(dsn, lambda connection: _migrate(connection, command.downgrade, revision))


def current_revision(dsn: str) -> str | None:
    """The revision the database is at; None for an empty one. Raises StoreUnavailable."""
    return _run(dsn, _revision_of)


def head_revision() -> str:
    """The newest revision this release knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError(f"no migration in {MIGRATIONS}")
    return head


def _migrate(
    connection: Connection, verb: Callable[[Config, str], None], revision: str
) -> tuple[str | None, str | None]:
    """The revisions before and after."""
    config = _config()
    config.attributes["connection"] = connection
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": UPGRADE_LOCK})
    connection.commit()  # the lock is the session's and stays; the transaction its statement opened must not
    try:
        before = _revision_of(connection)
        connection.rollback()  # what it read; the migrations begin their own
        verb(config, revision)
        connection.commit()
        return before, _revision_of(connection)
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": UPGRADE_LOCK})
        connection.commit()


def _revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _run(dsn: str, work: Callable[[Connection], T]) -> T:
    """Runs `work` on a connection, in a thread with an event loop of its own: the caller's may be running."""
    with _ONE_AT_A_TIME, ThreadPoolExecutor(max_workers=1, thread_name_prefix="migrate") as executor:
        return executor.submit(lambda: asyncio.run(_with_connection(dsn, work))).result()


async def _with_connection(dsn: str, work: Callable[[Connection], T]) -> T:
    # No statement timeout: a migration of a large table takes what it takes.
    engine = make_engine(dsn, 1, statement_timeout_s=0)
    try:
        with store_errors():
            async with engine.connect() as connection:
                return await connection.run_sync(work)
    finally:
        await engine.dispose()
