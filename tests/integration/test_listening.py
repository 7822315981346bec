"""Sockets on loopback: shared by our workers, by nobody else."""

import socket

import pytest

from gateway.listening import CannotListen, bind, shown_address


def test_port_zero_gives_one_port_to_all_workers():
    listeners = bind("127.0.0.1", 0, 3)
    ports = {each.getsockname()[1] for sockets in listeners.of_worker for each in sockets}
    listeners.close()

    assert ports == {listeners.port}
    assert listeners.port > 0
    assert len(listeners.of_worker) == 3


def test_connections_wait_for_the_successor_of_a_worker():
    listeners = bind("127.0.0.1", 0, 1)
    (held,) = listeners.of_worker[0]
    with socket.socket(fileno=socket.dup(held.fileno())) as worker:
        worker.listen()
    with socket.create_connection(("127.0.0.1", listeners.port)) as client:
        successor, _ = held.accept()
        successor.close()
        client.recv(1)
    listeners.close()


def test_queue_that_was_shut_comes_back_with_the_next_listen():
    listeners = bind("127.0.0.1", 0, 1)
    (held,) = listeners.of_worker[0]
    held.listen()
    held.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listeners.port))

    held.listen()

    socket.create_connection(("127.0.0.1", listeners.port)).close()
    listeners.close()


def test_taken_port_is_refused_even_to_another_gateway():
    first = bind("127.0.0.1", 0, 1)
    first.of_worker[0][0].listen()

    with pytest.raises(CannotListen, match=f"port {first.port} on 127.0.0.1 is in use.*GATEWAY_SERVER__PORT"):
        bind("127.0.0.1", first.port, 1)

    first.close()


def test_localhost_listens_on_all_its_addresses():
    listeners = bind("localhost", 0, 2)

    assert {each.getsockname()[1] for sockets in listeners.of_worker for each in sockets} == {listeners.port}
    listeners.close()


@pytest.mark.parametrize("host", ["203.0.113.7", "no such name"])
def test_address_of_another_machine_is_refused_by_name(host):
    with pytest.raises(CannotListen, match=host):
        bind(host, 0, 1)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        pytest.param("127.0.0.1", "http://127.0.0.1:80", id="plain"),
        pytest.param("0.0.0.0", "http://127.0.0.1:80", id="all"),  # noqa: S104  # shown, not bound
        pytest.param("::1", "http://[::1]:80", id="ipv6"),
    ],
)
def test_address_for_a_browser(host, shown):
    assert shown_address(host, 80) == shown
