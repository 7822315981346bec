"""The pace of a scope whose upstream tells no limits: learned from what came through between refusals.

Rules of this file: a refusal means that nothing was left; so what was admitted from one refusal to the next, over the
time between them, is the rate. From there the pace creeps up, until a refusal measures it anew. Time in which callers
asked for less than the pace does not count. Before the first refusal everything fits.
"""

from gateway.core.ids import Instant

CREEP = 1.005
CREEP_CALLS = 400.0
"""The pace is 1.005 × what was measured, and × (calls since / 400)² more: a refusal about every hundred calls where
the measure was right, and a quarter more within two hundred where it was too low."""
SURE_CALLS = 10
"""Fewer calls between two refusals measure nothing, but that the pace was too high."""
BURST_S = 2.0
"""How much of the pace may be saved up."""
LEAST_BURST = 2.0
SHORTEST_S = 1.0
"""Stretches shorter than this are taken for so long."""
SURELY_S = 0.01
LESS = 0.9
FASTEST_GUESS = 10.0
SLOWEST = 1 / 600
"""Calls a second."""


class Pace:
    """Starts unknown."""

    __slots__ = ("_admitted", "_at", "_base", "_began", "_is_guess", "_left", "_refused_at", "_since", "_taken_at")

    def __init__(self, now: Instant) -> None:
        self._base: float | None = None
        """Calls a second, as measured last."""
        self._began: float = now
        self._is_guess = False
        """Too little came through before the first refusal to tell a rate: it grows with every call."""
        self._admitted = 0
        """Since `began`, that is since the last refusal."""
        self._since = 0
        """Since the base was set."""
        self._refused_at = float("-inf")
        self._left = 0.0
        self._at: float = now
        self._taken_at: float = now

    @property
    def rate(self) -> float:
        """Calls a second; 0.0 = unknown."""
        if self._base is None:
            return 0.0
        if self._is_guess:
            return self._base * (1 + self._since)
        return self._base * (CREEP + (self._since / CREEP_CALLS) ** 2)

    def take(self, now: Instant) -> None:
        """A call is sent now."""
        if self._base is None:
            self._began += max(0.0, now - self._taken_at - SHORTEST_S)
        else:
            rate, most = self.rate, self._most
            full_at = self._at + (most - self._left) / rate
            self._began += max(0.0, now - full_at)
            self._left = max(min(most, self._left + rate * (now - self._at)) - 1, -most)
            self._at = now
        self._taken_at = now

    def admit(self) -> None:
        """A call came through."""
        self._admitted += 1
        self._since += 1
        if self._base is not None and self._since >= CREEP_CALLS:
            self._base, self._since = self.rate, 0

    def refuse(self, now: Instant, sent_at: Instant, fits_in_s: float | None) -> None:
        """A call that was sent then met the limit; what was under way when the last one did is the same refusal.

        `fits_in_s`: when a call fits again, if the upstream said it.
        """
        if sent_at <= self._refused_at:
            return
        first = 1 / fits_in_s if fits_in_s and self._base is None else SLOWEST
        self._base = max(self._measured(now), min(first, FASTEST_GUESS))
        self._admitted = self._since = 0
        self._refused_at = self._began = self._at = now
        self._left = 0.0 if fits_in_s is None else max(1 - self.rate * fits_in_s, -self._most)

    def _measured(self, now: Instant) -> float:
        stretch_s = now - self._began
        if self._base is None:
            self._is_guess = self._admitted < SURE_CALLS
            return max(self._admitted, 1) / max(stretch_s, SHORTEST_S)
        if self._admitted >= SURE_CALLS:
            self._is_guess = False
            return self._admitted / max(stretch_s, SURELY_S)
        guess = self._admitted / max(stretch_s, SHORTEST_S)
        return min(max(guess, self._base / 2), self._base * LESS)  # a refused call may cost as much as an admitted one

    def wait_s(self, now: Instant, sharers: int = 1) -> float:
        """Seconds until a call may go."""
        if self._base is None:
            return 0.0
        level = min(self._most, self._left + self.rate * (now - self._at))
        return max(0.0, (1 - level - 1e-9) / self.rate) * (sharers if level < 1 else 1)

    @property
    def _most(self) -> float:
        return max(LEAST_BURST, self.rate * BURST_S)
