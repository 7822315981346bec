"""A connected socket to a host and port: names looked up, addresses raced (RFC 8305), Nagle's delay off.

uvloop's `create_connection` tries one address after the other, and tells neither which step failed nor with which
error when several did; hence this file.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from itertools import chain, zip_longest

_HEAD_START_S = 0.25
"""How long one address has before the next is tried beside it (RFC 8305 §5)."""

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
Dial = asyncio.Task[socket.socket]


async def open_socket(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """Connected and non-blocking. Raises OSError (socket.gaierror for a name): of the first address, if all failed."""
    addresses = await _look_up(loop, host, port)
    if len(addresses) == 1:
        return await _connect(loop, addresses[0])
    return await _race(loop, interleaved(addresses))


def interleaved(addresses: Iterable[Address]) -> list[Address]:
    """The families in turn, each in the resolver's order, the family of the first address first (RFC 8305 §4)."""
    families: dict[socket.AddressFamily, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    rounds = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in rounds if address is not None]


async def _look_up(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Address]:
    with contextlib.suppress(ValueError):  # not a literal
        literal = ipaddress.ip_address(host)  # spares the resolver's thread
        return [(socket.AF_INET if literal.version == 4 else socket.AF_INET6, (host, port))]
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not infos:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return [(info[0], info[4]) for info in infos]


async def _connect(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(loop: asyncio.AbstractEventLoop, addresses: list[Address]) -> socket.socket:
    tasks: list[Dial] = []
    winner: Dial | None = None
    try:
        for address in addresses:
            tasks.append(loop.create_task(_connect(loop, address)))
            winner = await _first_of(tasks, _HEAD_START_S)
            if winner is not None:
                return winner.result()
        while winner is None and not all(task.done() for task in tasks):
            winner = await _first_of(tasks, None)
        return (winner or tasks[0]).result()  # raises why the first failed when all did
    finally:
        for task in tasks:
            if task is not winner:
                task.add_done_callback(_drop)
                task.cancel()


async def _first_of(tasks: list[Dial], timeout_s: float | None) -> Dial | None:
    """The first of the list that has connected, after at most `timeout_s`; None also when one more has failed."""
    pending = [task for task in tasks if not task.done()]
    _ = await asyncio.wait(pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    return next((task for task in tasks if task.done() and task.exception() is None), None)


def _drop(task: Dial) -> None:
    """Closes what a loser had opened; reading its exception keeps that from being reported as lost."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
