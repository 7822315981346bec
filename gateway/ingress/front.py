"""`Front`: the data plane before Litestar's router.

    /v1, WebSockets ─▶ data plane
    /health, /metrics, lifespan ─▶ probes
    all else ─▶ pages, made when somebody first asks for one

Calls to /v1 take no part in routing, middleware or exception handling of pages: measured, that is a tenth of a small
call's CPU (docs/benchmarks.md).
"""

import asyncio
from collections.abc import Awaitable, Callable

from litestar import Litestar
from litestar.datastructures import State

from gateway.ingress.asgi import Receive, Scope, Send

ROOT = b"/v1"
PREFIX = b"/v1/"
PROBES = frozenset({b"/health", b"/health/live", b"/health/ready", b"/metrics"})
"""What machines ask every worker for, again and again."""

DataPlaneApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """An ASGI application; one per worker."""

    def __init__(
        self, *, data_plane: DataPlaneApp, sockets: DataPlaneApp, probes: Litestar, pages: Callable[[], Litestar]
    ) -> None:
        """`sockets` answers every WebSocket, wherever it leads: no page has one. `probes` has the lifespan. `pages`
        makes the application of all else; it is called in a thread, for it takes as long as hundreds of calls.
        """
        self._data_plane = data_plane
        self._sockets = sockets
        self._probes = probes
        self._make_pages = pages
        self._pages: Litestar | None = None
        self._making = asyncio.Lock()

    @property
    def state(self) -> State:
        """Litestar's, where the worker finds `drain`."""
        return self._probes.state

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The answer's own coroutine: one around it would cost every call."""
        if scope["type"] == "http" and (scope["raw_path"].startswith(PREFIX) or scope["raw_path"] == ROOT):
            return self._data_plane(scope, receive, send)
        if scope["type"] == "websocket":
            return self._sockets(scope, receive, send)
        if scope["type"] == "lifespan":
            return self._probes(scope, receive, send)  # type: ignore[arg-type]  # Litestar's own words for the same three
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the same answer; the server, which knows better, leaves the body out
        if scope["raw_path"] in PROBES:
            return self._probes(scope, receive, send)  # type: ignore[arg-type]  # the same
        return self._page(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        pages = self._pages or await self._made_pages()
        await pages(scope, receive, send)  # type: ignore[arg-type]  # the same

    async def _made_pages(self) -> Litestar:
        async with self._making:
            if self._pages is None:
                self._pages = await asyncio.to_thread(self._make_pages)
            return self._pages
