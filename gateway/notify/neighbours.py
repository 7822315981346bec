"""What the workers of one service tell each other at once: how near to their limits scopes are that they share.

    a call goes out ──▶ UsesUpkeep ──(5 ms)──▶ one message into each neighbour's socket ──▶ hear

Rules of this file: each worker reads from a socket that its parent opened and keeps, so that whoever follows a worker
that died goes on with it. Nothing waits here: what does not fit into a neighbour's queue is left out, and the next
totals make up for it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

from gateway.core.uses import Use
from gateway.notify.messages import read_message, write_messages

MOST_READ = 64
"""Messages in a row: then calls have their turn."""
MOST_BYTES = 8_000

Hear = Callable[[str, tuple[Use, ...]], None]
"""Told the process' name and the scopes that it uses."""


class Line(NamedTuple):
    """One worker's, as its parent keeps it. Closes as a context manager."""

    hears: socket.socket
    tells: socket.socket
    """For all the others."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hears.close()
        self.tells.close()


def open_lines(workers: int) -> list[Line]:
    """One for each worker; none for one that is alone."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(workers if workers > 1 else 0)]
    return [Line(*pair) for pair in pairs]


class Neighbours:
    """`start` in the loop, `close` at the end."""

    def __init__(self, hears_fd: int | None, tells_fds: Sequence[int], *, sender: str, hear: Hear) -> None:
        """`hears_fd`: None where there are no neighbours. `sender`: this process' name."""
        self._hears = None if hears_fd is None else socket.socket(fileno=hears_fd)
        self._tells = [socket.socket(fileno=fd) for fd in tells_fds]
        for each in (*self._tells, *filter(None, [self._hears])):
            each.setblocking(False)
        self._sender = sender
        self._hear = hear

    @property
    def are_there(self) -> bool:
        return bool(self._tells)

    def start(self) -> None:
        if self._hears is not None:
            asyncio.get_running_loop().add_reader(self._hears, self._read, self._hears)

    def tell(self, uses: Iterable[Use]) -> None:
        """At once, to all of them."""
        for payload in write_messages(self._sender, uses=tuple(uses)):
            for each in self._tells:
                with contextlib.suppress(OSError):  # it is full: its worker starts just now, or hangs
                    each.send(payload.encode())

    def close(self) -> None:
        self._hear_no_more()
        for each in self._tells:
            each.close()

    def _hear_no_more(self) -> None:
        if self._hears is not None:
            asyncio.get_running_loop().remove_reader(self._hears)
            self._hears.close()
            self._hears = None

    def _read(self, hears: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST_READ):
                payload = hears.recv(MOST_BYTES)
                if not payload:  # the parent and all others are gone: it would be readable for ever
                    self._hear_no_more()
                    return
                message = read_message(payload)
                if message is not None:
                    self._hear(message.sender, message.uses)
