"""Who takes the connections of a worker that died, until its successor serves.

A worker needs a second or two to start. Its queue outlives it (`listening.py`), and meanwhile a neighbour accepts from
it, so that nobody who connects waits for the start.
"""

from collections.abc import Sequence
from typing import Protocol


class Slot(Protocol):
    """A worker's place, as `worker_slot.WorkerSlot` fits it."""

    is_lent: bool
    """A neighbour takes its connections."""

    @property
    def is_serving(self) -> bool:
        """Its process accepts connections."""
        ...

    @property
    def is_missed(self) -> bool:
        """It has served before, its process is gone, and another will come."""
        ...

    def help_others(self) -> None:
        """Asks its process to accept from all queues."""
        ...

    def mind_its_own(self) -> None:
        """Asks its process to accept from its own queue alone again."""
        ...


class Neighbours:
    """All slots of a service. `look` after each change of one of them, until `stop`."""

    def __init__(self) -> None:
        self.slots: Sequence[Slot] = ()
        self._helper: Slot | None = None
        self._is_stopped = False

    def look(self) -> None:
        """Finds a helper where one is needed; lets it go when all serve again."""
        if self._is_stopped:
            return
        missed = [slot for slot in self.slots if slot.is_missed]
        before = self._helper
        if before is None or not before.is_serving:  # a new process of the same slot does not help yet
            before = None
            self._helper = next((slot for slot in self.slots if slot.is_serving), None) if missed else None
        elif not missed:
            self._helper = None
        if self._helper is not before:
            if before is not None:
                before.mind_its_own()
            if self._helper is not None:
                self._helper.help_others()
        for slot in self.slots:
            slot.is_lent = self._helper is not None and slot.is_missed

    def stop(self) -> None:
        """The service drains: nobody takes connections any more, and no process wants a signal of this kind."""
        self._is_stopped = True
