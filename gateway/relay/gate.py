"""Lets calls in until the worker drains, and knows when the last one has left."""

import asyncio


class Gate:
    """One per worker."""

    def __init__(self) -> None:
        self.is_draining = False
        self.calls = 0
        self._empty = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()

    def enter(self) -> asyncio.Task[object] | None:
        """A call begins; its task, so that a drain that runs out of time can end it. Give it back to `leave`."""
        self.calls += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        return task

    def leave(self, task: asyncio.Task[object] | None) -> None:
        self.calls -= 1
        if task is not None:
            self._tasks.discard(task)
        if not self.calls:
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
            await asyncio.wait(cut, timeout=1.0)
            return len(cut)
        return 0
