"""`Http1Engine`: the default way out, HTTP/1.1 on asyncio and httptools, a pool of connections for each origin.

attempt → pool.take, else pool.connect → connection.exchange → Http1Answer → close → pool.give_back, else cut
"""

import asyncio
import ssl

import msgspec

from gateway.core.outcome import Fault
from gateway.providers.base import Origin, UpstreamRequest
from gateway.upstream.answer import Http1Answer
from gateway.upstream.connection import Connection
from gateway.upstream.pool import OriginPool, OriginStats
from gateway.upstream.request_head import write_head
from gateway.upstream.tls import client_context


class Http1Engine:
    """Fits `relay.ports.Upstream`. One for each worker; use it on one event loop."""

    def __init__(self, *, ca_file: str | None = None) -> None:
        """`ca_file`: PEM file of the only authorities to trust; None means the system's."""
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[Origin, OriginPool] = {}

    async def attempt(self, request: UpstreamRequest) -> Http1Answer | Fault:
        """Raises ValueError, before anything is sent, for a header or target that would break the request's framing."""
        pool = self._pools.get(request.origin)
        if pool is None:
            pool = self._open_pool(request.origin)
        head = write_head(request, pool.line_end)
        connection = pool.take(request.limits)
        if connection is None:
            return await _attempt_on_new(pool, request, head)
        fault = await connection.exchange(request, head)
        if fault is None:
            return Http1Answer(connection)
        is_stale = connection.is_stale(fault)
        connection.abort()
        if not (is_stale and (request.may_resend or not fault.is_body_sent)):
            return fault
        answer = await _attempt_on_new(pool, request, head)
        if isinstance(answer, Fault) and fault.is_body_sent and not answer.is_body_sent:
            return msgspec.structs.replace(answer, is_body_sent=True)
        return answer

    def stats(self) -> dict[Origin, OriginStats]:
        return {origin: pool.stats for origin, pool in self._pools.items()}

    async def aclose(self) -> None:
        """Cuts all connections; calls under way get a fault. Returns once the event loop has let go of them."""
        for pool in self._pools.values():
            await pool.aclose()

    def _open_pool(self, origin: Origin) -> OriginPool:
        if origin.scheme == "https" and self._tls is None:
            self._tls = client_context(self._ca_file)
        tls = self._tls if origin.scheme == "https" else None
        pool = self._pools[origin] = OriginPool(origin, asyncio.get_running_loop(), tls)
        return pool


async def _attempt_on_new(pool: OriginPool, request: UpstreamRequest, head: bytes) -> Http1Answer | Fault:
    connection = await pool.connect(request.limits)
    if not isinstance(connection, Connection):
        return connection
    fault = await connection.exchange(request, head)
    if fault is None:
        return Http1Answer(connection)
    connection.abort()
    return fault
