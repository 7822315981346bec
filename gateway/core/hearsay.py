"""What scopes of one provider and model tell each other of limits that no header names: most likely they are the same.

Rules of this file: many scopes learn as fast as few. Each alone has few calls, so of many some go ahead as scouts.

a scope's refusals ──▶ Hearsay ──▶ the others weigh them with their own (`core/windows`)
a bucket's step, refused or kept up ──▶ Hearsay ──▶ the others narrow theirs at their next call
a window found ──▶ one `Window` for all who believe in it ──▶ what one tries, all know
"""

from collections import deque
from weakref import WeakSet

from gateway.core.alike import Alike
from gateway.core.charge import Factor
from gateway.core.evidence import SLACK, SLACK_S, Refused, Span, meet, rate_between
from gateway.core.ids import Instant
from gateway.core.trust import Trust
from gateway.core.uses import Belief

HEARD = 16
"""Refusals of others that have a say."""
MAX_WINDOWS = 4
VAGUE, VAGUE_S = 0.005, 0.006
"""Bounds of a period that are further apart are worth a trial…"""
TRIAL_PERIODS = 10
"""…by one scope at a time, or as many as there are scouts, which ends by itself after so many."""
WIDE, MOST_TRIALS = 0.02, 3
"""One scope more for each time that they are so far apart, up to so many and half of all: a trial that is refused costs
one call, a period that is a tenth too long a call of ten."""
NEARER = 2
"""What several try lies nearer to the lower bound, by this power: on that many refusals agree, the upper is chance."""
UNITS_S = (60, 10, 1)
"""Periods of limits are round, most likely."""
FIRST_ASK, LAST_ASK, LAST_WINDOWS = 50, 800, 40
"""After so many calls that had to wait for room one more than fits is tried, since limits rise and beliefs err; after
four times as many each time that it is refused, and soon twice as much when it is not. At most after so many windows:
of large ones a refusal costs more."""
LARGE, MOST_ASKED = 20, 6
"""Of a window of so many calls and more, a twentieth is asked for first; at most `MOST_ASKED`: all may be refused. Half
as many each time that they are."""
FEW_SCOPES, MOST_HASTE = 12, 8
"""One scope in so many is a scout, where there are more; it goes ahead so many times faster at the most."""
FIRST_ANSWER_S = 0.05
"""Who waits for his first answer looks again so often."""
SELDOM, MOST_SLIPS = 50, 2.5
"""One call in so many may be refused though it should have fitted: it was faster on its way than an earlier one."""
GROWN, MOST_GROWN = 0.005, 0.02
"""A period that is too short grows by twice so much of it, and twice as much each time; by the second at the most."""


class Window:
    """A window that scopes believe in, with what they learned of it together."""

    __slots__ = (
        "_asks_after", "_calls", "_full", "_grown", "_slips", "_trials", "_tried_round", "asks", "high_s",
        "is_by_clock", "limit", "low_s",
    )  # fmt: skip

    def __init__(self, span: Span) -> None:
        self.limit = span.limit
        self.low_s, self.high_s = span.low_s, span.high_s
        """Bounds of its period."""
        self.is_by_clock = span.is_by_clock
        """It begins whoever calls."""
        self._full = 0
        """Calls that had to wait for room since one more was tried."""
        self._asks_after = FIRST_ASK
        self.asks = min(max(1, span.limit // LARGE), MOST_ASKED)
        """So many more than fit are tried first."""
        self._calls, self._slips = 0, 0.0
        """Calls since one was refused that should have fitted, and how many of these there were lately."""
        self._grown = GROWN
        """So much of its period it grew last."""
        self._trials: dict[int, float] = {}
        """By their number, from 1: when they end."""
        self._tried_round = False

    @property
    def period_s(self) -> float:
        """What surely is admitted."""
        return max(self.low_s, self.high_s)

    @property
    def rate(self) -> float:
        """Calls a second that it may well allow."""
        return rate_between(self.limit, self.low_s, self.high_s)

    def count(self, *, is_tight: bool) -> None:
        """A call is sent. `is_tight`: as soon as there was room."""
        self._calls += 1
        self._full += is_tight

    def may_ask(self) -> bool:
        """More than the limit may be tried."""
        if self._full < self._asks_after:
            return False
        self._full = 0
        return True

    def asked_too_much(self) -> None:
        self._asks_after, self._full = min(4 * self._asks_after, max(LAST_ASK, LAST_WINDOWS * self.limit)), 0
        self.asks = max(1, self.asks // 2)

    def slip(self, low_s: float, calls: int = 1, *, is_vague: bool = False) -> bool:
        """Calls were refused that should have fitted. False: that happens too often to be chance, or cannot be.

        `low_s`: so long the period is at least. `is_vague`: nobody said when one fits.
        """
        self._slips = max(0.0, self._slips - self._calls / SELDOM) + calls
        self._calls = 0
        if is_vague and low_s > self.high_s:
            return self._grow(low_s)
        self.low_s = max(self.low_s, min(low_s, self.period_s + (low_s - self.period_s) / 4))
        is_possible = self.low_s <= self.high_s * (1 + SLACK) + SLACK_S
        return self._slips <= MOST_SLIPS and is_possible

    def _grow(self, low_s: float) -> bool:
        """A window that begins by the upstream's clock looks shorter by what passes before its first call; by how much
        nobody says.
        """
        self._grown = min(2 * self._grown, MOST_GROWN)
        self.low_s, self.high_s = low_s, low_s * (1 + self._grown)
        return self._slips <= MOST_SLIPS

    @property
    def vagueness(self) -> float:
        """How far its bounds are apart, to the lower one."""
        return (self.high_s - self.low_s) / self.low_s if self.low_s > 0 else 0.0

    def start_trial(self, now: Instant, most: int = 1) -> tuple[int, float] | None:
        """The number of a trial, and the period that is worth it. So many at once divide what is not known.

        None: the period is known well enough, or enough others try one.
        """
        if self.high_s - self.low_s <= VAGUE_S + VAGUE * self.low_s:
            return None
        for number in range(1, most + 1):
            if now >= self._trials.get(number, now):
                self._trials[number] = now + TRIAL_PERIODS * self.period_s
                return number, self._worth_trying((number / (most + 1)) ** (NEARER if most > 1 else 1))
        return None

    def _worth_trying(self, part: float) -> float:
        """A period between the bounds; the first time a round one."""
        round_s = 0.0 if self._tried_round else roundest(self.low_s, self.high_s)
        self._tried_round = True
        return round_s or self.low_s + (self.high_s - self.low_s) * part

    def end_trial(self, number: int) -> None:
        self._trials.pop(number, None)


def roundest(low_s: float, high_s: float) -> float:
    """The roundest number of seconds between these, the lowest of several; 0.0: there is none."""
    for unit_s in UNITS_S:
        first_s = (low_s // unit_s + 1) * unit_s
        if first_s < high_s:
            return float(first_s)
    return 0.0


class Hearsay:
    """Of one provider and model. Scopes are told apart by any object of theirs."""

    __slots__ = (
        "__weakref__", "_alike", "_refusals", "_scopes", "_scouts", "_steps", "expected", "factor", "most", "told",
        "trust", "version", "windows",
    )  # fmt: skip

    def __init__(self) -> None:
        self.factor = Factor()
        """Of the tokens that headers tell to those that we estimate."""
        self._alike: dict[str, Alike] = {}
        self._refusals: deque[tuple[object, Refused]] = deque(maxlen=HEARD)
        self._steps: deque[tuple[object, tuple[float, float]]] = deque(maxlen=HEARD)
        self.told = 0
        """How many steps of buckets were told so far."""
        self._scopes: WeakSet[object] = WeakSet()
        """Those that were refused."""
        self._scouts: deque[tuple[object, float]] = deque()
        """Those that go ahead of the others, and until when."""
        self.windows: deque[Window] = deque(maxlen=MAX_WINDOWS)
        self.trust = Trust()
        """In headers, where they come."""
        self.version = 0
        """Moves when a window was found that nobody had believed in."""
        self.expected: Belief | None = None
        """What was believed in last: whoever comes anew begins with it."""
        self.most = 0
        """So many calls he sends before his first answer, which may speak of another limit; 0: any number."""

    def alike(self, dimension: str) -> Alike:
        """What is known of how its limits free, where headers tell of them."""
        return self._alike.setdefault(dimension, Alike())

    def tell(self, scope: object, told: Refused) -> None:
        self._refusals.append((scope, told))
        self._scopes.add(scope)

    def tell_step(self, scope: object, step: tuple[float, float]) -> None:
        self._steps.append((scope, step))
        self.told += 1

    def forget(self) -> None:
        """Who told of something is another now."""
        for told in (self._refusals, self._steps, self.windows, self._scouts):
            told.clear()
        self._scopes.clear()
        self.trust.restore()
        self.expected, self.most = None, 0
        self.version += 1

    def expect(self, belief: Belief, sharers: int) -> None:
        """A scope believes in that. `sharers`: processes that use it."""
        self.expected = belief
        if belief.limit:
            self.expect_most(belief.limit, sharers)

    def expect_most(self, limit: int, sharers: int) -> None:
        """So many calls fit into a scope that nobody has used lately, if it is as this one."""
        self.most = max(1, limit // sharers)

    def first_wait_s(self, sent: int) -> float:
        """Seconds until who has had no answer may send one more call than so many; then he looks again."""
        return FIRST_ANSWER_S if 0 < self.most <= sent else 0.0

    def take_back(self, scope: object) -> None:
        """What that scope told is not so."""
        self._refusals = deque([one for one in self._refusals if one[0] is not scope], maxlen=HEARD)
        self._steps = deque([one for one in self._steps if one[0] is not scope], maxlen=HEARD)

    def refusals(self, scope: object) -> list[Refused]:
        """Of others than that scope."""
        return [told for by, told in self._refusals if by is not scope]

    def steps(self, scope: object) -> list[tuple[float, float]]:
        """A bucket's, of others than that scope."""
        return [step for by, step in self._steps if by is not scope]

    def steps_after(self, told: int, scope: object) -> list[tuple[float, float]]:
        """Those that others told of since so many were told."""
        news = min(self.told - told, len(self._steps))
        return [step for by, step in list(self._steps)[len(self._steps) - news :] if by is not scope]

    @property
    def haste(self) -> int:
        """So many times faster scouts go ahead: many scopes learn as much together as few do, each for itself."""
        return min(max(1, len(self._scopes) // FEW_SCOPES), MOST_HASTE)

    def triers_of(self, window: Window) -> int:
        """How many scopes may try periods of it at once."""
        return max(self.haste, min(int(window.vagueness / WIDE), MOST_TRIALS, len(self._scopes) // 2))

    def scout(self, scope: object, now: Instant, lasts_s: float) -> bool:
        """The scope goes ahead of the others from now on, unless enough of them do."""
        while self._scouts and self._scouts[0][1] <= now:
            self._scouts.popleft()
        scopes = len(self._scopes) // FEW_SCOPES
        if scopes <= 1 or len(self._scouts) >= scopes:
            return False
        self._scouts.append((scope, now + lasts_s))
        return True

    def return_scout(self, scope: object) -> None:
        self._scouts = deque([pair for pair in self._scouts if pair[0] is not scope])

    def window_of(self, span: Span) -> Window:
        """The one that is known by that, with its bounds as they are now."""
        for window in self.windows:
            low_s, high_s, met = meet(span.low_s, span.high_s, [(window.low_s, window.high_s)])
            if window.limit == span.limit and met:
                if max(low_s, high_s) != window.period_s:
                    self.version += 1  # it may fit now what others know
                window.low_s, window.high_s = low_s, high_s
                window.is_by_clock |= span.is_by_clock
                return window
        window = Window(span)
        self.windows.append(window)
        self.version += 1
        return window
