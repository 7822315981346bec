"""Calls that wait for an account: bounded, first come first served, woken by anything that may have made room.

One line per pool. Only the head of a line looks for an account, and lets smaller calls go before it where there is
room that it cannot use (`overtaking`); whoever leaves wakes the next, so a recovery does not stampede. A ticket keeps
its place while its call goes back and forth between looking and waiting.
"""

import asyncio

from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.relay.line import Line
from gateway.relay.ports import Clock

PoolKey = tuple[str, ...]


class Ticket:
    """A place in a line. Whoever holds it gives it back with `Waiting.leave`, however the call ends."""

    __slots__ = ("_clock", "_waiter", "body_bytes", "is_rung", "kept", "key", "tokens")

    def __init__(self, key: PoolKey, body_bytes: int, tokens: int, clock: Clock) -> None:
        self.key = key
        self.body_bytes = body_bytes
        self.tokens = tokens
        """What the call is charged."""
        self.kept: frozenset[AccountId] | None = None
        """It may go before the head, to none of these accounts. None: it may not."""
        self._clock = clock
        self.is_rung = False
        """Its call looks again, or is about to."""
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Something changed: look again."""
        self.is_rung = True
        if self._waiter is not None:
            _end(self._waiter)

    async def wait(self, until: Instant) -> None:
        """Until `ring`, or until that instant. A ring that came before is not lost."""
        seconds = until - self._clock.now()
        if seconds > 0 and not self.is_rung:
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            alarm = asyncio.ensure_future(self._clock.sleep(seconds))
            alarm.add_done_callback(lambda _: _end(waiter))
            try:
                await waiter
            finally:
                alarm.cancel()
        self.is_rung = False


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Waiting:
    """All lines of this worker. Bounded by calls and by the bytes of their bodies."""

    def __init__(self, *, clock: Clock, max_calls: int, max_bytes: int) -> None:
        self._clock = clock
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._lines: dict[PoolKey, Line[Ticket]] = {}
        self.calls = 0
        self.bytes = 0
        self.closes_at = FOREVER
        """Nobody waits longer: the worker ends then."""

    def close(self, at: Instant) -> None:
        """All look again: who has no hope of a turn by then goes at once, and is served elsewhere."""
        self.closes_at = at
        for line in self._lines.values():
            for ticket in line.calls:
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
        line = self._lines.get(key)
        if line is None:
            return 0
        calls = line.calls
        return len(calls) if ticket is None else next(place for place, other in enumerate(calls) if other is ticket)

    def average_tokens(self, key: PoolKey, tokens: int) -> int:
        """Of those that wait there and one more of so many."""
        line = self._lines.get(key)
        return tokens if line is None else line.average_with(tokens)

    def is_head(self, ticket: Ticket) -> bool:
        return self._lines[ticket.key].calls[0] is ticket

    def line_of(self, ticket: Ticket) -> Line[Ticket]:
        return self._lines[ticket.key]

    def enter(self, body_bytes: int) -> bool:
        """Whether one more may wait, in a line or for something else; who may is given back with `exit`."""
        if self.calls >= self._max_calls or self.bytes + body_bytes > self._max_bytes:
            return False
        self.calls += 1
        self.bytes += body_bytes
        return True

    def exit(self, body_bytes: int) -> None:
        """One that entered waits no more."""
        self.calls -= 1
        self.bytes -= body_bytes

    def join(self, key: PoolKey, body_bytes: int, *, tokens: int = 0, is_first: bool = False) -> Ticket | None:
        """A place in the line; None when the worker holds as much as it may.

        `is_first`: the call had its turn, and its account refused: it stands at the head again.
        """
        if not self.enter(body_bytes):
            return None
        ticket = Ticket(key, body_bytes, tokens, self._clock)
        line = self._lines.setdefault(key, Line())
        line.add(ticket, is_first=is_first)
        if not is_first and tokens <= line.gap and tokens < line.calls[0].tokens:
            line.calls[0].ring()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Gives the place up; the next in line looks at once."""
        line = self._lines[ticket.key]
        line.remove(ticket)
        self.exit(ticket.body_bytes)
        if line.calls:
            line.calls[0].ring()
        else:
            del self._lines[ticket.key]

    def ring_heads(self) -> None:
        """Something changed for the better somewhere: the first of every line looks."""
        for line in self._lines.values():
            line.calls[0].ring()
