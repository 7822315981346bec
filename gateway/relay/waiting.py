"""Calls that wait for an account: bounded, first come first served, woken by anything that may have made room.

One line per pool. Only the head of a line looks for an account; whoever leaves wakes the next, so a recovery does not
stampede. A ticket keeps its place while its call goes back and forth between looking and waiting.
"""

import asyncio
from collections import deque

from gateway.core.ids import FOREVER, Instant
from gateway.relay.ports import Clock

PoolKey = tuple[str, ...]


class Ticket:
    """A place in a line. Whoever holds it gives it back with `Waiting.leave`, however the call ends."""

    __slots__ = ("_bell", "_clock", "body_bytes", "key")

    def __init__(self, key: PoolKey, body_bytes: int, clock: Clock) -> None:
        self.key = key
        self.body_bytes = body_bytes
        self._clock = clock
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """Something changed: look again."""
        self._bell.set()

    async def wait(self, until: Instant) -> None:
        """Until `ring`, or until that instant. A ring that came before is not lost."""
        seconds = until - self._clock.now()
        if seconds > 0 and not self._bell.is_set():
            alarm = asyncio.ensure_future(self._clock.sleep(seconds))
            bell = asyncio.ensure_future(self._bell.wait())
            try:
                await asyncio.wait({alarm, bell}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                alarm.cancel()
                bell.cancel()
        self._bell.clear()


class Waiting:
    """All lines of this worker. Bounded by calls and by the bytes of their bodies."""

    def __init__(self, *, clock: Clock, max_calls: int, max_bytes: int) -> None:
        self._clock = clock
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._lines: dict[PoolKey, deque[Ticket]] = {}
        self.calls = 0
        self.bytes = 0
        self.closes_at = FOREVER
        """Nobody waits longer: the worker ends then."""

    def close(self, at: Instant) -> None:
        """All look again: who has no hope of a turn by then goes at once, and is served elsewhere."""
        self.closes_at = at
        for line in self._lines.values():
            for ticket in line:
                ticket.ring()

    @property
    def lines(self) -> tuple[PoolKey, ...]:
        """Where somebody waits."""
        return tuple(self._lines)

    def is_busy(self, key: PoolKey) -> bool:
        """Somebody waits there: who comes now stands behind them."""
        return key in self._lines

    def calls_before(self, key: PoolKey, ticket: Ticket | None) -> int:
        """How many have their turn earlier; without a ticket: earlier than one that joins now."""
        line = self._lines.get(key, ())
        return len(line) if ticket is None else next(place for place, other in enumerate(line) if other is ticket)

    def is_head(self, ticket: Ticket) -> bool:
        return self._lines[ticket.key][0] is ticket

    def join(self, key: PoolKey, body_bytes: int, *, is_first: bool = False) -> Ticket | None:
        """A place in the line; None when the worker holds as much as it may.

        `is_first`: the call had its turn, and its account refused: it stands at the head again.
        """
        if self.calls >= self._max_calls or self.bytes + body_bytes > self._max_bytes:
            return None
        ticket = Ticket(key, body_bytes, self._clock)
        line = self._lines.setdefault(key, deque())
        if is_first:
            line.appendleft(ticket)
        else:
            line.append(ticket)
        self.calls += 1
        self.bytes += body_bytes
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Gives the place up; the next in line looks at once."""
        line = self._lines[ticket.key]
        line.remove(ticket)
        self.calls -= 1
        self.bytes -= ticket.body_bytes
        if line:
            line[0].ring()
        else:
            del self._lines[ticket.key]

    def ring_heads(self) -> None:
        """Something changed for the better somewhere: the first of every line looks."""
        for line in self._lines.values():
            line[0].ring()
