"""What a command works on: the settings, the database (the embedded one started if nobody runs it), the cipher."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.providers.catalog import KINDS
from gateway.relay.clock import SystemClock
from gateway.settings import Settings
from gateway.settings_load import load_settings
from gateway.start import StartFailed, encryption_keys, opened_database, wait_for_database
from gateway.store.cipher import Cipher
from gateway.store.engine import make_engine
from gateway.store.migrate import current_revision, head_revision, upgrade
from gateway.telemetry.log import configure

T = TypeVar("T")

ACTOR = "cli"
"""In the audit log."""
WAIT_S = 5.0
"""For a database that does not answer: a person waits."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a command may touch."""

    settings: Settings
    dsn: str
    engine: AsyncEngine
    cipher: Cipher
    kinds: frozenset[str]


def run(work: Callable[[Session], Awaitable[T]]) -> T:
    """Does `work` on the database in use, whose schema fits this release."""
    settings = load_settings()
    with quiet_logs(), reachable_database(settings) as dsn:
        _check_schema(settings, dsn)
        return asyncio.run(with_session(settings, dsn, work))


@contextlib.contextmanager
def reachable_database(settings: Settings) -> Iterator[str]:
    """The DSN of a database that answers.

    Raises:
        StartFailed: it does not; the message says what to do.
    """
    with opened_database(settings) as dsn:
        asyncio.run(wait_for_database(dsn, min(WAIT_S, settings.database.wait_s), SystemClock(), _wait_in_silence))
        yield dsn


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Log lines of the parts we use go to stderr, and only errors: stdout is the command's answer."""
    output = configure(level="error", fd=2)
    try:
        yield
    finally:
        output.close()


def _wait_in_silence(_message: str) -> None:
    """A command that fails says so itself, some seconds later."""


def _check_schema(settings: Settings, dsn: str) -> None:
    """The embedded database is ours to migrate; another may be in use by a gateway of another release."""
    there, ours = current_revision(dsn), head_revision()
    if there == ours:
        return
    if settings.database_url is None and there is None:
        upgrade(dsn)
        return
    state = "has no schema yet" if there is None else f"is at schema {there}, this release is made for {ours}"
    raise StartFailed(f"the database {state}: run `gateway migrate`")


async def with_session(settings: Settings, dsn: str, work: Callable[[Session], Awaitable[T]]) -> T:
    """Does `work` on the database at `dsn`, which answers and has this release's schema."""
    engine = make_engine(dsn, 1)
    try:
        cipher = Cipher(encryption_keys(settings))
        return await work(Session(settings=settings, dsn=dsn, engine=engine, cipher=cipher, kinds=frozenset(KINDS)))
    finally:
        await engine.dispose()
