"""Windows that begin by the upstream's clock, whoever calls and when: what refusals tell of them.

Rules of this file: of such a window a refusal tells when it ends, and that the last N calls before it came after it had
begun, the one before them no later. So its period lies between these two, and the time between two ends is a whole
number of periods:

    |····1·2·3 ✗·······|···1·2·3·✗·····|      N = 3: ends at E and E + P;  E − (1) <= P <= E − (the call before 1)

Sliding windows, and those that their first call opens, are told better by `core/evidence`: there the lower bound is the
period.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import ceil, floor

from gateway.core.evidence import (
    ENOUGH,
    FEW_WRONG,
    INFINITE,
    MOST_CALLS,
    NOTHING,
    OVERTAKES_S,
    SHORTEST_PERIOD_S,
    SLACK_S,
    Refused,
    Span,
    agreement,
    meet,
)

KNOWN_WELL = 0.25
"""A period whose bounds are further apart is not believed: what fits into it would be a guess."""
FEWEST = 2
"""Calls of a window: of a bucket one comes back again and again, too."""


def clock_told(own: Sequence[Refused], others: Sequence[Refused]) -> Span:
    """The window on which all own refusals agree, the fastest of them. `own`, `others`: as of `window_told`."""
    if len(own) < ENOUGH:
        return NOTHING
    found: list[Span] = []
    most = min([MOST_CALLS, *(len(one.sent) for one in own)])
    for limit in range(FEWEST, most + 1):
        low_s, high_s = _common(own, limit)
        if not (0 < low_s <= high_s < INFINITE and high_s >= SHORTEST_PERIOD_S):
            continue
        low_s, high_s, theirs = meet(low_s, high_s, _around(others, limit), 0.0)
        low_s, high_s = _between_ends(own, low_s, high_s)
        if 0 <= high_s - low_s <= KNOWN_WELL * low_s and _admits(own, limit, high_s):
            share = agreement(len(own), len(own), theirs, len(others))
            found.append(Span(low_s, high_s, share, limit, is_by_clock=True))
    return min(found, key=lambda span: (-span.share, -span.rate, span.limit), default=NOTHING)


def period_around(told: Refused, limit: int) -> tuple[float, float]:
    """What a refusal tells of windows of so many calls: at least as many must have come before it."""
    before_at = told.sent[limit] if len(told.sent) > limit else -INFINITE
    return told.earliest - told.sent[limit - 1] - SLACK_S, told.latest - before_at + SLACK_S


def fits_clock(own: Sequence[Refused], limit: int, low_s: float, high_s: float) -> bool:
    """Whether nothing that the scope met speaks against this window."""
    period_s = max(low_s, high_s)
    if not _admits(own, limit, period_s):
        return False
    return all(low <= period_s and high >= low_s for low, high in _around(own, limit))


def _around(refusals: Iterable[Refused], limit: int) -> list[tuple[float, float]]:
    return [period_around(one, limit) for one in refusals if len(one.sent) >= limit]


def _common(own: Iterable[Refused], limit: int) -> tuple[float, float]:
    """What all allow."""
    around = _around(own, limit)
    return max(low for low, _ in around), min(high for _, high in around)


def _between_ends(own: Sequence[Refused], low_s: float, high_s: float) -> tuple[float, float]:
    """The same where a whole number of periods lies between two ends. Nearer ends first: they leave least to choose."""
    apart = [
        (later.latest - one.earliest + SLACK_S, later.earliest - one.latest - SLACK_S)
        for one, later in combinations(own, 2)
    ]
    for most_s, least_s in sorted(apart):
        if INFINITE in (most_s, -least_s):
            continue
        fewest, most = ceil(least_s / high_s), floor(most_s / low_s)
        if fewest == most > 0:
            low_s, high_s = max(low_s, least_s / most), min(high_s, most_s / most)
        if fewest > most or low_s > high_s:
            return INFINITE, 0.0
    return low_s, high_s


def _admits(own: Sequence[Refused], limit: int, period_s: float) -> bool:
    """Whether all but few of the calls that came through fit into such windows."""
    sent, ends_at = own[-1].sent, min(own[-1].latest, max(own[-1].earliest, own[-1].at))
    counts = Counter(floor((at - ends_at + OVERTAKES_S) / period_s) for at in sent)
    return sum(max(0, count - limit) for count in counts.values()) <= FEW_WRONG * len(sent)
