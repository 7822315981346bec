"""Background work of one worker: named tasks in one group; one that crashes is logged and started again."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.relay.ports import Clock
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger

Job = Callable[[], Awaitable[None]]

FIRST_REST_S = 0.5
LONGEST_REST_S = 30.0


async def kept_running(name: str, job: Job, clock: Clock) -> None:
    """Runs `job` until cancelled. When it raises: a line in the log, a rest that doubles, and again."""
    rest_s = FIRST_REST_S
    while True:
        began = clock.now()
        try:
            await job()
        except Exception as error:  # noqa: BLE001  # the supervisor of background tasks
            if clock.now() - began > LONGEST_REST_S:
                rest_s = FIRST_REST_S
            get_logger().exception(Event.TASK_CRASHED, task=name, error=type(error).__name__, next_start_s=rest_s)
        else:
            return
        await clock.sleep(rest_s)
        rest_s = min(rest_s * 2, LONGEST_REST_S)


async def every(seconds: float, job: Job, clock: Clock, *, first_after_s: float = 0.0) -> None:
    """Does `job`, rests, and so on, until cancelled; `first_after_s`: for what need not burden the start."""
    if first_after_s:
        await clock.sleep(first_after_s)
    while True:
        await job()
        await clock.sleep(seconds)


class Background:
    """The group. `async with` it around the service's life; leaving cancels every task and waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, job: Job) -> None:
        self._tasks.append(asyncio.create_task(kept_running(name, job, self._clock), name=name))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
