"""What has changed lately, so that views can be told of it and need not be made anew."""

from collections import deque
from typing import Generic, TypeVar

REMEMBERED = 256
"""Changes; who missed more looks at everything."""

What = TypeVar("What")


class News(Generic[What]):
    """Changes, in order. Who hears of them keeps the `epoch` up to which it has."""

    __slots__ = ("_told", "epoch")

    def __init__(self) -> None:
        self.epoch = 0
        """How many changes there were."""
        self._told: deque[What] = deque(maxlen=REMEMBERED)

    def note(self, what: What) -> None:
        self.epoch += 1
        self._told.append(what)

    def since(self, epoch: int) -> list[What] | None:
        """What was noted after that; None: more than is remembered."""
        missed = self.epoch - epoch
        return [self._told[place] for place in range(-missed, 0)] if missed <= len(self._told) else None
