"""Even steps of a scope whose limit nobody told, and of which nothing is believed: how fast they go.

Rules of this file: evenly spaced calls are admitted by every kind of limit, so no burst is allowed. The pace lies
between the highest that was kept up and the lowest that was refused; now and then a little more is asked for. What
follows from the first refusal alone is a guess, which grows as long as calls come through: an upstream may refuse
once for no reason that comes again.

    unknown ──refused──▶ guess ──refused──▶ between bounds
       ▲                   │ grown a thousand times
       └───────────────────┘

Mutable; one per scope and process.
"""

from gateway.core.evidence import INFINITE

LESS = 0.8
"""Of a pace that was refused, while none is known that was not."""
NEAR = 1.015
"""Bounds so near are one: the lower is kept to."""
FIRST_ASK, LAST_ASK = 40, 640
"""Calls in a row, each sent as soon as it might, after which a little more is asked for: first and at most."""
ASKS, MOST_ASKED = 0.03, 0.24
"""How much more; doubled as long as it is given."""
SURE = 1.5
"""A pace that is too high by x shows so within 1.5 ÷ x calls."""
FEWEST_SURE = 15
SHORTEST_S = 1.0
"""Stretches shorter than this are taken for so long."""
FEWEST_MEASURED = 5
"""Calls before the first refusal: fewer tell no pace."""
GROWS, MOST_GROWN = 1.3, 1000.0
"""A guess grows so much with each call that came through and was sent since it grew last; who has grown so many times
knows of no limit."""
FASTEST_GUESS = 10.0
SLOWEST = 1 / 600
"""Calls a second."""


class EvenSteps:
    """Starts unknown."""

    __slots__ = (
        "_asks", "_asks_after", "_began", "_grown_at", "_grows_after", "_high", "_is_asking", "_low", "admitted",
        "guess", "rate", "tight",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.rate = 0.0
        """Calls a second; 0.0 = unknown."""
        self._low = 0.0
        """The highest that was kept up."""
        self._high = INFINITE
        """The lowest that was refused."""
        self.guess = 0.0
        """What the first refusals made of it, with nothing between them; 0.0: it is no guess."""
        self._grows_after = 0
        """Calls that come through before the guess grows: many more came before the refusal."""
        self._grown_at = now
        """Calls that were sent before say nothing of the pace since then."""
        self._asks_after = FIRST_ASK
        self._asks = ASKS
        self._is_asking = False
        self._began = now
        self.admitted = 0
        """Since it began: the first call, or the last refusal."""
        self.tight = 0
        """Calls in a row that used the pace up."""

    def pause(self, seconds: float) -> None:
        """Nothing was sent for so long, though any number might have been."""
        self._began += max(0.0, seconds - SHORTEST_S)

    def admit(self, sent_at: float, last_at: float, *, are_kept: bool) -> None:
        """A call that was sent then came through. `last_at`: when the last one was sent.

        `are_kept`: nothing else is believed.
        """
        self.admitted += 1
        if self.guess and self.admitted > self._grows_after and sent_at > self._grown_at:
            self._grow(last_at)
        elif self.rate and self.tight >= self._sure_after() and are_kept:
            self._raise()

    def _grow(self, now: float) -> None:
        self.rate *= GROWS
        self._grown_at = now
        if self.rate > MOST_GROWN * self.guess:
            self.rate = self.guess = 0.0
            self._begin(now)

    def _sure_after(self) -> float:
        if not self._low or self._low == self.rate:
            return self._asks_after if self._low else FEWEST_SURE
        return max(FEWEST_SURE, SURE / (self.rate / self._low - 1))

    def _raise(self) -> None:
        """The pace was kept up."""
        if self._is_asking:  # and it was given
            self._asks, self._asks_after = min(2 * self._asks, MOST_ASKED), FIRST_ASK
        self._is_asking = self._low == self.rate
        self._low, self.tight = self.rate, 0
        if self._is_asking:
            self.rate = self._low * (1 + self._asks)
            self._high = max(self._high, self.rate)
            self._asks_after = min(2 * self._asks_after, LAST_ASK)
        elif self._high == INFINITE:
            self.rate = self._low / LESS
        elif self._high > self._low * NEAR:
            self.rate = (self._low + self._high) / 2

    def refuse(self, now: float, fits_in_s: float | None) -> None:
        """They were too fast. `fits_in_s`: when a call fits again, if the upstream said it."""
        if not self.rate:
            self._guess(now, fits_in_s)
        elif self.guess and not self.admitted:
            self.rate = self.guess = max(self.guess * LESS, SLOWEST)
        else:
            self._lower()
        self._begin(now)

    def _guess(self, now: float, fits_in_s: float | None) -> None:
        named = 1 / fits_in_s if fits_in_s else SLOWEST
        measured = max(self.admitted, 1) / max(now - self._began, SHORTEST_S)
        self._grows_after = 0 if self.admitted < FEWEST_MEASURED else FEWEST_SURE
        self.rate = self.guess = max(measured * LESS, min(named, FASTEST_GUESS), SLOWEST)

    def _lower(self) -> None:
        is_first, self.guess = not self._low, 0.0
        self._high = INFINITE if is_first else self.rate  # a burst is refused at any pace
        if is_first:
            self.rate = max(self.rate * LESS, SLOWEST)
        elif self.rate <= self._low:  # what was kept up once is too much now
            self._low *= LESS
            self.rate = (self._low + self._high) / 2
        elif self._is_asking or self._high <= self._low * NEAR:
            self.rate = self._low
        else:
            self.rate = (self._low + self._high) / 2
        self._is_asking, self._asks = False, ASKS

    def _begin(self, now: float) -> None:
        self.admitted = self.tight = 0
        self._began = now

    def refuse_other(self, now: float, rate: float) -> None:
        """Something else was believed, of that pace. Should it be no more from now on, they go on from there."""
        self.rate, self._low, self._high, self.guess = rate * LESS, rate * LESS**2, rate, 0.0
        self._begin(now)

    def begin_anew(self) -> None:
        """What was learned by then was learned from a part of the calls."""
        self.rate, self._low, self._high, self.guess = 2 * self.rate, 0.0, INFINITE, 2 * self.rate

    def follow(self, rate: float, *, is_guess: bool) -> None:
        """Goes on from what another process found."""
        self.rate, self._low, self._high = rate, rate * LESS, INFINITE
        self.guess = rate if is_guess else 0.0
