"""One PostgreSQL data directory: making it, starting and stopping its server, and clearing up after a `kill -9`.

Rules of this file: a process id read from a file is believed only when /proc says that it is a postgres of this
very data directory, and nothing is removed while any process still lives in it. Linux only, as it reads /proc.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from gateway.store.pg_binaries import SCRATCH, RunAs

SUPERUSER = "postgres"
DATABASE = "gateway"
SOCKET_NAME = ".s.PGSQL.5432"
STOP_TIMEOUT_S = 20.0
POLL_S = 0.01
LOG_BYTES = 8 * 1024 * 1024
"""At a start the log begins anew when it has grown beyond this; one older file is kept."""
MAX_CONNECTIONS = 200
PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl
"""Looked up here: after a fork nothing may be looked up that another thread could hold a lock for."""


class PostgresFailed(Exception):
    """The embedded server did not start or stop; the message carries the end of its log."""


class Cluster(msgspec.Struct, frozen=True):
    """Where one embedded server keeps its things, and as whom it runs."""

    data_dir: Path
    socket_dir: Path
    log_file: Path
    run_as: RunAs | None = None
    options: tuple[str, ...] = ()
    """Further settings, `name=value`."""

    @property
    def pid_file(self) -> Path:
        return self.data_dir / "postmaster.pid"

    @property
    def uid(self) -> int | None:
        """For subprocess: None leaves the user as it is."""
        return self.run_as.uid if self.run_as else None

    @property
    def gid(self) -> int | None:
        return self.run_as.gid if self.run_as else None

    @property
    def extra_groups(self) -> tuple[int, ...] | None:
        return () if self.run_as else None

    @property
    def dsn(self) -> str:
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={self.socket_dir}"


def make_data_dir(cluster: Cluster, bin_dir: Path) -> None:
    """Initdb and the database, made under a temporary name: a kill in the middle leaves nothing half made."""
    parent = cluster.data_dir.parent
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=parent))
    try:
        _give_to(scratch, cluster.run_as)
        data = scratch / "data"
        initdb = [str(bin_dir / "initdb"), "-D", str(data), "-U", SUPERUSER]
        _run_program(cluster, [*initdb, "-A", "trust", "--no-locale", "-E", "UTF8"])
        single = [str(bin_dir / "postgres"), "--single", "-D", str(data), "postgres"]
        _run_program(cluster, single, text_in=f"CREATE DATABASE {DATABASE};\n")
        data.rename(cluster.data_dir)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def start_server(cluster: Cluster, bin_dir: Path) -> subprocess.Popen[bytes]:
    """Starts `postgres` as a direct child that gets SIGINT (fast shutdown) when this process dies however it may.

    Must be called from the main thread: the kernel ties the death signal to the thread that forked.
    """
    _turn_log(cluster.log_file)
    settings = (
        "listen_addresses=",  # the socket only: no port to clash with, none to attack
        f"unix_socket_directories={cluster.socket_dir}",
        "unix_socket_permissions=0700",
        f"max_connections={MAX_CONNECTIONS}",
        "logging_collector=off",
        *cluster.options,
    )
    command = [str(bin_dir / "postgres"), "-D", str(cluster.data_dir)]
    for setting in settings:
        command += ["-c", setting]
    with cluster.log_file.open("ab") as log:
        return subprocess.Popen(  # noqa: S603  # our own argument list, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",  # nobody may not be able to enter ours
            start_new_session=True,  # Ctrl-C is for the gateway: the database outlives the workers' last writes
            preexec_fn=_signal_on_parent_death(signal.SIGINT),  # noqa: PLW1509  # two system calls, nothing that waits for another thread
            user=cluster.uid,
            group=cluster.gid,
            extra_groups=cluster.extra_groups,
        )


def wait_until_ready(cluster: Cluster, is_dead: Callable[[], bool], deadline: float) -> None:
    """Returns once the server says "ready" in its pid file. `deadline` is in seconds of `time.monotonic`.

    Raises:
        PostgresFailed: it ended, or the deadline passed.
    """
    while not is_ready(cluster):
        if is_dead():
            raise PostgresFailed(f"the embedded PostgreSQL ended while starting: {log_end(cluster.log_file)}")
        if time.monotonic() > deadline:
            raise PostgresFailed(f"the embedded PostgreSQL is not ready in time: {log_end(cluster.log_file)}")
        time.sleep(POLL_S)


def is_ready(cluster: Cluster) -> bool:
    """Whether a living postmaster of this data directory accepts connections (line 8 of its pid file, since 10)."""
    lines = _pid_lines(cluster)
    return len(lines) >= 8 and lines[7].strip() == "ready" and postmaster_pid(cluster) is not None


def postmaster_pid(cluster: Cluster) -> int | None:
    """The living postmaster of this data directory; None for none, a zombie, or a pid that is another program's now."""
    lines = _pid_lines(cluster)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    arguments = _arguments_of(pid)
    is_ours = bool(arguments) and Path(arguments[0]).name == "postgres" and str(cluster.data_dir) in arguments
    return pid if is_ours else None


def stop_server(cluster: Cluster, process: subprocess.Popen[bytes], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Fast shutdown, then immediate, then kill; each gets its share of the time. Idempotent."""
    for number, share in ((signal.SIGINT, 0.6), (signal.SIGQUIT, 0.3), (signal.SIGKILL, 0.1)):
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(timeout_s * share)
        except subprocess.TimeoutExpired:
            continue
        return
    raise PostgresFailed(f"the embedded PostgreSQL did not stop: {log_end(cluster.log_file)}")


def clear_leftovers(cluster: Cluster, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Ends what a killed owner left running and removes its stale lock files. Call only as the owner.

    An orphaned postmaster is usually shutting down already. Backends that outlived a killed postmaster hold its shared
    memory, and a new server would refuse to start beside them. PostgreSQL itself trusts a pid that is a zombie or has
    been given to another program, therefore the two lock files are removed here (stack.md §1.2).
    """
    for number, share in ((signal.SIGINT, 0.5), (signal.SIGQUIT, 0.3), (signal.SIGKILL, 0.2)):
        if not _pids_of(cluster):
            break
        for pid in _pids_of(cluster):
            _send(pid, number)
        deadline = time.monotonic() + timeout_s * share
        while _pids_of(cluster) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    if _pids_of(cluster):
        raise PostgresFailed(f"processes of an earlier PostgreSQL do not leave {cluster.data_dir}")
    for stale in (cluster.pid_file, cluster.socket_dir / SOCKET_NAME, cluster.socket_dir / f"{SOCKET_NAME}.lock"):
        stale.unlink(missing_ok=True)


def log_end(log_file: Path, lines: int = 5) -> str:
    """The last lines of the log, on one line."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            text = log.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return " | ".join(text.splitlines()[-lines:]) or "(its log is empty)"


def _run_program(cluster: Cluster, command: Sequence[str], text_in: str = "") -> None:
    try:
        subprocess.run(  # noqa: S603  # our own argument list, no shell
            command,
            input=text_in.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=120,
            check=True,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=cluster.uid,
            group=cluster.gid,
            extra_groups=cluster.extra_groups,
        )
    except subprocess.CalledProcessError as error:
        said = error.stdout.decode(errors="replace").strip()[-500:]
        raise PostgresFailed(f"{command[0]} failed: {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresFailed(f"{command[0]} failed: {error}") from error


def _give_to(path: Path, run_as: RunAs | None) -> None:
    if run_as is not None:
        os.chown(path, run_as.uid, run_as.gid)


def _signal_on_parent_death(number: signal.Signals) -> Callable[[], None]:
    """Runs in the child after its change of user, which would clear the setting (CPython's order)."""
    parent = os.getpid()

    def in_child() -> None:
        _PRCTL(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return in_child


def _turn_log(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))


def _pid_lines(cluster: Cluster) -> list[str]:
    try:
        return cluster.pid_file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _arguments_of(pid: int) -> list[str]:
    """Empty for a process that is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _pids_of(cluster: Cluster) -> list[int]:
    """The postmaster alone while it lives, for it ends its backends; else the backends that it left behind."""
    pid = postmaster_pid(cluster)
    return list(_pids_inside(cluster.data_dir)) if pid is None else [pid]


def _pids_inside(data_dir: Path) -> Iterator[int]:
    """Processes whose working directory is the data directory: servers, living backends and nothing else of ours."""
    wanted = str(data_dir)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inside = str((entry / "cwd").readlink())
        except OSError:  # gone, a zombie, or another user's
            continue
        if inside == wanted and _is_postgres(int(entry.name)):
            yield int(entry.name)


def _is_postgres(pid: int) -> bool:
    """An operator's shell may stand in the directory as well: it is not ours to end."""
    title = _arguments_of(pid)
    return bool(title) and (title[0].startswith("postgres:") or Path(title[0]).name == "postgres")


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
