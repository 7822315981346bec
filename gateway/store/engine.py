"""Engines and plain connections from one kind of DSN: `postgresql://user:password@host:port/name?host=/socket/dir`.

Every way to the server has a timeout, and every way in which it can be away is one exception: `StoreUnavailable`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 10.0
POOL_TIMEOUT_S = 5.0

_AWAY_STATES = frozenset({"57P01", "57P02", "57P03", "53300", "57014", "25006", "28000", "28P01", "3D000", "55000"})
"""SQLSTATEs of a server that goes, went, is not up yet, has no connection left, is too slow, is a standby that only
reads, no longer knows us, or lets nobody in (`ALLOW_CONNECTIONS false`)."""


class StoreUnavailable(Exception):
    """Postgres cannot be reached now. The admin API answers 503; calls go on from the last snapshot."""


def plain_dsn(dsn: str) -> str:
    """The DSN as asyncpg and psql read it, whatever driver the given one names (`postgres://`, `postgresql+asyncpg://`)."""
    _, separator, rest = dsn.partition("://")
    return f"postgresql://{rest}" if separator else dsn


def make_engine(dsn: str, pool_size: int = 5, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> AsyncEngine:
    """A pool of at most `pool_size` connections; connects on first use. A statement timeout of 0 means none."""
    return create_async_engine(
        make_url(plain_dsn(dsn)).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text goes to the log, and a credential may be among them
        json_serializer=write_json,
        json_deserializer=msgspec.json.decode,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "server_settings": _server_settings(statement_timeout_s),
            "command_timeout": _command_timeout_s(statement_timeout_s),
        },
    )


async def connect(dsn: str, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> asyncpg.Connection:
    """One connection of one's own, outside of any pool.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """
    with store_errors():
        return await asyncpg.connect(
            plain_dsn(dsn),
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=_command_timeout_s(statement_timeout_s),
            server_settings=_server_settings(statement_timeout_s),
        )


@contextmanager
def store_errors() -> Iterator[None]:
    """Inside it, every error that means "the server is away" leaves as `StoreUnavailable`; others as they are."""
    try:
        yield
    except (OSError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError) as error:
        if not is_away(error):
            raise
        raise StoreUnavailable(f"Postgres cannot be reached: {type(_driver_error(error)).__name__}") from error


def is_away(error: BaseException) -> bool:
    """Whether an error means that the server is away, and not that it refused the statement."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    driver = _driver_error(error)
    if isinstance(driver, asyncpg.PostgresError):
        state = driver.sqlstate or ""
        return state.startswith("08") or state in _AWAY_STATES
    if isinstance(driver, asyncpg.InterfaceError):
        return not isinstance(driver, ValueError)  # asyncpg.DataError: an argument of ours that does not fit
    return isinstance(driver, (OSError, PoolTimeout))  # a TimeoutError is an OSError


def _driver_error(error: BaseException) -> BaseException:
    """Asyncpg's own error below SQLAlchemy's two wrappers."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def write_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _server_settings(statement_timeout_s: float) -> dict[str, str]:
    return {
        "application_name": "gateway",
        "statement_timeout": str(int(statement_timeout_s * 1000)),
        "timezone": "UTC",
    }


def _command_timeout_s(statement_timeout_s: float) -> float | None:
    """The server's own timeout comes first; the driver's is for a network that swallows everything."""
    return statement_timeout_s + 5.0 if statement_timeout_s else None
