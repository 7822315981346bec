"""The parent process: database, sockets, workers; workers respawned, everything drained and stopped on SIGTERM.

    signals ─▶ Supervisor ─▶ start.prepare ─▶ one WorkerSlot per worker ─▶ python -m gateway.worker
                    └─▶ watch over the embedded Postgres

Rules of this file: it never serves a call and never forks without an exec. Workers get their orders through an
anonymous file, so that no secret stands in an argument list or an environment. Embedded Postgres is started from the
main thread (its death signal hangs on it), before the workers, and stopped after them.
"""

import asyncio
import contextlib
import math
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from gateway import __version__
from gateway.core.ids import Instant
from gateway.declared_settings import makes_row
from gateway.listening import CannotListen, Listeners, bind, shown_address
from gateway.neighbours import Neighbours
from gateway.notify.neighbours import Line, open_lines
from gateway.relay.clock import SystemClock
from gateway.relay.ports import Clock
from gateway.settings import OpenAIEnvironment, Settings, WorkerContext, WorkerOrder
from gateway.settings_load import is_loopback
from gateway.start import Prepared, StartFailed, embedded_postgres, prepare, start_embedded
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.pg_process import PostgresFailed
from gateway.telemetry.events import Event
from gateway.telemetry.log import configure, get_logger
from gateway.worker_slot import WorkerSlot

APP = "gateway.app:build_app"
CHECK_POSTGRES_S = 0.5
KILL_MARGIN_S = 8.0
"""Beyond `drain_s`: the workers' own last writes."""
PORT_PATIENCE_S = 1.5
HURRY_S = 3.0
"""What is left after a second signal."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(settings: Settings, *, app: str = APP) -> int:
    """Runs the service until it is told to stop. Gives the exit code: 0 after a clean stop, 1 if it could not start."""
    output = configure(level=settings.log_level.value)
    try:
        return asyncio.run(_serve(settings, app))
    finally:
        output.close()


async def _serve(settings: Settings, app: str) -> int:
    supervisor = Supervisor(settings, SystemClock(), app=app)
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        # Who started us with one of them ignored (nohup, a shell's `&`) meant it; SIGTERM always holds.
        if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, supervisor.stop, number.name)
    try:
        await supervisor.run()
    except (StartFailed, CannotListen) as error:
        tell(f"The gateway cannot start: {error}")
        return 1
    return 0


def tell(message: str) -> None:
    """For the person at the terminal; the log's JSON lines go to stdout."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


class Supervisor:
    """One service. `run` returns after `stop`, once everything it started has ended."""

    def __init__(self, settings: Settings, clock: Clock, *, app: str = APP, tell: Callable[[str], None] = tell) -> None:
        self._settings = settings
        self._clock = clock
        self._app = app
        self._tell = tell
        self._log = get_logger()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._slots: list[WorkerSlot] = []
        self._neighbours = Neighbours()
        self._lines: list[Line] = []
        self._started_at: datetime = clock.wall_now()

    def stop(self, reason: str = "stop") -> None:
        """Drains and ends the service; asked a second time it hurries."""
        if self._stopping.is_set():
            self._hurrying.set()
            for slot in self._slots:
                slot.hurry()
            return
        self._log.info(Event.SERVICE_DRAINING, deadline_s=self._settings.server.drain_s, signal=reason)
        self._stopping.set()

    async def run(self) -> None:
        """The whole life of the service.

        Raises:
            StartFailed, CannotListen: it never served.
        """
        server = self._settings.server
        count = server.workers or cores()
        with contextlib.ExitStack() as stack:
            listeners = await self._bound(server.host, server.port, count)
            stack.callback(listeners.close)
            self._lines = [stack.enter_context(line) for line in open_lines(count)]
            postgres = embedded_postgres(self._settings)
            if postgres is not None:
                stack.callback(self._stop_postgres, postgres)
            prepared = await self._prepared(postgres)
            if prepared is None:
                return
            metrics_dir = fresh_metrics_dir(self._settings.home)
            stack.callback(shutil.rmtree, metrics_dir, ignore_errors=True)
            self._slots = self._make_slots(listeners, prepared, metrics_dir)
            await self._watch(listeners, postgres)
        self._log.info(
            Event.SERVICE_STOPPED, uptime_s=round((self._clock.wall_now() - self._started_at).total_seconds(), 3)
        )

    async def _bound(self, host: str, port: int, count: int) -> Listeners:
        """Workers of a gateway that was killed let go of the port a moment after it."""
        deadline = self._clock.now() + PORT_PATIENCE_S
        while True:
            try:
                return bind(host, port, count)
            except CannotListen as error:
                if not error.is_taken or self._clock.now() >= deadline:
                    raise
            await self._clock.sleep(0.1)

    async def _prepared(self, postgres: EmbeddedPostgres | None) -> Prepared | None:
        """None when it was told to stop meanwhile."""
        if postgres is not None:
            began = self._clock.now()
            dsn = start_embedded(postgres)
            self._say_postgres(postgres, began)
        else:
            dsn = self._settings.database_url.reveal() if self._settings.database_url else ""
        work = asyncio.ensure_future(prepare(self._settings, dsn, self._clock, self._tell))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            return None
        prepared = work.result()
        done = prepared.reconciled
        self._log.info(
            Event.DECLARATIONS_RECONCILED, added=done.added, changed=done.changed, removed=done.removed, kept=done.kept
        )
        return None if self._stopping.is_set() else prepared

    def _make_slots(self, listeners: Listeners, prepared: Prepared, metrics_dir: Path) -> list[WorkerSlot]:
        server = self._settings.server
        count, service = len(listeners.of_worker), secrets.token_hex(6)
        slots = []
        fds = [tuple(each.fileno() for each in sockets) for sockets in listeners.of_worker]
        for index, sockets in enumerate(listeners.of_worker):
            context = WorkerContext(
                index=index,
                count=count,
                dsn=prepared.dsn,
                listen_dsn=prepared.listen_dsn,
                encryption_keys=prepared.encryption_keys,
                metrics_dir=metrics_dir,
                address=shown_address(server.host, listeners.port),
                is_loopback=is_loopback(server.host),
                started_at=self._started_at,
                service=service,
                hears_fd=self._lines[index].hears.fileno() if self._lines else None,
                tells_fds=tuple(line.tells.fileno() for line in self._lines if line is not self._lines[index]),
            )
            order = WorkerOrder(
                settings=for_workers(self._settings),
                context=context,
                app=self._app,
                listen_fds=fds[index],
                other_fds=tuple(fd for number, theirs in enumerate(fds) if number != index for fd in theirs),
                ready_fd=-1,
                parent_pid=os.getpid(),
            )
            slots.append(WorkerSlot(order, sockets, self._clock, self._neighbours.look))
        self._neighbours.slots = slots
        return slots

    async def _watch(self, listeners: Listeners, postgres: EmbeddedPostgres | None) -> None:
        """Keeps workers and database alive until told to stop, then drains them."""
        keepers = [asyncio.create_task(slot.keep(), name=f"worker {slot.index}") for slot in self._slots]
        others = [asyncio.create_task(self._announce_ready(listeners, postgres), name="ready")]
        if postgres is not None:
            others.append(asyncio.create_task(self._keep_postgres(postgres), name="postgres"))
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        try:
            await asyncio.wait({*keepers, *others[1:], stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listeners.close()  # new connections are refused from here on
            await self._drain(keepers)
            for task in (*others, stopping):
                task.cancel()
            results = await asyncio.gather(*keepers, *others, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _drain(self, keepers: list[asyncio.Task[None]]) -> None:
        """Asks the workers to end and kills those that have not in time; their keepers end with them."""
        self._neighbours.stop()
        for slot in self._slots:
            slot.end()
        drained = asyncio.create_task(asyncio.wait(keepers), name="drained")
        hurrying = asyncio.create_task(self._hurrying.wait(), name="hurrying")
        patience_s = self._settings.server.drain_s + KILL_MARGIN_S
        await asyncio.wait({drained, hurrying}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({drained}, timeout=HURRY_S if hurrying.done() else 0)
        hurrying.cancel()
        for slot in self._slots:
            slot.kill()
        await drained

    async def _announce_ready(self, listeners: Listeners, postgres: EmbeddedPostgres | None) -> None:
        for slot in self._slots:
            await slot.ready.wait()
        address = shown_address(self._settings.server.host, listeners.port)
        self._log.info(
            Event.SERVICE_STARTED,
            version=__version__,
            host=self._settings.server.host,
            port=listeners.port,
            workers=len(self._slots),
            auth=self._settings.auth.value,
            is_embedded=postgres is not None,
            url=address,
        )
        database = f"embedded Postgres in {postgres.state_dir}" if postgres else "Postgres of DATABASE_URL"
        self._tell(
            f"The gateway serves on {address} ({len(self._slots)} workers, {database}). "
            f"API: {address}/schema - add an account there, by SQL (make db) or with OPENAI_API_KEY. Ctrl-C stops it."
        )

    async def _keep_postgres(self, postgres: EmbeddedPostgres) -> None:
        """Restarts the server when it dies, and takes over from another gateway that owned it and left."""
        while True:
            await self._clock.sleep(CHECK_POSTGRES_S)
            began = self._clock.now()
            pid = postgres.pid
            try:
                is_new = postgres.check()
            except PostgresFailed as error:
                self._log.error(Event.POSTGRES_CRASHED, pid=pid, error=str(error))  # its text says it all
                continue
            if is_new:
                if pid is not None:
                    self._log.warning(Event.POSTGRES_CRASHED, pid=pid)
                self._say_postgres(postgres, began)

    def _say_postgres(self, postgres: EmbeddedPostgres, began: Instant) -> None:
        if postgres.is_owner:
            total_s = round(self._clock.now() - began, 3)
            self._log.info(Event.POSTGRES_STARTED, pid=postgres.pid, folder=str(postgres.state_dir), total_s=total_s)

    def _stop_postgres(self, postgres: EmbeddedPostgres) -> None:
        pid = postgres.pid
        postgres.stop()
        if pid is not None:
            self._log.info(Event.POSTGRES_STOPPED, pid=pid)


def for_workers(settings: Settings) -> Settings:
    """Without what the parent has brought into the tables, credentials above all."""
    overlays = {id_: given for id_, given in settings.providers.items() if not makes_row(given)}
    return msgspec.structs.replace(settings, providers=overlays, routes={}, openai=OpenAIEnvironment())


def cores(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many cores are ours: a container's share counts, not the machine it runs on."""
    available = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
        return max(1, min(available, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or `max`: no limit
        return available


def living_metrics_dirs(home: Path) -> list[Path]:
    """Those of services that run now with this home."""
    parent = home / "metrics"
    return [each for each in parent.iterdir() if _is_alive(each)] if parent.is_dir() else []


def _is_alive(directory: Path) -> bool:
    """`directory` is named after the process of its service."""
    return directory.name.isdigit() and Path("/proc", directory.name).exists()


def fresh_metrics_dir(home: Path) -> Path:
    """An empty directory of this service alone; those of services that were killed are removed."""
    parent = home / "metrics"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.iterdir():
            if left.name.isdigit() and (int(left.name) == os.getpid() or not _is_alive(left)):
                shutil.rmtree(left, ignore_errors=True)
        mine = parent / str(os.getpid())
        mine.mkdir()
    except OSError as error:
        raise StartFailed(f"cannot write {parent} ({error.strerror}): set GATEWAY_HOME to another place") from error
    return mine
