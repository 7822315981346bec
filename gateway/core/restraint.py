"""Who is refused by a limit although headers tell of it asks ever later.

A refused call may cost as much as an admitted one: two who each try as soon as one fits keep a bucket empty for ever.
"""

from gateway.core.ids import NEVER, Instant
from gateway.core.pieces import Levels

LONGEST = 5
"""Each refusal in a row waits twice as long as the one before it, up to sixteen calls' time."""


class Restraint:
    """One per scope. Mutable."""

    __slots__ = ("_quiet_until", "_refused_at", "in_a_row")

    def __init__(self) -> None:
        self.in_a_row = 0
        """Refusals, each of a call sent after the last one was known."""
        self._refused_at = NEVER
        self._quiet_until = NEVER

    def refuse(self, sent_at: Instant, now: Instant, fits_in_s: float) -> None:
        """The call that was sent then was refused. `fits_in_s`: when one fits, by what is known."""
        if sent_at > self._refused_at:
            self._refused_at = now
            self.in_a_row = min(self.in_a_row + 1, LONGEST)
            self._quiet_until = Instant(now + 2 ** (self.in_a_row - 1) * fits_in_s)

    def note(self, levels: Levels, sent_at: Instant, now: Instant, *, is_success: bool) -> None:
        """An answer told of these limits: whether its call was admitted."""
        if is_success:
            self.in_a_row = 0
        else:
            waits_s = [level.wait_s(1, now) for level, _ in levels]
            self.refuse(sent_at, now, max(waits_s, default=0.0))

    def wait_s(self, now: Instant) -> float:
        """Seconds until a call should be tried."""
        return max(0.0, self._quiet_until - now) if self.in_a_row else 0.0
