"""`Http1Answer`: a head that has come and the body behind it, as `relay.ports.UpstreamAnswer` wants it."""

from gateway.core.outcome import Fault
from gateway.upstream import faults
from gateway.upstream.connection import Connection
from gateway.upstream.whole import read_whole


class Http1Answer:
    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.status = connection.reader.status
        self.headers = connection.reader.headers

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:
        """Everything that has come since the last chunk; b"" at the clean end. Cancelling it cuts the connection."""
        connection = self._connection
        if connection is None:
            return faults.closed_here()
        reader = connection.reader
        while not reader.pieces:
            if reader.is_whole:
                return b""
            if reader.fault is not None:
                return reader.fault
            await connection.wait(connection.stall_s if timeout_s is None else timeout_s)
            if self._connection is None:
                return faults.closed_here()  # and the connection may serve another call by now
        return connection.take()

    async def read_all(self, max_bytes: int) -> bytes | Fault:
        connection = self._connection
        if connection is not None and connection.reader.is_whole and connection.reader.received <= max_bytes:
            return connection.take()  # the usual small answer: nothing to wait for
        return await read_whole(self.next_chunk, max_bytes)

    def close(self) -> None:
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.release()
