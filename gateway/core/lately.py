"""How many calls a scope's holder sent lately, however many: to be compared with a limit that a refusal names.

Rules of this file: whoever was not watched for the whole time is not counted, rather than counted too low.
"""

from collections import deque

from gateway.core.ids import Instant

WITHIN_S = 60.0
"""Limits that messages name are per minute."""
MARKS_S = 2.0
"""Calls of so long before are counted as well."""


class Lately:
    """Marks in the count of all calls. Mutable."""

    __slots__ = ("_marks",)

    def __init__(self, now: Instant, sent: int) -> None:
        """`sent`: how many there were in all by now."""
        self._marks = deque([(now, sent)])

    def note(self, now: Instant, sent: int) -> None:
        """So many were sent by now."""
        if now >= self._marks[-1][0] + MARKS_S:
            self._marks.append((now, sent))
            while len(self._marks) > 1 and self._marks[1][0] <= now - WITHIN_S:
                self._marks.popleft()

    def count(self, now: Instant, sent: int) -> int | None:
        """Of the last minute, or a little more; None: it was not watched so long."""
        older = [count for at, count in self._marks if at <= now - WITHIN_S]
        return sent - older[-1] if older else None
