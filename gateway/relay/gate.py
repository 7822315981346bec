"""Lets calls in until the worker drains, and knows when the last one has left."""

import asyncio


class Gate:
    """One per worker."""

    def __init__(self) -> None:
        self.is_draining = False
        self._empty = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def calls(self) -> int:
        return len(self._tasks)

    def enter(self) -> asyncio.Task[object]:
        """A call begins; its task, so that a drain that runs out of time can end it. Give it back to `leave`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # an ASGI server runs every request in a task
        self._tasks.add(task)
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if self.is_draining and not self._tasks:
            self._empty.set()

    async def drain(self, deadline_s: float) -> int:
        """No new calls; waits until the last one has left. Past `deadline_s` the rest are cancelled: how many."""
        self.is_draining = True
        self._empty.clear()
        if not self.calls:
            return 0
        try:
            async with asyncio.timeout(deadline_s):
                await self._empty.wait()
        except TimeoutError:
            cut = list(self._tasks)
            for task in cut:
                task.cancel()
            if cut:  # the last may have left in the very moment in which the time ran out
                await asyncio.wait(cut, timeout=1.0)
            return len(cut)
        return 0
