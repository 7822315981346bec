"""Whether what headers tell of limits is borne out by what becomes of calls; where it is not, refusals teach the limit.

Rules of this file:
- who sends what fits by the headers is hardly ever refused: many refusals for the calls that were sent, and the
  headers tell too much, or of another limit;
- what should not fit is tried now and then, by one scope for all of its provider and model: admitted some times, and
  the headers tell too little. Each refusal makes the next trial rarer, so that honest headers cost some few refusals
  in the life of a process;
- headers that mislead are believed again after a rest, and doubted sooner then; each rest is twice as long.

Mutable; one per provider and model. Moments are `Instant`s.
"""

FIRST, EACH = 5.0, 2.0
"""So many refusals are chance, and so many more of each scope: how a window ends is found out by some."""
BORNE = 0.03
"""One refusal in so many calls is chance for ever."""
AGAIN = 2.0
"""So many are enough where headers misled before."""
REST_S, LONGEST_REST_S = 600.0, 86_400.0
FIRST_TRIED, LAST_TRIED = 200, 12_800
"""Calls between two trials of what should not fit, while all are refused."""
FIRST_IDLE_S, LAST_IDLE_S = 10.0, 3600.0
"""A trial comes sooner where no call was sent for so long, and some wait."""
RARER = 4
"""Both are so many times longer after a refusal."""
TRIED_AGAIN, AGAIN_S = 8, 0.5
"""The same where the last one was admitted."""
PARTS = (0.25, 0.5, 0.1, 0.75)
"""A window that ends sooner than headers tell is found out late in it, and one whose calls leave sooner at any time."""
ENOUGH, REFUSED = 4.0, 0.5
"""So many trials were admitted: the headers tell too little. One that was refused refutes half of one."""
LONGEST_TRIAL_S = 60.0
"""Who was not answered by then told nothing."""
INFINITE = float("inf")
NOTHING: frozenset[str] = frozenset()


class Trust:
    """Starts full."""

    __slots__ = (
        "_admitted", "_doubted_until", "_idle_s", "_idle_since", "_is_hasty", "_number", "_refusals", "_rest_s",
        "_scopes", "_scored", "_seen", "_tried", "_tried_after", "_trying_until", "refused", "sent", "too_little",
    )  # fmt: skip

    def __init__(self) -> None:
        self.sent = 0
        """Calls, ever…"""
        self.refused = 0
        """…and those of them that met a limit."""
        self._refusals = 0.0
        """Less those that are chance…"""
        self._scored = 0
        """…of so many that came through."""
        self._scopes: set[str] = set()
        """Those that were refused."""
        self._doubted_until = -INFINITE
        self._rest_s = REST_S
        self.too_little = NOTHING
        """Dimensions of which headers tell too little."""
        self._admitted: dict[str, float] = {}
        """Trials that were, of each dimension, less what those refuted that were not."""
        self._trying_until = -INFINITE
        """A trial is under way."""
        self._tried, self._tried_after, self._idle_s = 0, FIRST_TRIED, FIRST_IDLE_S
        """How many calls were sent when a trial came last; the next one comes so many later."""
        self._is_hasty = False
        """The last one came through: the next one comes soon."""
        self._number = 0
        """How many trials were refused."""
        self._seen, self._idle_since = -1, 0.0
        """How many calls were sent when somebody waited last, and when that was first so."""

    def is_doubted(self, now: float) -> bool:
        if now < self._doubted_until:
            return True
        self.too_little = NOTHING
        return False

    def doubted_s(self, now: float) -> float:
        """How much longer headers are not believed."""
        return max(0.0, self._doubted_until - now)

    def restore(self) -> None:
        """What was refused was refused for a reason that is known by now."""
        self._refusals, self._doubted_until, self._rest_s = 0.0, -INFINITE, REST_S
        self._scopes.clear()

    def refuse(self, scope: str, now: float) -> None:
        """A call of that scope was refused that fitted by its headers."""
        self._scopes.add(scope)
        came_through = self.sent - self.refused
        self._refusals = max(0.0, self._refusals - BORNE * (came_through - self._scored)) + 1
        self._scored = came_through
        if self._refusals > (AGAIN if self._rest_s > REST_S else FIRST + EACH * len(self._scopes)):
            self._doubt(now)

    def _doubt(self, now: float) -> None:
        if now >= self._doubted_until:
            self._doubted_until = now + self._rest_s
            self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
        self._refusals = 0.0

    def hear(self, doubted_s: float, now: float) -> bool:
        """Another process does not believe the headers for so long. Whether this one does not, either."""
        if doubted_s > LONGEST_TRIAL_S and now >= self._doubted_until:
            self._doubt(now)
            self._doubted_until = now + doubted_s
        return self.is_doubted(now)

    # -- trials --------------------------------------------------------------------------------------------------

    def is_trying(self, now: float) -> bool:
        return now < self._trying_until

    @property
    def is_due(self) -> bool:
        """So many calls were sent since the last trial that it is time for the next one."""
        return self.sent - self._tried >= (TRIED_AGAIN if self._is_hasty else self._tried_after)

    @property
    def part(self) -> float:
        """Of a window, in the last part of it the next trial comes: each time another one."""
        return PARTS[self._number % len(PARTS)]

    def idle_in_s(self, now: float) -> float:
        """When it is time since no call is sent at all. To be asked while a call waits."""
        if self.sent != self._seen:
            self._seen, self._idle_since = self.sent, now
        return max(0.0, self._idle_since + (AGAIN_S if self._is_hasty else self._idle_s) - now)

    def hasten(self) -> None:
        """Something came through that hardly fitted."""
        self._is_hasty = True

    def begin_trial(self, now: float) -> None:
        self._trying_until = now + LONGEST_TRIAL_S

    def end_first(self) -> None:
        """A call came through that may just have fitted: whether the next one does tells."""
        self._trying_until = -INFINITE
        self.hasten()

    def end_trial(self, dimension: str, now: float, *, is_admitted: bool) -> None:
        """What became of a call that should not have fitted into that limit."""
        self._trying_until, self._tried = -INFINITE, self.sent
        if not is_admitted:
            self._number, self._is_hasty = self._number + 1, False
            for tried in self._admitted:
                self._admitted[tried] = max(0.0, self._admitted[tried] - REFUSED)
            self._tried_after = min(RARER * self._tried_after, LAST_TRIED)
            self._idle_s = min(RARER * self._idle_s, LAST_IDLE_S)
            return
        self.hasten()
        self._tried_after = max(self._tried_after // RARER, FIRST_TRIED)
        self._idle_s = max(self._idle_s / RARER, FIRST_IDLE_S)
        self._admitted[dimension] = self._admitted.get(dimension, 0) + 1
        if self._admitted[dimension] >= ENOUGH:
            self._admitted.clear()
            self.too_little |= {dimension}
            self._doubt(now)
