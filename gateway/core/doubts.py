"""What a scope makes of headers that mislead: which of its limits are not believed, and which call tries that.

Mutable; one per scope. `core/trust` weighs what comes out.
"""

from collections.abc import Mapping

import msgspec

from gateway.core.freeing import BUCKET
from gateway.core.ids import FOREVER, Instant
from gateway.core.level import Level
from gateway.core.refilling import LONGEST_SPAN_S
from gateway.core.takings import SOONEST_S
from gateway.core.trust import AGAIN_S, NOTHING, Trust
from gateway.core.uses import CHARGED_TOKENS, OUTPUT, Sent, Use

HALF = 0.5
"""Of a call: so much should be missing, or it may just fit."""
LONG_S = 30.0
"""Who is to wait no longer sees soon enough what comes of it."""
LEAST_S = 0.1
"""Who waits no longer than this is let in a little late at worst."""
APART_S = 0.05
"""Until the first of them is refused calls go so far apart: what became of the one before is mostly known by then."""
ROOMY = 0.5
"""With more than half of it left a limit is not the one that refused."""


class Doubts:
    """Starts with none."""

    __slots__ = (
        "_fits_at",
        "_is_first",
        "_refused_at",
        "_trial",
        "_tried",
        "ignored",
        "is_taught",
        "learns_at",
        "tries",
        "trust",
    )

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.ignored = NOTHING
        """Dimensions of which headers are not believed."""
        self.is_taught = False
        """Refusals teach the limit, whatever headers tell."""
        self.learns_at = float("-inf")
        """Of calls that were sent before it was taught nothing is known. A refusal may be theirs until then."""
        self.tries = False
        """The next call is let in though it should not fit."""
        self._tried = ""
        """Into that dimension."""
        self._trial = 0
        """The place of a trial under way in the order of sending."""
        self._is_first = False
        """It may just have fitted: admitted it tells nothing."""
        self._fits_at = float("-inf")
        """When by the headers it fitted: who is admitted sooner still did not fit at all."""
        self._refused_at = float("-inf")
        """When the last refusal was known, or the limit itself: calls sent before are no evidence."""

    def forget(self) -> None:
        self.ignored, self.is_taught = NOTHING, False

    def begin(self, now: Instant) -> None:
        """Headers tell of a limit for the first time."""
        self._refused_at = max(self._refused_at, now)

    def last(self, now: Instant) -> bool:
        """Whether headers are not believed still; else they have another chance."""
        if self.trust.is_doubted(now):
            return True
        self.forget()
        return False

    @property
    def news(self) -> frozenset[str]:
        """Dimensions that are still believed, and should not."""
        return self.trust.too_little - self.ignored

    def tell(self, use: Use, now: Instant) -> Use:
        """That, and what the other processes should not believe."""
        doubted_s = round(self.trust.doubted_s(now), 1)
        return msgspec.structs.replace(use, doubted_s=doubted_s, ignored=tuple(sorted(self.ignored)))

    def disbelieve(self, dimensions: frozenset[str], levels: Mapping[str, Level], now: Instant) -> dict[str, Level]:
        """Headers are not believed from now on in what they tell of these. The levels that remain."""
        spans_s = [levels[name].span_s for name in dimensions if name in levels]
        self.learns_at = now + min(max(spans_s, default=0.0), LONGEST_SPAN_S)
        self.ignored, self.is_taught = self.ignored | dimensions, True
        return {name: level for name, level in levels.items() if name not in dimensions}

    def wait_s(
        self, levels: Mapping[str, Level], wait_s: float, *, tokens: int, last_at: Instant, now: Instant
    ) -> float:
        """`wait_s`, or less, where the headers that ask for it are to be tried.

        `last_at`: when the last call was sent. It may still be on its way, and a trial overtake it.
        """
        self.tries, trust = False, self.trust
        in_s, is_due = trust.idle_in_s(now) if wait_s > LONG_S else wait_s, trust.is_due
        if in_s >= wait_s and not is_due:
            return wait_s  # the usual case
        name, _ = _used_up(levels, tokens, now)
        if not name:
            return min(wait_s, AGAIN_S) if is_due and _is_guess(levels) else wait_s  # more will be known soon
        level = levels[name]
        if is_due and name not in CHARGED_TOKENS:  # calls of all sizes make use of what is left, and a trial takes it
            least_s = max(trust.part * level.window_s, level.unsure_s + SOONEST_S)
            in_s = min(in_s, max(0.0, wait_s - least_s) if level.window_s else 0.0)
        in_s = max(in_s, last_at + APART_S - now, AGAIN_S if trust.is_trying(now) else 0.0)
        self.tries = in_s <= SOONEST_S
        return 0.0 if self.tries else min(wait_s, in_s)

    def take(self, levels: Mapping[str, Level], tokens: int, order: int, now: Instant) -> None:
        """A call is sent that may be a trial. Of a bucket two make one: what is said to be left is whole, so that the
        first may just have fitted.
        """
        self.tries = False
        self._tried, wait_s = _used_up(levels, tokens, now)
        if not self._tried:
            return
        self._trial, self._is_first = order, levels[self._tried].kind is BUCKET and now >= self._fits_at
        self._fits_at = now + wait_s
        self.trust.begin_trial(now)

    def is_trial(self, sent: Sent) -> bool:
        """A refusal of that call tells nothing new."""
        return sent.requests == self._trial

    def admit(self, order: int, now: Instant) -> None:
        """The call with that place came through."""
        if order != self._trial:
            return
        self._trial = 0
        if self._is_first:
            self.trust.end_first()
        else:
            self.trust.end_trial(self._tried, now, is_admitted=True)

    def first_wait_s(self, last_at: Instant, now: Instant) -> float:
        """Seconds until the next call may go of a limit of which nothing is known any more: all that wait would go at
        once. `last_at`: when the last one went.
        """
        return max(0.0, last_at + APART_S - now)

    def refuse(self, scope: str, levels: Mapping[str, Level], sent: Sent, now: Instant) -> bool:
        """That call of the scope was refused. Whether headers should not be believed from now on.

        Where they tell of tokens alone they always are: what refusals teach counts calls.
        """
        self.trust.refused += 1
        if self._trial and sent.requests == self._trial:
            self._trial = 0
            self.trust.end_trial(self._tried, now, is_admitted=False)
            for name, level in levels.items():
                level.retract(0 if name == OUTPUT else sent.charged if name in CHARGED_TOKENS else 1, sent.at)
        elif sent.at > self._refused_at and not self.is_taught and not CHARGED_TOKENS.issuperset(levels):
            self._refused_at = now
            self.trust.refuse(scope, now)
            return self.trust.is_doubted(now)
        return False


def _used_up(levels: Mapping[str, Level], tokens: int, now: Instant) -> tuple[str, float]:
    """Into which of them the call does not fit for a while, whoever takes of it, and for how long.

    "": it fits into all, or does not only for a moment, or by a guess.
    """
    longest_s, slowest = 0.0, ""
    for name, level in levels.items():
        needed = min(tokens if name in CHARGED_TOKENS else 1, level.limit)
        if level.level(now) < needed - HALF and (wait_s := level.wait_s(needed, now)) > max(longest_s, level.unsure_s):
            longest_s, slowest = wait_s, name
    return slowest, longest_s


def _is_guess(levels: Mapping[str, Level]) -> bool:
    return any(level.unsure_s == FOREVER for name, level in levels.items() if name not in CHARGED_TOKENS)


def tight(levels: Mapping[str, Level]) -> frozenset[str]:
    """Those that may be the ones that refused."""
    return frozenset([name for name, level in levels.items() if level.left <= ROOMY * level.limit])
