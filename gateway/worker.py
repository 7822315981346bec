"""A worker process: takes its order, builds the app, serves on its sockets, drains on SIGTERM.

Rules of this file: it imports little, for each worker pays for it. The app offers `app.state.drain(deadline_s)`: it
marks the worker as draining, returns when no call runs any more or at the deadline, and has then ended what was left.
"""

import asyncio
import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Protocol, cast

import uvicorn

from gateway.http_protocol import CoalescingProtocol, websocket_protocol
from gateway.memory import trim_of_libc
from gateway.settings import Settings, WorkerContext, WorkerOrder, read_order

PR_SET_PDEATHSIG = 1
GRACE_S = 2.0
"""For what is left after the app's own drain (health checks, admin calls, clients that read slowly): it is cut once it
has not moved for so long."""
LOOK_S = 0.05
GARBAGE = (10_000, 5, 5)
"""New objects, less those that went, before the collector looks at them; how many such looks before it looks at older
ones. Python's own 700 is a few calls' worth. What is over is freed without it (tests/e2e/test_circles.py), libraries'
circles apart: at 50 looks, those of 500,000 objects held 40 MB."""
LAST_WORDS_BYTES = 2000
UNUSED_EXTRAS = ("pydantic", "rich")
"""What Litestar and structlog load where it happens to be installed, as beside the OpenAI SDK, and no worker needs:
measured, 13 MB and 2.4 MB of each. None in `sys.modules` is Python's own way of saying that it is not there."""

Drain = Callable[[float], Awaitable[None]]


class App(Protocol):
    """An ASGI application; Litestar in production."""

    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


class Factory(Protocol):
    """What `WorkerOrder.app` names: `gateway.app:build_app`."""

    def __call__(self, settings: Settings, context: WorkerContext) -> App: ...


def main() -> None:
    """Runs as `python -m gateway.worker FD`: the file descriptor holds the order."""
    signal.signal(signal.SIGTERM, _exit_quietly)  # until the server is up; and what it restores at its end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = _take_order(int(sys.argv[1]))
    _follow(order.parent_pid)
    leave_out_extras()
    try:
        app = _load(order.app)(order.settings, order.context)
    except Exception as error:
        _say(order.ready_fd, f"{type(error).__name__}: {error}")
        raise
    server = WorkerServer(_config(app, order.settings), order, app)
    _settle_garbage()
    server.run(sockets=[socket.socket(fileno=fd) for fd in order.listen_fds])


class WorkerServer(uvicorn.Server):
    """uvicorn, which says when it serves and lets the app drain before its lifespan ends (stack.md §7)."""

    def __init__(self, config: uvicorn.Config, order: WorkerOrder, app: App) -> None:
        super().__init__(config)
        self._ready_fd = order.ready_fd
        self._drain_s = order.settings.server.drain_s
        self._app = app
        self._hurried = asyncio.Event()
        self._other_fds = order.other_fds
        self._lent: list[asyncio.Server] = []
        """Take connections of workers that died."""
        self._helping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if (trim := trim_of_libc()) is not None:
            trim()  # what the start needed for a moment: measured, 4 MB
        if self._other_fds:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, self._help_others)
            loop.add_signal_handler(signal.SIGUSR2, self._mind_own)
        _say(self._ready_fd, "ready")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        deadline = asyncio.get_running_loop().time() + self._drain_s
        self._mind_own()
        for server in self.servers:
            server.close()
        self._close_idle()
        drain: Drain | None = getattr(getattr(self._app, "state", None), "drain", None)
        if drain is not None:
            await self._drained(drain)
        await self._emptied(deadline)
        await super().shutdown(sockets=sockets)

    # -- queues of workers that died -----------------------------------------------------------------------------

    def _help_others(self) -> None:
        if self._helping is None:
            self._helping = asyncio.get_running_loop().create_task(self._accept_from_others())

    async def _accept_from_others(self) -> None:
        loop = asyncio.get_running_loop()
        for fd in self._other_fds:
            listener = socket.socket(fileno=os.dup(fd))
            self._lent.append(await loop.create_server(self._connection, sock=listener, backlog=self.config.backlog))

    def _mind_own(self) -> None:
        """Connections that were accepted meanwhile stay."""
        if self._helping is not None:
            self._helping.cancel()
            self._helping = None
        for server in self._lent:
            server.close()
        self._lent = []

    def _connection(self) -> CoalescingProtocol:
        return CoalescingProtocol(self.config, self.server_state, self.lifespan.state)

    # -- the drain -----------------------------------------------------------------------------------------------

    async def _emptied(self, deadline: float) -> None:
        """Until nobody is connected, while there is movement and, that apart, until `deadline`; then cuts who is left.

        Left to uvicorn, a client that does not read its answer would hold the stop up, and be logged as an error.
        """
        time = asyncio.get_running_loop().time
        deadline, moved_at = max(deadline, time() + GRACE_S), time()
        before = self._left()
        while any(before) and not self._hurried.is_set() and time() < min(deadline, moved_at + GRACE_S):
            await self._look_later()
            self._close_idle()  # also those that came in the very moment in which the listeners closed
            left = self._left()
            if left != before:
                before, moved_at = left, time()
        await self._cut()

    def _left(self) -> tuple[int, int, int]:
        """Connections, tasks, bytes that wait for their clients."""
        state = self.server_state
        unsent = sum(connection.transport.get_write_buffer_size() for connection in state.connections)
        return len(state.connections), len(state.tasks), unsent

    def _close_idle(self) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()  # idle ones close, busy ones after their answer

    async def _cut(self) -> None:
        state = self.server_state
        if not state.connections and not state.tasks:
            return
        for connection in list(state.connections):
            connection.transport.abort()
        await self._look_later()  # whoever waits for the client learns that it is gone, and ends by itself
        for task in list(state.tasks):
            task.cancel()
        await self._look_later()

    async def _look_later(self) -> None:
        """A moment, or until a second signal comes."""
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait({hurried}, timeout=LOOK_S)
        hurried.cancel()

    async def _drained(self, drain: Drain) -> None:
        """Until the app has drained, its deadline plus a second at most; a second signal cuts it short."""
        work = asyncio.ensure_future(drain(self._drain_s))
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait({work, hurried}, timeout=self._drain_s + 1, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, hurried):
            task.cancel()
        await asyncio.gather(work, hurried, return_exceptions=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal ends the waiting; the app's lifespan, with its last writes, still comes to its end."""
        if self.should_exit:
            asyncio.get_running_loop().call_soon_threadsafe(self._hurry)
        else:
            super().handle_exit(sig, frame)

    def _hurry(self) -> None:
        self._hurried.set()
        for task in self.server_state.tasks:
            task.cancel()


def leave_out_extras() -> None:
    """Before the app is imported; in a worker's process alone."""
    sys.modules.update(dict.fromkeys(UNUSED_EXTRAS))  # type: ignore[arg-type]  # None is meant


def _settle_garbage() -> None:
    """What stands after the start stays: the collector need not look at it again, nor at every 700 new objects.

    Calls leave no cycles behind; measured, the default thresholds cost a small call 6 to 8 % of its CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


def _config(app: App, settings: Settings) -> uvicorn.Config:
    server = settings.server
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=CoalescingProtocol,
        ws=websocket_protocol,  # type: ignore[arg-type]  # called as a class would be
        ws_max_size=settings.realtime.max_message_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=server.backlog,
        timeout_keep_alive=max(1, int(server.keep_alive_s)),
        timeout_graceful_shutdown=int(server.drain_s) + 1,
    )


def _take_order(fd: int) -> WorkerOrder:
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return read_order(file.read())


def _follow(parent_pid: int) -> None:
    """Asks the kernel for SIGTERM when the parent dies, even by `kill -9`."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the call above
        sys.exit(0)


def _load(path: str) -> Factory:
    module, _, name = path.partition(":")
    return cast("Factory", getattr(importlib.import_module(module), name))


def _say(fd: int, words: str) -> None:
    with os.fdopen(fd, "wb") as pipe:
        pipe.write(words.encode(errors="replace")[:LAST_WORDS_BYTES])


def _exit_quietly(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
