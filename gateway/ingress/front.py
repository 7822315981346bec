"""`Front`: the data plane before Litestar's router.

Calls to /v1 take no part in routing, middleware or exception handling of pages: measured, that is a tenth of a small
call's CPU (docs/benchmarks.md). Everything else is Litestar's.
"""

from collections.abc import Awaitable, Callable

from litestar import Litestar
from litestar.datastructures import State

from gateway.ingress.asgi import Receive, Scope, Send

ROOT = b"/v1"
PREFIX = b"/v1/"

DataPlaneApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """An ASGI application; one per worker."""

    def __init__(self, *, data_plane: DataPlaneApp, sockets: DataPlaneApp, pages: Litestar) -> None:
        """`sockets` answers every WebSocket, wherever it leads: no page has one."""
        self._data_plane = data_plane
        self._sockets = sockets
        self.pages = pages

    @property
    def state(self) -> State:
        """Litestar's, where the worker finds `drain`."""
        return self.pages.state

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The answer's own coroutine: one around it would cost every call."""
        if scope["type"] == "http" and (scope["raw_path"].startswith(PREFIX) or scope["raw_path"] == ROOT):
            return self._data_plane(scope, receive, send)
        if scope["type"] == "websocket":
            return self._sockets(scope, receive, send)
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the same answer; the server, which knows better, leaves the body out
        return self.pages(scope, receive, send)  # type: ignore[arg-type]  # Litestar's own words for the same three
