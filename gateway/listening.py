"""Listening sockets: one per worker and address, on one port, bound by the parent and held by it.

Each worker accepts from a queue of its own (SO_REUSEPORT), so the kernel spreads connections. The parent's copy keeps
the queue of a worker that died: a neighbour or the successor takes its connections, and none is reset.
"""

import contextlib
import errno
import socket
from collections.abc import Sequence

import msgspec


class CannotListen(Exception):
    """The address cannot be had; the message names it and the setting."""

    def __init__(self, message: str, *, is_taken: bool = False) -> None:
        """`is_taken`: another program has it, and may let go of it."""
        super().__init__(message)
        self.is_taken = is_taken


class Listeners(msgspec.Struct, frozen=True):
    """All sockets of a service."""

    port: int
    """The real one, where 0 was asked for."""
    of_worker: tuple[tuple[socket.socket, ...], ...]
    """Bound, not yet listening: that is the worker's first act once it is ready."""

    def close(self) -> None:
        for sockets in self.of_worker:
            for each in sockets:
                each.close()


def bind(host: str, port: int, workers: int) -> Listeners:
    """Sockets of `host` for so many workers.

    Raises:
        CannotListen: the port is taken, the address is not of this machine, or may not be used.
    """
    addresses = _addresses(host, port)
    with contextlib.ExitStack() as undo:
        port = _free_port(addresses, host, port)
        found = [[_bound(family, _with_port(place, port), undo) for family, place in addresses] for _ in range(workers)]
        undo.pop_all()
    return Listeners(port, tuple(tuple(sockets) for sockets in found))


def shown_address(host: str, port: int) -> str:
    """The URL to open in a browser on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


Address = tuple[str, int] | tuple[str, int, int, int]


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Address]]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotListen(f"server.host: {host} is no address of this machine ({error.strerror})") from error
    return list(dict.fromkeys((family, _address(place)) for family, _, _, _, place in found))


def _address(place: Sequence[object]) -> Address:
    if len(place) == 2:
        return msgspec.convert(place, tuple[str, int])
    return msgspec.convert(place, tuple[str, int, int, int])


def _free_port(addresses: list[tuple[socket.AddressFamily, Address]], host: str, port: int) -> int:
    """Binds once without SO_REUSEPORT: with it, a second gateway of ours would silently share the port."""
    usable = []
    for family, place in addresses:
        try:
            with _socket(family) as probe:
                probe.bind(_with_port(place, port))
                port = probe.getsockname()[1]
                usable.append((family, place))
        except OSError as error:
            is_missing = error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # localhost without IPv6, say
            if not (is_missing and len(addresses) > 1):
                raise _explained(error, host, port) from error
    if not usable:
        raise CannotListen(f"server.host: {host} is no address of this machine")
    addresses[:] = usable
    return port


def _bound(family: socket.AddressFamily, place: Address, undo: contextlib.ExitStack) -> socket.socket:
    listener = undo.enter_context(_socket(family))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(place)
    except OSError as error:
        raise _explained(error, place[0], place[1]) from error
    return listener


def _socket(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family is socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return made


def _with_port(place: Address, port: int) -> Address:
    return (place[0], port) if len(place) == 2 else (place[0], port, place[2], place[3])


def _explained(error: OSError, host: str, port: int) -> CannotListen:
    match error.errno:
        case errno.EADDRINUSE:
            why = "is in use by another program: choose another with --port or GATEWAY_SERVER__PORT"
        case errno.EACCES:
            why = "needs more rights: choose one above 1023 with --port or GATEWAY_SERVER__PORT"
        case _:
            return CannotListen(f"cannot listen on {host} port {port}: {error.strerror} (server.host, server.port)")
    return CannotListen(f"port {port} on {host} {why}", is_taken=error.errno == errno.EADDRINUSE)
