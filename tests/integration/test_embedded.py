"""The embedded server against everything that may die: its owner, itself, both, and the machine's memory of pids."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from gateway.store import embedded, pg_binaries
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.pg_binaries import PostgresNotFound, find_binaries, find_psql, reachable_binaries
from gateway.store.pg_process import PostgresFailed
from tests.databases import FAST, temporary_state
from tests.waits import until

ROOT = Path(__file__).resolve().parents[2]

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")


@pytest.fixture
def state() -> Iterator[Path]:
    with temporary_state() as directory:
        yield directory / "postgres"


@pytest.fixture
def server(state: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(state, options=FAST) as running:
        yield running


@contextlib.contextmanager
def other_process(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A second program on the same state directory."""
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "tests.integration.postgres_owner", state],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """The next line of the other process."""
    assert process.stdout is not None
    return msgspec.json.decode(process.stdout.readline(), type=dict[str, object])


def is_alive(pid: int) -> bool:
    """False for a zombie too."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


async def execute(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def remove_socket_dir(server: EmbeddedPostgres) -> None:
    Path(server.dsn.partition("host=")[2]).rmdir()


async def test_data_stay_between_starts(state):
    with EmbeddedPostgres(state, options=FAST) as first:
        await execute(first.dsn, "CREATE TABLE kept AS SELECT 42 AS n")

    with EmbeddedPostgres(state, options=FAST) as second:
        assert await execute(second.dsn, "SELECT n FROM kept") == 42


def test_stop_leaves_no_process_and_no_lock(state):
    server = EmbeddedPostgres(state, options=FAST)
    server.start()
    pid = server.pid
    assert pid is not None

    server.stop()
    server.stop()

    assert not is_alive(pid)
    assert not (server.state_dir / "data" / "postmaster.pid").exists()
    assert not server.is_owner


async def test_killed_server_is_started_again_with_its_data(state):
    with EmbeddedPostgres(state) as server:  # as in production: FAST may lose a commit
        await execute(server.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        until(server.check, what="the death is noticed")

        assert server.pid != killed
        assert await execute(server.dsn, "SELECT n FROM kept") == 7
        assert server.check() is False


async def test_server_ends_with_its_killed_owner(state):
    with other_process(state) as owner:
        pid = said(owner)["pid"]
        owner.kill()
        until(lambda: not is_alive(pid), what="the server follows its owner")

    with EmbeddedPostgres(state, options=FAST) as server:
        assert await execute(server.dsn, "SELECT 1") == 1


async def test_start_after_owner_and_server_were_killed(state):
    with other_process(state) as owner:
        pid = said(owner)["pid"]
        owner.send_signal(signal.SIGSTOP)  # it must not restart what we kill
        os.kill(pid, signal.SIGKILL)
        owner.kill()

    with EmbeddedPostgres(state, options=FAST) as server:
        assert server.is_owner
        assert await execute(server.dsn, "SELECT 1") == 1


async def test_backend_that_outlived_its_server_is_ended(state):
    """A backend busy in a long statement notices the death of its server only at its end."""
    server = EmbeddedPostgres(state, options=FAST)
    server.start()
    connection = await asyncpg.connect(server.dsn)
    backend = connection.get_server_pid()
    os.kill(backend, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGKILL)
    os.kill(backend, signal.SIGCONT)

    until(server.check, what="the death is noticed")

    assert not is_alive(backend)
    connection.terminate()
    server.stop()


async def test_second_starter_attaches_and_takes_over_when_the_owner_leaves(server, state):
    with other_process(state) as other:
        assert said(other) == {"is_owner": False, "pid": None}

        server.stop()

        taken_over = said(other)
        assert taken_over["is_owner"] is True
        assert server.start() == server.dsn
        assert not server.is_owner
        assert await execute(server.dsn, "SELECT 1") == 1


async def test_two_starters_at_once_on_an_empty_directory(state):
    with other_process(state) as one, other_process(state) as two:
        owners = [said(one)["is_owner"], said(two)["is_owner"]]

        assert sorted(owners) == [False, True]


async def test_pid_of_another_program_in_a_stale_file_is_not_believed(state):
    with EmbeddedPostgres(state, options=FAST) as first:
        pid_file = first.state_dir / "data" / "postmaster.pid"
        lock_file = first.state_dir / "run" / ".s.PGSQL.5432.lock"
        texts = pid_file.read_text(), lock_file.read_text()
        pid = str(first.pid)
    pid_file.write_text(texts[0].replace(pid, str(os.getpid()), 1))
    lock_file.write_text(texts[1].replace(pid, str(os.getpid()), 1))

    with EmbeddedPostgres(state, options=FAST) as second:
        assert await execute(second.dsn, "SELECT 1") == 1


async def test_long_state_path_keeps_its_socket_elsewhere(state):
    with EmbeddedPostgres(state / ("long" * 30) / "postgres", options=FAST) as server:
        assert "long" not in server.dsn
        assert await execute(server.dsn, "SELECT 1") == 1
    remove_socket_dir(server)


async def test_kill_in_the_middle_of_the_first_start_leaves_nothing_half_made(state):
    half_made = state / "new-dead" / "data"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres(state, options=FAST) as server:
        assert await execute(server.dsn, "SELECT 1") == 1
        assert not half_made.exists()


def test_data_of_another_major_version_are_refused_by_name(state):
    with EmbeddedPostgres(state, options=FAST) as server:
        version_file = server.state_dir / "data" / "PG_VERSION"
    version_file.write_text("11\n")

    with pytest.raises(PostgresNotFound, match=r"made by PostgreSQL 11, but only .* is installed here: .*DATABASE_URL"):
        server.start()

    assert not server.is_owner


def test_server_that_cannot_start_says_why(state):
    server = EmbeddedPostgres(state, options=("shared_buffers=nonsense",))

    with pytest.raises(PostgresFailed, match="shared_buffers"):
        server.start()

    assert not server.is_owner


def test_no_installation_at_all_names_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr(pg_binaries, "WHEELS", ("no_such_wheel",))
    monkeypatch.setattr(pg_binaries, "SYSTEM_ROOT", tmp_path)

    with pytest.raises(PostgresNotFound, match="DATABASE_URL"):
        find_binaries()


def test_psql_is_found():
    assert find_psql() is not None


@only_root
def test_modes_of_a_closed_home_are_left_alone(state, monkeypatch):
    home = state.parent / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(embedded, "ROOT_STATE", state.parent / "var")

    with EmbeddedPostgres(home / ".gateway" / "postgres", options=FAST) as server:
        assert server.state_dir.is_relative_to(state.parent / "var")
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert list(home.iterdir()) == []


@only_root
async def test_binaries_that_the_server_user_cannot_reach_are_copied(state, monkeypatch):
    closed = state.parent / "closed"
    closed.mkdir(mode=0o700)
    found = find_binaries()
    pg_binaries._copy_installation(found, closed)
    closed.chmod(0o700)
    hidden = msgspec.structs.replace(found, bin_dir=closed / "package" / "pginstall" / "bin")

    with EmbeddedPostgres(state, options=FAST, binaries=hidden) as server:
        assert await execute(server.dsn, "SELECT 1") == 1
        assert (server.state_dir / f"postgresql-{found.version}").is_dir()

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_binaries_are_used_in_place_by_their_own_user(tmp_path):
    found = find_binaries()

    assert reachable_binaries(found, None, tmp_path) == found
    assert list(tmp_path.iterdir()) == []
