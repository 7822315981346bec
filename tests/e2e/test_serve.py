"""The parent process: starts, deaths of everything, drains, refusals. Real processes, a tiny app."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import temporary_state
from tests.e2e.service import Service, running
from tests.e2e.tiny_app import LARGE_BYTES
from tests.waits import until


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_state() as state:
        yield state


@pytest.fixture
def service(home: Path, database_url: str) -> Iterator[Service]:
    """What is quick here is so by itself: the drain's deadline is not what ends it."""
    with running(home, DATABASE_URL=database_url, GATEWAY_SERVER__DRAIN_S="600") as started:
        started.event("service.started")
        yield started


def is_gone(pid: object) -> bool:
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def pids_of_workers(service: Service) -> set[object]:
    return {service.event("worker.started", worker=worker)["pid"] for worker in ("0", "1")}


def test_service_starts_with_its_own_database_and_ends_clean(home):
    with running(home, OPENAI_API_KEY="sk-proj-hidden") as service:
        postgres = service.event("postgres.started")["pid"]
        assert service.event("declarations.reconciled")["added"] == 2
        assert service.get().split()[0] in {"0", "1"}
        line = until(lambda: service.errors, what="the friendly line")[-1]
        assert service.event("service.started")["url"] in line
        workers = pids_of_workers(service)

        service.signal(signal.SIGTERM)

        assert service.exit_code() == 0
        assert all(is_gone(pid) for pid in {postgres, *workers})
        assert service.events[-1]["event"] == "service.stopped"
        assert "hidden" not in str(service.events) + str(service.errors)
        assert list((home / "metrics").iterdir()) == []


def test_both_workers_serve(service):
    answers = {service.get().split()[0] for _ in range(60)}

    assert answers == {"0", "1"}


def test_killed_worker_is_respawned_and_no_call_is_refused(service):
    first = service.event("worker.started", worker="0")["pid"]
    os.kill(first, signal.SIGKILL)

    assert service.event("worker.exited")["pid"] == first
    answers = [service.get() for _ in range(20)]
    second = service.event("worker.started", worker="0", number=2)["pid"]

    assert second != first
    assert all(len(answer.split()) == 2 for answer in answers)


def test_a_neighbour_takes_the_connections_of_a_dead_worker_until_its_successor_serves(home, database_url):
    with running(home, app="build_once", DATABASE_URL=database_url) as service:
        service.event("service.started")
        os.kill(service.event("worker.started", worker="0")["pid"], signal.SIGKILL)
        service.event("worker.exited")

        answers = {service.get().split()[0] for _ in range(30)}  # half of them come to the queue of the dead
        assert answers == {"1"}

        (home / "go").touch()
        service.event("worker.started", worker="0", number=2)
        until(lambda: service.get().split()[0] == "0", what="its own worker takes them again")
        assert {service.get().split()[0] for _ in range(40)} == {"0", "1"}
        service.signal(signal.SIGTERM)
        assert service.exit_code() == 0


def test_running_call_ends_in_peace_and_new_ones_are_refused_after_sigterm(service):
    slow, endless = service.open("/slow"), service.open("/endless")
    answers = [slow.getresponse(), endless.getresponse()]  # their heads have come: both run

    service.signal(signal.SIGTERM)
    service.event("service.draining")
    until(lambda: is_refused(service), what="new connections are refused")

    assert answers[0].read().startswith(b"slow ")
    assert answers[1].read().startswith(b"endless ")
    assert service.exit_code() == 0
    slow.close()
    endless.close()


@pytest.mark.parametrize("path", ["/", "/large"])
def test_clean_stop_is_quick_and_silent_whatever_clients_leave_open(service, path):
    idle, unread = [service.open("/") for _ in range(4)], service.open(path)
    for connection in idle:
        connection.getresponse().read()
    answer = unread.getresponse()  # its head; of a large body more than the system holds stays unread

    service.signal(signal.SIGTERM)

    assert service.exit_code() == 0
    assert not [line for line in service.errors if "running task" in line]  # uvicorn's word on what it had to cut
    answer.close()
    for connection in (*idle, unread):
        connection.close()


def test_large_answer_that_is_being_read_is_whole_after_sigterm(service):
    slow = service.open("/large")
    answer = slow.getresponse()
    service.signal(signal.SIGTERM)
    service.event("service.draining")

    assert len(answer.read()) == LARGE_BYTES

    assert service.exit_code() == 0
    slow.close()


def is_refused(service: Service) -> bool:
    try:
        socket.create_connection(("127.0.0.1", service.event("service.started")["port"]), timeout=5).close()
    except OSError:
        return True
    return False


def test_second_signal_hurries(home, database_url):
    with running(home, app="build_deaf", DATABASE_URL=database_url, GATEWAY_SERVER__DRAIN_S="600") as service:
        service.event("service.started")
        service.signal(signal.SIGINT)
        service.event("service.draining")

        service.signal(signal.SIGINT)

        assert service.exit_code() == 0


def test_deadline_of_the_drain_is_kept(home, database_url):
    with running(home, app="build_deaf", DATABASE_URL=database_url, GATEWAY_SERVER__DRAIN_S="0.5") as service:
        service.event("service.started")

        service.signal(signal.SIGTERM)

        assert service.exit_code() == 0


def test_workers_and_database_end_with_a_killed_parent(home):
    with running(home) as service:
        pids = {service.event("postgres.started")["pid"], *pids_of_workers(service)}

        service.signal(signal.SIGKILL)

        until(lambda: all(is_gone(pid) for pid in pids), what="all of it ends with its parent")

    with running(home) as again:
        assert again.get()


def test_killed_database_is_started_again(home):
    with running(home) as service:
        service.event("service.started")
        first = service.event("postgres.started")["pid"]
        os.kill(first, signal.SIGKILL)

        assert service.event("postgres.started", number=2)["pid"] != first
        assert service.get()


def test_second_gateway_takes_the_database_over_from_the_first(home):
    with running(home) as first, running(home) as second:
        first.event("service.started")
        second.event("service.started")
        owner, other = (
            (first, second) if any(e["event"] == "postgres.started" for e in first.events) else (second, first)
        )

        owner.signal(signal.SIGTERM)

        assert owner.exit_code() == 0
        assert other.event("postgres.started")["pid"]
        assert other.get()


def test_app_that_cannot_be_built_ends_the_start_with_its_words(home, database_url):
    with running(home, app="build_nothing", DATABASE_URL=database_url) as service:
        assert service.exit_code() == 1

    assert "The gateway cannot start: worker" in service.errors[-1]
    assert "RuntimeError: this app cannot be built" in service.errors[-1]


def test_port_in_use_is_named_with_the_setting(home, database_url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(home, DATABASE_URL=database_url, GATEWAY_SERVER__PORT=str(port)) as service:
            assert service.exit_code() == 1

    assert f"port {port} on 127.0.0.1 is in use" in service.errors[-1]
    assert "GATEWAY_SERVER__PORT" in service.errors[-1]


def test_second_gateway_does_not_share_the_port(service, home, database_url):
    port = str(service.event("service.started")["port"])
    with running(home, DATABASE_URL=database_url, GATEWAY_SERVER__PORT=port) as second:
        assert second.exit_code() == 1


def test_database_that_is_not_there_ends_the_start_after_its_wait(home):
    url = "postgresql://me:hidden@127.0.0.1:1/none"
    with running(home, DATABASE_URL=url, GATEWAY_DATABASE__WAIT_S="0.2") as service:
        assert service.exit_code() == 1

    assert "Postgres at 127.0.0.1:1 cannot be reached" in service.errors[-1]
    assert "hidden" not in str(service.errors)


def test_sigterm_while_waiting_for_the_database_ends_the_start(home):
    with running(home, DATABASE_URL="postgresql://me@127.0.0.1:1/none") as service:
        until(lambda: service.errors, what="it says that it waits")

        service.signal(signal.SIGTERM)

        assert service.exit_code() == 0


def test_rows_of_an_unknown_encryption_key_end_the_start(home, database_url):
    key = "A" * 43 + "="
    declared = {"DATABASE_URL": database_url, "OPENAI_API_KEY": "sk-proj-x"}
    with running(home, **declared, GATEWAY_ENCRYPTION_KEYS=f"old:{key}") as service:
        service.event("service.started")

    with running(home, **declared, GATEWAY_ENCRYPTION_KEYS=f"new:{key}") as service:
        assert service.exit_code() == 1

    assert "'old'" in service.errors[-1]
    assert "GATEWAY_ENCRYPTION_KEYS" in service.errors[-1]
