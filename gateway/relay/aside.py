"""Work on large bodies, in threads of its own: meanwhile the loop goes on with everybody else's calls."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

LARGE_BYTES: Final = 65_536
"""Of JSON. Up to this size what is done at once takes a usual body less time than a thread takes to be asked, and one
made of nothing but braces some ten milliseconds; 1 MiB of these takes half a second.
"""
THREADS: Final = 2
"""They share the interpreter with the loop: the more of them, the less it has. The loop's own look up names."""

T = TypeVar("T")


async def aside(work: Callable[..., T], *given: object) -> T:
    """What `work(*given)` gives or raises. It must touch nothing that the loop changes meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), work, *given)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "aside")
