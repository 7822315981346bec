"""Attempts after a fault of the upstream: how many may be under way at once, and the calls that wait to make one.

Rules of this file: how many is `core/retry_budget`'s to say; a turn is taken once and given back once; a turn that ends
goes to whoever has waited longest.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.core.ids import Instant
from gateway.core.retry_budget import may_retry
from gateway.relay.ports import Clock


class Retries:
    """One per worker. `calls`: how many are in flight."""

    def __init__(self, clock: Clock, calls: Callable[[], int]) -> None:
        self._clock = clock
        self._calls = calls
        self._under_way = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        """One more may begin, and nobody waited for it."""
        return not self._waiters and may_retry(self._under_way, self._calls())

    def take(self) -> None:
        """A turn, while there is room."""
        self._under_way += 1

    def give_back(self) -> None:
        """A turn ends: whoever has waited longest gets it, if so many may still be under way."""
        self._under_way -= 1
        while self._waiters and may_retry(self._under_way, self._calls()):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._under_way += 1
                waiter.set_result(None)

    async def wait(self, until: Instant) -> bool:
        """Whether a turn came by then: it is the caller's to give back."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        alarm = asyncio.ensure_future(self._clock.sleep(max(until - self._clock.now(), 0.0)))
        try:
            await asyncio.wait({waiter, alarm}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if waiter.done():
                self.give_back()
            raise
        finally:
            alarm.cancel()
            if not waiter.done():
                self._waiters.remove(waiter)
        return waiter.done()
