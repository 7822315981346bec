"""The breaker: lets a provider rest that fails whoever asks, and finds out with one call at a time whether it is back.

Rules of this file: one burst is one rest (what was in flight when it began says nothing); each rest is twice as long
as the one before, until an attempt succeeds; nothing here knows of accounts' health.

    closed ──fails for all──▶ open ──until──▶ due ──an attempt succeeds──▶ closed
                               ▲               │
                               └─ one fails ───┘      one probe at a time: `patience_s` says when the next may go
"""

from collections import deque
from enum import StrEnum

import msgspec

from gateway.core.ids import NEVER, AccountId, Instant, ProviderId
from gateway.core.outcome import FaultKind, Outcome, OutcomeKind

WINDOW_S = 10
"""How long an attempt is remembered, in buckets of a second: 9 to 10 s."""
MIN_ATTEMPTS = 10
MIN_SHARE = 0.8
IN_A_ROW = 5
"""Failures with no other answer between, where one account is all there is."""
DOWN = 3
"""Failures with no other answer between, of as many accounts: nobody seems to be served."""
REST_S = 1.0
LONGEST_REST_S = 30.0

FAULTS = frozenset({OutcomeKind.UPSTREAM_ERROR, OutcomeKind.UNREACHABLE, OutcomeKind.TIMED_OUT})
"""What the breaker counts (SPEC §4). Overloads are not among them: they name their own rest, or park by repeating."""
ORIGIN_FAULTS = frozenset({FaultKind.CONNECT, FaultKind.TLS})
"""No connection came about: true for every model of an origin."""
PROBE_PASSES_S = 1.0
"""A probe that did not fail within this time lets the others go as well, as after any rest."""


class Span(StrEnum):
    """What a breaker covers."""

    MODEL = "model"
    """One model of one provider."""
    PROVIDER = "provider"
    """All of a provider: opened by the blast radius alone."""
    ORIGIN = "origin"
    """All connections to one scheme, host and port."""


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
    def patience_s(self) -> float:
        """How long a probe keeps the others back. After silence the next one follows it, else all of them."""
        return self.rest_s if self.reason is OutcomeKind.TIMED_OUT else PROBE_PASSES_S

    @property
    def rest_s(self) -> float:
        """How long the rest that its strikes earn lasts."""
        rest: float = min(REST_S * 2.0 ** min(self.strikes - 1, 10), LONGEST_REST_S)
        return rest


CLOSED = Breaker()


class BreakerNews(msgspec.Struct, frozen=True):
    """A breaker opened (or rests again after a failed probe), or closed."""

    provider_id: ProviderId
    span: Span
    what: str
    """The model or the origin; "" for all of a provider."""
    breaker: Breaker
    is_any_open: bool
    """This or another breaker of the provider rests it now."""
    attempts: int
    """Of the last 10 s, when it opened; 0 after a probe."""
    failures: int


class Tally:
    """What the attempts of the last 10 s came to. The one mutable thing here: it is written for every attempt."""

    __slots__ = ("_account", "_account_at", "_attempts", "_failures", "_other_at", "_row", "_second", "in_a_row")

    def __init__(self) -> None:
        self._attempts = [0] * WINDOW_S
        self._failures = [0] * WINDOW_S
        self._second = 0
        self._account: AccountId | None = None
        self._account_at = NEVER
        self._other_at = NEVER
        self.in_a_row = 0
        """Failures since the last attempt that was none."""
        self._row: deque[tuple[AccountId, Instant]] = deque(maxlen=MIN_ATTEMPTS)
        """The last of these."""

    def passed(self, now: Instant) -> None:
        """An attempt was answered, in whatever way speaks of an upstream that is there."""
        second = int(now)
        if second != self._second:
            self._roll(second)
        self._attempts[second % WINDOW_S] += 1
        if self.in_a_row:
            self.in_a_row = 0
            self._row.clear()

    def failed(self, account_id: AccountId, now: Instant) -> None:
        second = int(now)
        if second != self._second:
            self._roll(second)
        self._attempts[second % WINDOW_S] += 1
        self._failures[second % WINDOW_S] += 1
        self.in_a_row += 1
        self._row.append((account_id, now))
        if account_id != self._account:
            self._other_at = self._account_at
            self._account = account_id
        self._account_at = now

    def counts(self, now: Instant) -> tuple[int, int]:
        """(attempts, failures) that are remembered."""
        self._roll(int(now))
        return sum(self._attempts), sum(self._failures)

    def is_broken(self, now: Instant, *, is_only: bool, spread: int = 2) -> bool:
        """Whether the provider fails whoever asks, whatever it answered before (decision 0035).

        `is_only`: one account is all that may be asked; `spread`: of how many accounts a row of failures must be.
        """
        if is_only:
            return self.in_a_row >= IN_A_ROW
        if self._is_row(now, MIN_ATTEMPTS, spread):
            return True
        if now - self._other_at > WINDOW_S:
            return False  # one account alone may itself be at fault
        attempts, failures = self.counts(now)
        return attempts >= MIN_ATTEMPTS and failures >= MIN_SHARE * attempts

    def is_down(self, now: Instant, *, spread: int) -> bool:
        """Whether nobody seems to be served at present: fewer failures in a row than prove it."""
        return self._is_row(now, DOWN, spread)

    def _is_row(self, now: Instant, length: int, spread: int) -> bool:
        """So many failures, and of so many accounts, came one after the other in the last 10 s."""
        row = self._row
        if len(row) < length or now - row[-length][1] > WINDOW_S:
            return False
        return len({account_id for account_id, _ in row}) >= spread

    def clear(self) -> None:
        self._attempts = [0] * WINDOW_S
        self._failures = [0] * WINDOW_S
        self._account, self._account_at, self._other_at = None, NEVER, NEVER
        self.in_a_row = 0
        self._row.clear()

    def _roll(self, second: int) -> None:
        """Empties the buckets of the seconds that have gone since. Time that stands still or goes back empties none."""
        for passed in range(self._second + 1, min(second, self._second + WINDOW_S) + 1):
            self._attempts[passed % WINDOW_S] = self._failures[passed % WINDOW_S] = 0
        self._second = max(self._second, second)


def is_failure(span: Span, outcome: Outcome, reason: OutcomeKind | None) -> bool:
    """Whether a breaker of that span counts `outcome` against what it covers. `reason`: what it is open for."""
    match span:
        case Span.ORIGIN:
            return outcome.fault in ORIGIN_FAULTS
        case Span.MODEL:
            return outcome.kind in FAULTS
        case Span.PROVIDER:  # pragma: no branch  # there is no other
            return outcome.kind is reason or outcome.kind in FAULTS


def opened(breaker: Breaker, reason: OutcomeKind, now: Instant) -> Breaker:
    """A rest begins, twice as long as the one before."""
    resting = Breaker(reason, breaker.strikes + 1, now)
    return msgspec.structs.replace(resting, until=Instant(now + resting.rest_s))


def after_probe(breaker: Breaker, outcome: Outcome, *, started: Instant, now: Instant, is_failure: bool) -> Breaker:
    """An open breaker once an attempt that `started` then came to `outcome`.

    What was in flight when the rest began, and what its caller gave up, says nothing.
    """
    if started <= breaker.since or outcome.kind is OutcomeKind.CANCELLED:
        return breaker
    if is_failure:
        return opened(breaker, outcome.kind, now)
    return Breaker(since=breaker.since)
