"""Waiting for a real event of another process, with a deadline instead of a guess."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02
PATIENCE_S = 20.0
"""Only what never comes takes so long: a bar that a busy machine can miss tells nothing of the gateway.

Below what would come by itself and hide a fault: TLS gives up a goodbye after 30 s, a WebSocket a silent peer after 40.
"""


def until(condition: Callable[[], T], *, what: str, within_s: float = PATIENCE_S) -> T:
    """The first true value of `condition`. Fails with `what` when none comes."""
    deadline = time.monotonic() + within_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(POLL_S)
