"""Small ASGI apps for test_serve.py: the supervisor is tried without the gateway behind it."""

import asyncio
import os
import time
from types import SimpleNamespace

from gateway.settings import Settings, WorkerContext

LARGE_BYTES = 32 * 1024 * 1024
"""More than the system takes for a client that does not read."""


class TinyApp:
    """`/` says who answers, `/slow` answers after a second, `/endless` streams until the worker drains; `/large` is."""

    def __init__(self, context: WorkerContext) -> None:
        self._index = context.index
        self._draining = asyncio.Event()
        self._running = 0
        self._idle = asyncio.Event()
        self.state = SimpleNamespace(drain=self._drain)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        self._running += 1
        self._idle.clear()
        try:
            await self._answer(scope["path"], send)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _answer(self, path, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        body = f"{self._index} {os.getpid()}".encode()
        if path == "/slow":
            await send({"type": "http.response.body", "body": b"slow ", "more_body": True})
            await asyncio.sleep(1.0)  # noqa: TID251  # a call that takes real time
        if path == "/endless":
            await send({"type": "http.response.body", "body": b"endless ", "more_body": True})
            await self._draining.wait()
        if path == "/large":
            body = bytes(LARGE_BYTES)
        await send({"type": "http.response.body", "body": body})

    async def _drain(self, deadline_s):
        """Slow calls may end, endless ones are ended at once."""
        self._draining.set()
        if self._running:
            await asyncio.wait_for(self._idle.wait(), deadline_s)

    async def _lifespan(self, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


def build(settings: Settings, context: WorkerContext) -> TinyApp:
    return TinyApp(context)


def build_nothing(settings: Settings, context: WorkerContext) -> TinyApp:
    raise RuntimeError("this app cannot be built")


def build_once(settings: Settings, context: WorkerContext) -> TinyApp:
    """The first process of each worker serves; a successor waits until the file `go` lies in its home."""
    mark = settings.home / f"began-{context.index}"
    if mark.exists():
        while not (settings.home / "go").exists():
            time.sleep(0.02)  # its start takes long
    mark.touch()
    return TinyApp(context)


def build_deaf(settings: Settings, context: WorkerContext) -> TinyApp:
    """Its drain never returns."""

    async def forever(deadline_s):
        await asyncio.Event().wait()

    app = TinyApp(context)
    app.state.drain = forever
    return app
