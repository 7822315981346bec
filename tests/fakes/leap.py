"""Silence without waiting for it: the event loop's clock leaps beyond a limit once an upstream has fallen silent.

Limits may so be long enough for accounts that are well, however slow the machine is.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from gateway.sandbox.server import Sandbox
from tests.fakes.gateway_fixture import until

T = TypeVar("T")

LIMIT_S = 8.0
"""For limits that a test leaps over. What a client waits for an answer, 20 s, is longer."""
_TURNS = 50
"""So many times the loop looks for what has arrived: all that is under way comes to rest."""


async def leap(seconds: float) -> None:
    """It is never taken back: a loop's clock only goes forward, and nobody compares it with another."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)  # noqa: TID251  # no time passes
    loop = asyncio.get_running_loop()
    ahead_s = loop.time() - time.monotonic() + seconds
    loop.time = lambda: time.monotonic() + ahead_s  # type: ignore[method-assign]  # of this one loop


async def over_silence(sandbox: Sandbox, call: Awaitable[T], *, after: int = 0) -> T:
    """What `call` comes to whose first upstream falls silent behind so many events: `LIMIT_S` are over then."""
    answer = asyncio.ensure_future(call)
    await until(lambda: sandbox.log and len(sandbox.log[0].events) >= after, "the silence")
    await leap(LIMIT_S + 0.5)
    return await answer
