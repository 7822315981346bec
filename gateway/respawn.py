"""When a dead worker is started again: pure."""

import msgspec

QUICK_S = 10.0
"""A worker that lived shorter died of its start, most likely."""
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 30.0
DEATHS_TO_GIVE_UP = 3


class Respawns(msgspec.Struct, frozen=True):
    """What one worker's predecessors went through."""

    quick_deaths: int = 0
    """In a row."""
    was_ever_ready: bool = False

    def after_death(self, lived_s: float, *, was_ready: bool) -> "Respawns":
        """`lived_s`: from the spawn to the death."""
        is_quick = not was_ready or lived_s < QUICK_S
        return Respawns(self.quick_deaths + 1 if is_quick else 0, self.was_ever_ready or was_ready)

    @property
    def delay_s(self) -> float:
        """Rest before the next start: none after a long life, else doubling."""
        if self.quick_deaths == 0:
            return 0.0
        return min(FIRST_DELAY_S * 2.0 ** (self.quick_deaths - 1), LONGEST_DELAY_S)

    @property
    def is_hopeless(self) -> bool:
        """It never served and died again and again: a fault of the settings or the machine, for a person to repair."""
        return not self.was_ever_ready and self.quick_deaths >= DEATHS_TO_GIVE_UP
