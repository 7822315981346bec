"""The real clock. Tests use tests/fakes/clock.py."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from gateway.core.ids import Instant


class SystemClock:
    """Monotonic time for what happens here, wall time for what is told to others."""

    now = staticmethod(cast("Callable[[], Instant]", time.monotonic))
    """Without a function around it: a call asks eight times."""

    def wall_now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251  # this is the Clock that everyone else asks
