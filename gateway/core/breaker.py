"""The breaker: lets a provider rest that fails whoever asks, and finds out with one call at a time whether it is back.

Rules of this file: one burst is one rest (what was in flight when it began says nothing); each rest is twice as long
as the one before, until an attempt succeeds; nothing here knows of accounts' health.

    closed ──fails for all──▶ open ──until──▶ due ──one probe succeeds──▶ closed
                               ▲               │
                               └─ probe fails ─┘
"""

import msgspec

from gateway.core.cooldown import NEVER
from gateway.core.ids import AccountId, Instant
from gateway.core.outcome import FaultKind, Outcome, OutcomeKind

WINDOW_S = 10
"""How long an attempt is remembered, in buckets of a second: 9 to 10 s."""
MIN_ATTEMPTS = 10
MIN_SHARE = 0.8
IN_A_ROW = 5
"""Failures with no other answer between, where one account is all there is."""
REST_S = 1.0
LONGEST_REST_S = 30.0

FAULTS = frozenset({OutcomeKind.UPSTREAM_ERROR, OutcomeKind.UNREACHABLE, OutcomeKind.TIMED_OUT})
"""What the breaker counts (SPEC §4). Overloads are not among them: they name their own rest, or park by repeating."""
ORIGIN_FAULTS = frozenset({FaultKind.CONNECT, FaultKind.TLS})
"""No connection came about: true for every model of an origin."""


class Breaker(msgspec.Struct, frozen=True):
    """State of one breaker. The default value is closed, and nothing is known."""

    reason: OutcomeKind | None = None
    """What it opened for; None: closed."""
    strikes: int = 0
    """Rests in a row with no success between."""
    since: Instant = NEVER
    """When the last rest began."""
    until: Instant = NEVER
    """When a probe may go."""

    @property
    def is_open(self) -> bool:
        return self.reason is not None

    def may_probe(self, now: Instant) -> bool:
        """It is open, but its time has come: one call may try."""
        return self.reason is not None and now >= self.until

    @property
    def rest_s(self) -> float:
        """How long the rest that its strikes earn lasts."""
        rest: float = min(REST_S * 2.0 ** min(self.strikes - 1, 10), LONGEST_REST_S)
        return rest


CLOSED = Breaker()


class Tally:
    """What the attempts of the last 10 s came to. The one mutable thing here: it is written for every attempt."""

    __slots__ = ("_account", "_account_at", "_attempts", "_failures", "_other_at", "_second", "in_a_row")

    def __init__(self) -> None:
        self._attempts = [0] * WINDOW_S
        self._failures = [0] * WINDOW_S
        self._second = 0
        self._account: AccountId | None = None
        self._account_at = NEVER
        self._other_at = NEVER
        self.in_a_row = 0
        """Failures since the last attempt that was none."""

    def passed(self, now: Instant) -> None:
        """An attempt was answered, in whatever way speaks of an upstream that is there."""
        second = int(now)
        if second != self._second:
            self._roll(second)
        self._attempts[second % WINDOW_S] += 1
        self.in_a_row = 0

    def failed(self, account_id: AccountId, now: Instant) -> None:
        second = int(now)
        if second != self._second:
            self._roll(second)
        self._attempts[second % WINDOW_S] += 1
        self._failures[second % WINDOW_S] += 1
        self.in_a_row += 1
        if account_id != self._account:
            self._other_at = self._account_at
            self._account = account_id
        self._account_at = now

    def counts(self, now: Instant) -> tuple[int, int]:
        """(attempts, failures) that are remembered."""
        self._roll(int(now))
        return sum(self._attempts), sum(self._failures)

    def is_broken(self, now: Instant, *, is_only: bool) -> bool:
        """Whether the provider fails whoever asks. `is_only`: one account is all that may be asked."""
        if is_only:
            return self.in_a_row >= IN_A_ROW
        if now - self._other_at > WINDOW_S:
            return False  # one account alone may itself be at fault
        attempts, failures = self.counts(now)
        return attempts >= MIN_ATTEMPTS and failures >= MIN_SHARE * attempts

    def clear(self) -> None:
        self._attempts = [0] * WINDOW_S
        self._failures = [0] * WINDOW_S
        self._account, self._account_at, self._other_at = None, NEVER, NEVER
        self.in_a_row = 0

    def _roll(self, second: int) -> None:
        """Empties the buckets of the seconds that have gone since. Time that stands still or goes back empties none."""
        for passed in range(self._second + 1, min(second, self._second + WINDOW_S) + 1):
            self._attempts[passed % WINDOW_S] = self._failures[passed % WINDOW_S] = 0
        self._second = max(self._second, second)


def opened(breaker: Breaker, reason: OutcomeKind, now: Instant) -> Breaker:
    """A rest begins, twice as long as the one before."""
    resting = Breaker(reason, breaker.strikes + 1, now)
    return msgspec.structs.replace(resting, until=Instant(now + resting.rest_s))


def after_probe(breaker: Breaker, outcome: Outcome, *, started: Instant, now: Instant, is_failure: bool) -> Breaker:
    """An open breaker once an attempt that `started` then came to `outcome`.

    What was in flight when the rest began, and what its caller gave up, says nothing.
    """
    if started < breaker.since or outcome.kind is OutcomeKind.CANCELLED:
        return breaker
    if is_failure:
        return opened(breaker, outcome.kind, now)
    return Breaker(since=breaker.since)


def passed(breaker: Breaker) -> Breaker:
    """A probe was not refused within its time: calls go again, but until a success the strikes stay."""
    return msgspec.structs.replace(breaker, reason=None)
