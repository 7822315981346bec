"""Which PostgreSQL the tests use: TEST_DATABASE_URL, else a container, else the embedded server.

`TEST_PG=docker|embedded` forces one. The runtime's DATABASE_URL is never used: tests create and drop databases.
"""

import contextlib
import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from gateway.store.embedded import EmbeddedPostgres

DOCKER_PING_S = 0.5
MEMORY = "/dev/shm"  # noqa: S108  # where Linux has files in memory
ROOM_BYTES = 4 * 2**30
"""With less room there the disk is used: a container may have 64 MB."""
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For throw-away servers only: a crash may lose everything."""


def chosen_source() -> str:
    """`url`, `docker` or `embedded`."""
    if os.environ.get("TEST_DATABASE_URL"):
        return "url"
    forced = os.environ.get("TEST_PG", "auto")
    if forced not in {"auto", "docker", "embedded"}:
        raise ValueError(f"TEST_PG={forced}: allowed are auto, docker, embedded")
    if forced != "auto":
        return forced
    return "docker" if docker_answers() else "embedded"


def docker_answers() -> bool:
    """Whether an engine answers `GET /_ping`: a client may be installed without one."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DOCKER_PING_S)
            connection.connect(host.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """A server for this test session: the URL of a database on it from which others can be created."""
    match chosen_source():
        case "url":
            yield os.environ["TEST_DATABASE_URL"]
        case "docker":
            with _container() as url:
                yield url
        case _:
            with temporary_state() as state, EmbeddedPostgres(state / "postgres", options=FAST) as server:
                yield server.dsn


@contextlib.contextmanager
def temporary_state() -> Iterator[Path]:
    """A directory that the embedded server's user can reach: pytest's own have mode 0700."""
    state = Path(tempfile.mkdtemp(prefix="gw-test-", dir=quick_folder()))
    state.chmod(0o755)
    try:
        yield state
    finally:
        shutil.rmtree(state, ignore_errors=True)


@functools.cache
def quick_folder() -> str | None:
    """For what a test throws away: memory, where there is plenty of it. On a busy disk a server may stand for seconds.

    None: the system's folder for temporary files.
    """
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    may_run = not found.f_flag & os.ST_NOEXEC  # the server's programs may be copied beside its data
    return MEMORY if may_run and found.f_bavail * found.f_frsize >= ROOM_BYTES else None


@contextlib.contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415  # 0.6 s, and only where it is used

    with PostgresContainer("postgres:18-alpine", driver=None) as container:
        yield container.get_connection_url()


def sibling_url(url: str, database: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
