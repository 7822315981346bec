"""`Sandbox`: the fake provider as a server in the running event loop."""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from gateway.sandbox.answer import Step, perform
from gateway.sandbox.config import Behaviour, SandboxConfig
from gateway.sandbox.connection import Connection, Listener
from gateway.sandbox.control import PREFIX, aimed, control
from gateway.sandbox.faults import Fault, FaultKind
from gateway.sandbox.journal import Seen
from gateway.sandbox.request import Request
from gateway.sandbox.service import Service


class Sandbox:
    """Start it, use `url`, script it, read `log`, stop it. Also an async context manager."""

    def __init__(self, config: SandboxConfig | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds, for limits, scripts and the log; pauses are real time."""
        self._service = Service(config or SandboxConfig(), clock)
        self._listener = Listener(self._respond)
        self._listener.on_close = lambda seen: self._service.journal.close(seen, clock())
        self._listener.on_hang_up = lambda seen: self._service.journal.hang_up(seen, clock())
        self._server: asyncio.Server | None = None
        self._host, self._port = "127.0.0.1", 0
        self._tls: ssl.SSLContext | None = None
        self._reopens_by: asyncio.TimerHandle | asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listens; port 0 takes a free one."""
        self._host, self._port, self._tls = host, port, tls
        await self.accept()

    async def stop(self) -> None:
        """Stops listening and cuts every connection."""
        if self._reopens_by is not None:
            self._reopens_by.cancel()
        self._close_server()
        for connection in list(self._listener.open):
            connection.abort()
        await self._listener.emptied.wait()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:40123`, without a path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}"

    @property
    def log(self) -> list[Seen]:
        """What was seen, oldest first; at most `log_length`."""
        return list(self._service.journal.seen)

    @property
    def total(self) -> int:
        """Requests seen, forgotten ones too."""
        return self._service.journal.total

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._listener.open)

    def statuses(self, key: str) -> dict[int, int]:
        """Status → answers that began with it, of this key."""
        return dict(self._service.journal.statuses.get(key, {}))

    def script(
        self,
        faults: Fault | str | Sequence[Fault | str],
        *,
        key: str | None = None,
        model: str | None = None,
        path: str | None = None,
    ) -> None:
        """Adds faults to the script's end; a name stands for that fault, once. Raises ValueError at an unknown name."""
        for item in [faults] if isinstance(faults, Fault | str) else faults:
            fault = Fault(item) if isinstance(item, str) else item
            self._add(aimed(fault, key=key, model=model, path=path))

    def behave(self, model: str, behaviour: Behaviour) -> None:
        """How `model` (lower case, or glob) answers from now on; goes before what was set earlier."""
        earlier = {pattern: row for pattern, row in self._service.behaviours.items() if pattern != model}
        self._service.behaviours = {model: behaviour, **earlier}

    def reset(self) -> None:
        """As it was at the start: no script, full limits, an empty log."""
        self._service.reset()

    async def wait_for(self, is_met: Callable[[list[Seen]], bool], timeout_s: float = 20.0) -> None:
        """Returns once `is_met(log)`; asked at every request, head, end and hang-up. Raises TimeoutError."""
        await self._service.journal.wait_until(lambda: is_met(self.log), timeout_s)

    def refuse(self, seconds: float | None = None) -> None:
        """Connections are refused for so long, or until `accept()`; idle ones are closed, busy ones go on."""
        self._close_server()
        for connection in list(self._listener.open):
            if connection.is_idle:
                connection.abort()
        if seconds is not None:
            self._reopens_by = asyncio.get_running_loop().call_later(seconds, self._reopen)

    async def accept(self) -> None:
        """Listens (again), on the same port."""
        if self._server is not None:
            return
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._listener), self._host, self._port, ssl=self._tls, backlog=4096
        )
        self._port = self._server.sockets[0].getsockname()[1]

    def _add(self, fault: Fault) -> None:
        if fault.kind == FaultKind.REFUSE:
            self.refuse(fault.seconds)
        else:
            self._service.script.add(fault, self._service.clock())

    def _reopen(self) -> None:
        self._reopens_by = asyncio.get_running_loop().create_task(self.accept(), name="sandbox.accept")

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _respond(self, request: Request) -> tuple[Seen | None, Iterator[Step]]:
        if not request.path.startswith(PREFIX):
            return self._service.respond(request)
        answer = control(self._service, self._add, request)
        return None, perform(answer, on_head=lambda _: None, on_event=lambda _: None)
