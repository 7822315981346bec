"""The real clock. Tests use tests/fakes/clock.py."""

import asyncio
import time
from datetime import UTC, datetime

from gateway.core.ids import Instant


class SystemClock:
    """Monotonic time for what happens here, wall time for what is told to others."""

    def now(self) -> Instant:
        return Instant(time.monotonic())

    def wall_now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251  # this is the Clock that everyone else asks
