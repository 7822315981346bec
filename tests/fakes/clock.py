"""`FakeClock`: time that moves only when a test says so. Fits `relay.ports.Clock`."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

from gateway.core.ids import Instant

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FakeClock:
    """Sleepers wake in the order of their deadlines, each at exactly its own."""

    def __init__(self, now: float = 1000.0, wall: datetime = START) -> None:
        self._now = Instant(now)
        self._wall_zero = wall - timedelta(seconds=now)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.slept: list[float] = []
        """Every duration that was asked for, in order."""

    def now(self) -> Instant:
        return self._now

    def wall_now(self) -> datetime:
        return self._wall_zero + timedelta(seconds=self._now)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(0.0, seconds), next(self._order), waiter))
        await waiter

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not waiter.done() for _, _, waiter in self._sleepers)

    def move(self, seconds: float) -> None:
        """Moves time without running anything: for synchronous tests."""
        self._now = Instant(self._now + seconds)

    def move_to(self, instant: Instant) -> None:
        """The same, to a moment."""
        self._now = instant

    def jump_wall(self, seconds: float) -> None:
        """The wall clock is set, forward or back; monotonic time does not notice."""
        self._wall_zero += timedelta(seconds=seconds)

    async def settle(self, turns: int = 20) -> None:
        """Lets everything run that can run without time passing."""
        for _ in range(turns):
            await asyncio.sleep(0)  # noqa: TID251  # yields to the loop; no time passes

    async def advance(self, seconds: float) -> None:
        """Moves time by `seconds`, waking each sleeper at its deadline; what it starts may sleep and wake as well."""
        end = self._now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, waiter = heapq.heappop(self._sleepers)
            if waiter.done():  # its task was cancelled
                continue
            self._now = max(self._now, deadline)
            waiter.set_result(None)
            await self.settle()
        self._now = end
