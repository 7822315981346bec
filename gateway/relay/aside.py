"""Work on large bodies, in a thread of its own: meanwhile the loop goes on with everybody else's calls."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

LARGE_BYTES: Final = 65_536
"""Of JSON. Up to this size what is done at once takes a usual body less time than a thread takes to be asked, and one
made of nothing but braces some ten milliseconds; 1 MiB of these takes half a second.
"""
T = TypeVar("T")


async def aside(work: Callable[..., T], *given: object) -> T:
    """What `work(*given)` gives or raises. It must touch nothing that the loop changes meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), work, *given)


@cache
def _thread() -> ThreadPoolExecutor:
    """One, for it shares the interpreter with the loop.

    Measured with four callers of the worst bodies at once: a small call took 330 ms at most beside two threads, 120 ms
    beside one; more bodies came through with one.
    """
    return ThreadPoolExecutor(1, "aside")
