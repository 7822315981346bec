"""NOTIFY, on a connection of its own that is made when there is something to send."""

from collections.abc import Sequence

import asyncpg

from gateway.notify.connection import CONNECTION_ERRORS, connect


class PgChannel:
    """Fits `announcer.Channel`."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._connection: asyncpg.Connection | None = None

    async def send(self, payloads: Sequence[str]) -> bool:
        """All of them in one transaction: they are heard in this order, or not at all. False: not now."""
        if not payloads:
            return True
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._dsn, name="gateway announcer")
                await self._connection.execute("SET synchronous_commit TO off")  # news need not outlive a crash
            await self._connection.executemany(
                "SELECT pg_notify($1, $2)", [(self._name, payload) for payload in payloads]
            )
        except CONNECTION_ERRORS:
            await self.close()
            return False
        return True

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
