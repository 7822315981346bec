"""One worker's place: a process, its successor when it dies, and how it is asked to end."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.relay.ports import Clock
from gateway.respawn import Respawns
from gateway.settings import WorkerOrder, write_order
from gateway.start import StartFailed
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger
from gateway.telemetry.metrics import forget_worker

PACKAGE_ROOT = Path(__file__).resolve().parent.parent
LONG_DELAY_S = 1.0
"""A queue that nobody reads for longer is closed meanwhile."""


class WorkerSlot:
    """Worker number `index`. `keep` runs until `end`."""

    def __init__(
        self,
        order: WorkerOrder,
        sockets: tuple[socket.socket, ...],
        clock: Clock,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`order.ready_fd` is filled in for every process; `on_change` is told when one serves, and when it is gone."""
        self.index = order.context.index
        self.ready = asyncio.Event()
        """Set once a process of this slot has served for the first time."""
        self.is_serving = False
        self.is_lent = False
        """A neighbour takes its connections meanwhile."""
        self._on_change = on_change
        self._order = order
        self._sockets = sockets
        self._clock = clock
        self._log = get_logger()
        self._ending = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Spawns the worker, and its successor whenever it dies, until `end`.

        Raises:
            StartFailed: it died several times without ever having served.
        """
        respawns = Respawns()
        while not self._ending.is_set():
            began = self._clock.now()
            is_ready, last_words = await self._one_life()
            if self._ending.is_set():
                return
            respawns = respawns.after_death(self._clock.now() - began, was_ready=is_ready)
            self._say_death(respawns)
            if respawns.is_hopeless:
                why = f": {last_words}" if last_words else "; its words are above"
                raise StartFailed(f"worker {self.index} ends again and again before it serves{why}")
            await self._rest(respawns.delay_s)

    @property
    def is_missed(self) -> bool:
        """It has served before, its process is gone, and another will come."""
        return self.ready.is_set() and not self.is_serving and not self._ending.is_set()

    def help_others(self) -> None:
        """Its process accepts from all queues, until `mind_its_own`."""
        self._send(signal.SIGUSR1)

    def mind_its_own(self) -> None:
        self._send(signal.SIGUSR2)

    def end(self) -> None:
        """Asks the process to drain and end; none follows."""
        self._ending.set()
        self._send(signal.SIGTERM)

    def hurry(self) -> None:
        """After `end`: no more waiting for running calls."""
        self._send(signal.SIGINT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    async def _one_life(self) -> tuple[bool, str]:
        """Whether the process came to serve, and what it said if not."""
        ready_read, ready_write = os.pipe()
        try:
            self._process = await self._spawn(ready_write)
        finally:
            os.close(ready_write)
        if self._ending.is_set():
            self._send(signal.SIGTERM)  # `end` came while it was spawned
        words = await _read_all(ready_read)
        is_ready = words == b"ready"
        if is_ready:
            self._log.info(Event.WORKER_STARTED, worker=str(self.index), pid=self._process.pid)
            self.ready.set()
            self._note(is_serving=True)
        await self._process.wait()
        self._note(is_serving=False)
        forget_worker(self._order.context.metrics_dir, str(self.index))
        return is_ready, "" if is_ready else words.decode(errors="replace")

    def _note(self, *, is_serving: bool) -> None:
        if self.is_serving is not is_serving:
            self.is_serving = is_serving
            self._on_change()

    async def _spawn(self, ready_fd: int) -> asyncio.subprocess.Process:
        order_fd = os.memfd_create("gateway-order")
        try:
            with os.fdopen(order_fd, "wb", closefd=False) as file:
                file.write(write_order(msgspec.structs.replace(self._order, ready_fd=ready_fd)))
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.worker",
                str(order_fd),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(order_fd, ready_fd, *self._order.inherited_fds),
                start_new_session=True,  # Ctrl-C is for the parent, which then asks the workers in its own order
                env=_environment(self._order.context.metrics_dir),
            )
        finally:
            os.close(order_fd)

    async def _rest(self, delay_s: float) -> None:
        if delay_s > LONG_DELAY_S and not self.is_lent:
            for each in self._sockets:
                each.shutdown(socket.SHUT_RDWR)  # leaves the group; the successor's listen() brings it back
        ending = asyncio.ensure_future(self._ending.wait())
        resting = asyncio.ensure_future(self._clock.sleep(delay_s))
        await asyncio.wait({ending, resting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, resting):
            task.cancel()

    def _say_death(self, respawns: Respawns) -> None:
        process = self._process
        self._log.warning(
            Event.WORKER_EXITED,
            worker=str(self.index),
            pid=process.pid if process else None,
            exit_code=process.returncode if process else None,
            restarts=respawns.quick_deaths,
            next_start_s=respawns.delay_s,
        )

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            try:
                self._process.send_signal(number)
            except ProcessLookupError:
                return


def _environment(metrics_dir: Path) -> dict[str, str]:
    """The parent's own, the package findable from anywhere, and what prometheus_client reads at its import."""
    path = os.pathsep.join(filter(None, (str(PACKAGE_ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir)}


async def _read_all(fd: int) -> bytes:
    """What the worker writes before it closes its end, which its death does too."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0))
    try:
        return await reader.read()
    finally:
        transport.close()
