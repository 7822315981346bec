"""`OriginPool`: the connections to one origin; idle ones are reused, last in first out, so that the rest can expire."""

import asyncio
import socket
import ssl
from math import inf

import msgspec

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Limits, Origin
from gateway.upstream import faults
from gateway.upstream.connection import Connection
from gateway.upstream.dial import open_socket
from gateway.upstream.request_head import first_line_end

_LET_GO_S = 5.0
"""How long closing waits for the event loop to close sockets that were cut; it takes one turn."""


class OriginStats(msgspec.Struct, frozen=True):
    """Counters of one origin since the start, for metrics."""

    open: int
    """Connections that stand now, idle ones too."""
    idle: int
    opened: int
    """Connections made."""
    reused: int
    """Calls that went out on a connection made earlier."""


class OriginPool:
    __slots__ = (
        "_connections",
        "_emptied",
        "_expiry",
        "_idle",
        "_is_closed",
        "_keep_alive_s",
        "_loop",
        "_max_idle",
        "_opened",
        "_origin",
        "_reused",
        "_tls",
        "line_end",
    )

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        self.line_end = first_line_end(origin)
        """What every request's first line ends with, `host` included."""
        self._origin = origin
        self._loop = loop
        self._tls = tls
        self._idle: list[Connection] = []
        """By the time they came back, the oldest first."""
        self._connections: set[Connection] = set()
        """From made to lost."""
        self._opened = 0
        self._reused = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._keep_alive_s = inf
        self._max_idle = 0
        """These two as the latest call's limits say."""
        self._is_closed = False
        self._emptied: asyncio.Future[None] | None = None
        """While closing: the event loop has let go of the last connection."""

    @property
    def stats(self) -> OriginStats:
        return OriginStats(len(self._connections), len(self._idle), self._opened, self._reused)

    def take(self, limits: Limits) -> Connection | None:
        """The idle connection that was used last; None when there is none young enough."""
        self._keep_alive_s = limits.keep_alive_s
        self._max_idle = limits.max_idle
        idle = self._idle
        if not idle:
            return None
        now = self._loop.time()
        connection = idle.pop()
        connection.is_idle = False
        if now - connection.idle_since >= limits.keep_alive_s:
            connection.close()
            self._expire()
            return None
        connection.taken_at = now
        self._reused += 1
        return connection

    async def connect(self, limits: Limits) -> Connection | Fault:
        """A new connection, TLS included; at most `limits.connect_s`."""
        is_tls = False
        try:
            async with asyncio.timeout(limits.connect_s):
                sock = await open_socket(self._loop, self._origin.host, self._origin.port)
                is_tls = self._tls is not None
                connection = await self._open(sock)
        except TimeoutError as error:
            if error.errno is not None:  # the system's own ETIMEDOUT
                return faults.connect_fault(error, is_tls=is_tls)
            return faults.connect_timeout(limits.connect_s)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no resolver can be asked for
            return faults.connect_fault(error, is_tls=is_tls)
        if self._is_closed:
            connection.abort()
            return Fault(FaultKind.CONNECT, "the engine is closed")
        return connection

    def admit(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._opened += 1

    def give_back(self, connection: Connection) -> None:
        if self._is_closed:
            connection.abort()
            return
        idle = self._idle
        connection.is_idle = True
        connection.idle_since = self._loop.time()
        idle.append(connection)
        if len(idle) > self._max_idle:
            idle[0].close()
        if self._expiry is None:
            self._expiry = self._loop.call_later(self._keep_alive_s, self._expire)

    def retire(self, connection: Connection) -> None:
        if connection.is_idle:
            connection.is_idle = False
            self._idle.remove(connection)

    def forget(self, connection: Connection) -> None:
        self.retire(connection)
        self._connections.discard(connection)
        if self._emptied is not None and not self._connections and not self._emptied.done():
            self._emptied.set_result(None)

    async def aclose(self) -> None:
        """Cuts every connection; calls that use one get a fault. Later ones are cut as they come."""
        self._is_closed = True
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._connections:
            self._emptied = self._loop.create_future()
            for connection in list(self._connections):
                connection.abort()
            _ = await asyncio.wait([self._emptied], timeout=_LET_GO_S)

    async def _open(self, sock: socket.socket) -> Connection:
        """A connection on a connected socket, which it owns from here on; TLS is agreed upon."""
        connection = Connection(self, self._loop)
        host = self._origin.host if self._tls is not None else None
        try:
            _ = await self._loop.create_connection(lambda: connection, sock=sock, ssl=self._tls, server_hostname=host)
        except BaseException:
            self.forget(connection)  # uvloop, cancelled here, says `connection_made` and never `connection_lost`
            raise
        return connection

    def _expire(self) -> None:
        """Closes what has been idle too long, and comes again for the next of them."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        born = self._loop.time() - self._keep_alive_s
        while self._idle and self._idle[0].idle_since <= born:
            self._idle[0].close()
        if self._idle:
            self._expiry = self._loop.call_at(self._idle[0].idle_since + self._keep_alive_s, self._expire)
