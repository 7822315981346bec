"""One connection to Postgres of one's own, made anew as often as it takes."""

from typing import Final

import asyncpg

CONNECT_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 5.0
FIRST_BACKOFF_S: Final = 0.05
LONGEST_BACKOFF_S: Final = 2.0

CONNECTION_ERRORS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Every way in which a connection fails to come or goes; a TimeoutError is an OSError."""


async def connect(dsn: str, *, name: str) -> asyncpg.Connection:
    """Raises one of CONNECTION_ERRORS. `name` is what `pg_stat_activity` shows."""
    return await asyncpg.connect(
        dsn,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        server_settings={"application_name": name},
    )


class Backoff:
    """50 ms, doubling to 2 s, until `reset`."""

    def __init__(self) -> None:
        self.tries = 0
        """Since the last `reset`."""

    def next_s(self) -> float:
        seconds = min(FIRST_BACKOFF_S * 2.0 ** min(self.tries, 16), LONGEST_BACKOFF_S)
        self.tries += 1
        return seconds

    def reset(self) -> None:
        self.tries = 0
