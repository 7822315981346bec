"""`Engines`: all ways out of a worker behind one port: our own HTTP/1.1, and one httpx2 engine for each `Via`."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Origin, UpstreamRequest, Via
from gateway.upstream.answer import Http1Answer
from gateway.upstream.http1 import Http1Engine
from gateway.upstream.httpx_engine import HttpxAnswer, HttpxEngine
from gateway.upstream.pool import OriginStats

MAX_ENGINES = 32
"""Of httpx2, at once: each has a pool and the system's authorities in memory, about a megabyte."""


class Engines:
    """Fits `relay.ports.Upstream`. One for each worker; use it on one event loop."""

    def __init__(self, *, ca_file: str | None = None) -> None:
        """`ca_file`: PEM file of the only authorities to trust; None means the system's."""
        self._ca_file = ca_file
        self._direct = Http1Engine(ca_file=ca_file)
        self._through: dict[Via, HttpxEngine] = {}
        """The one used last stands last."""
        self._making = asyncio.Lock()

    def attempt(
        self, request: UpstreamRequest
    ) -> Coroutine[Any, Any, Http1Answer | Fault] | Coroutine[Any, Any, HttpxAnswer | Fault]:
        """Not a coroutine function itself: most calls are direct, and pay for no second one."""
        return self._direct.attempt(request) if request.via is None else self._attempt_through(request.via, request)

    def stats(self) -> dict[Origin, OriginStats]:
        """Of direct connections: httpx2 counts none."""
        return self._direct.stats()

    async def close_unused(self, wanted: Iterable[Via]) -> None:
        """Closes engines whose `Via` is not among `wanted` and whose last answer has ended: call it now and then."""
        kept = frozenset(wanted)
        for via in [via for via, engine in self._through.items() if via not in kept and not engine.in_use]:
            await self._through.pop(via).aclose()

    async def aclose(self) -> None:
        """Cuts all connections; calls under way get a fault."""
        await self._direct.aclose()
        while self._through:
            _, engine = self._through.popitem()
            await engine.aclose()

    async def _attempt_through(self, via: Via, request: UpstreamRequest) -> HttpxAnswer | Fault:
        engine = self._through.pop(via, None) or await self._made(via)
        if engine is None:
            return Fault(FaultKind.CONNECT, f"more than {MAX_ENGINES} proxies are in use at once")
        self._through[via] = engine
        return await engine.attempt(request)

    async def _made(self, via: Via) -> HttpxEngine | None:
        """None: there are too many, and all are in use."""
        async with self._making:
            if via in self._through:  # another call made it meanwhile
                return self._through[via]
            if len(self._through) >= MAX_ENGINES and not await self._close_oldest():
                return None
            # Its first import takes 0.2 s, and each engine 10 ms to read the system's authorities.
            engine = await asyncio.to_thread(
                HttpxEngine,
                proxy=via.proxy.reveal() if via.proxy else None,
                has_http2=via.http2,
                ca_file=self._ca_file,
                keep_alive_s=via.keep_alive_s,
                max_idle=via.max_idle,
            )
            self._through[via] = engine
            return engine

    async def _close_oldest(self) -> bool:
        """Closes the engine that has rested longest. Whether there was one."""
        via = next((via for via, engine in self._through.items() if not engine.in_use), None)
        if via is None:
            return False
        await self._through.pop(via).aclose()
        return True
