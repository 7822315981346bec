"""What is left of a scope's requests and tokens, learned from the headers of its answers.

Rules of this file:
- headers describe the moment of admission, not of arrival: answers are ordered by when their calls were *sent*, an
  older one never overwrites a newer one, and what was sent since is counted off;
- OpenAI's limits are buckets that refill all the time, and `reset` is the time until *full*: a call fits long before.
  Some vendors have fixed windows that free nothing before their end. Unknown is taken for a bucket;
- tokens are counted as estimated at admission (SPEC §4) and corrected by headers alone, never by usage.

        used / reset constant ─▶ bucket          now + reset constant ─▶ fixed window

The caller keeps one `Headroom` per scope: `taken` when a call is sent, `learned` when its answer's head came; for
vendors without headers `admitted` on a 2xx and `refused` on a rate limit.
"""

import msgspec

from gateway.core.hints import Quota, RateLimits
from gateway.core.ids import Instant

MOST_VOTES = 3
WINDOW_VOTES = -2
"""So many more observations must speak for a fixed window than for a bucket."""
RATE_TOLERANCE = 0.1
"""Rates within a tenth are the same: headers are rounded."""
END_TOLERANCE_S = 0.2
END_TOLERANCE = 0.05
"""Ends within 0.2 s and a twentieth of the reset are the same: we know the sending, the upstream the admission."""
SHORTEST_STRETCH_S = 1.0
"""Refusals closer together than this are one burst: no rate is learned between them."""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A call's place in the order of sending: the scope's totals, the call itself included."""

    at: Instant
    requests: int
    tokens: int


class Observation(msgspec.Struct, frozen=True, gc=False):
    """What one answer said of the pace of its limit."""

    at: Instant
    rate: float
    """Units a second, if the limit is a bucket: used / reset."""
    end: float
    """The instant when it is full again, or when its window ends."""


class Level(msgspec.Struct, frozen=True, gc=False):
    """One dimension of a scope's limit."""

    limit: float
    left: float
    """At `at`; below zero when more was sent than the upstream will admit."""
    at: Instant
    order: int = 0
    """`Sent.requests` of the call whose answer was believed last."""
    began: Instant = Instant(float("-inf"))
    """When the window at hand began, where one was seen to end: answers to calls from before it are of no use."""
    rate: float | None = None
    """Refill of a bucket, units a second; None = unknown."""
    end: float | None = None
    """When it is full, or its window ends; None = unknown."""
    longest_reset_s: float = 0.0
    votes: int = 0
    """Above zero: observations that spoke for a bucket; below: for a fixed window."""
    anchor: Observation | None = None
    """The observation that later ones are compared with."""

    @property
    def is_window(self) -> bool:
        return self.votes <= WINDOW_VOTES and self.end is not None


class Headroom(msgspec.Struct, frozen=True):
    """All that is known of a scope's limits, and what this process has sent on it. Levels: None = unknown."""

    requests: Level | None = None
    tokens: Level | None = None
    project_requests: Level | None = None
    project_tokens: Level | None = None
    sent_requests: int = 0
    sent_tokens: int = 0
    admitted: int = 0
    """Calls that came through since `refused_at`; counted where no headers come."""
    refused_at: Instant | None = None


def taken(headroom: Headroom, *, tokens: int, now: Instant) -> tuple[Headroom, Sent]:
    """A call that will be charged `tokens` is sent now."""
    headroom = msgspec.structs.replace(
        headroom,
        requests=_taken(headroom.requests, 1, now),
        tokens=_taken(headroom.tokens, tokens, now),
        project_requests=_taken(headroom.project_requests, 1, now),
        project_tokens=_taken(headroom.project_tokens, tokens, now),
        sent_requests=headroom.sent_requests + 1,
        sent_tokens=headroom.sent_tokens + tokens,
    )
    return headroom, Sent(now, headroom.sent_requests, headroom.sent_tokens)


def learned(headroom: Headroom, limits: RateLimits, sent: Sent) -> Headroom:
    """What the answer to the call that was `sent` tells. An answer that is older than what is known changes nothing."""
    calls, tokens = headroom.sent_requests - sent.requests, headroom.sent_tokens - sent.tokens
    return msgspec.structs.replace(
        headroom,
        requests=_learned(headroom.requests, limits.requests, sent, calls),
        tokens=_learned(headroom.tokens, limits.tokens, sent, tokens),
        project_requests=_learned(headroom.project_requests, limits.project_requests, sent, calls),
        project_tokens=_learned(headroom.project_tokens, limits.project_tokens, sent, tokens),
    )


def wait_s(headroom: Headroom, *, tokens: int, now: Instant, requests: int = 1) -> float:
    """Seconds until a call that needs so much fits; the slower dimension counts. 0.0 where nothing is known."""
    return max(
        _wait_s(headroom.requests, requests, now),
        _wait_s(headroom.tokens, tokens, now),
        _wait_s(headroom.project_requests, requests, now),
        _wait_s(headroom.project_tokens, tokens, now),
    )


def level_at(level: Level, now: Instant) -> float:
    """What is left of one dimension now; below zero when more was sent than the upstream will admit."""
    if level.is_window:
        return level.limit if _has_ended(level, now) else level.left
    return min(level.limit, level.left + (level.rate or 0.0) * max(0.0, now - level.at))


def admitted(headroom: Headroom) -> Headroom:
    """A call came through at an upstream that sends no headers of limits."""
    return msgspec.structs.replace(headroom, admitted=headroom.admitted + 1)


def refused(headroom: Headroom, *, now: Instant) -> Headroom:
    """A call met the rate limit of an upstream without headers: the rate is what came through since the last time.

    The first refusal only starts the count. Learned rates are averaged, so that one odd stretch does not rule.
    """
    if headroom.refused_at is not None and now - headroom.refused_at < SHORTEST_STRETCH_S:
        return headroom
    level = headroom.requests
    if headroom.refused_at is not None and headroom.admitted:
        rate = headroom.admitted / (now - headroom.refused_at)
        rate = (rate + level.rate) / 2 if level is not None and level.rate is not None else rate
        level = Level(limit=headroom.admitted, left=0.0, at=now, order=headroom.sent_requests, rate=rate)
    return msgspec.structs.replace(headroom, requests=level, admitted=0, refused_at=now)


def _wait_s(level: Level | None, needed: float, now: Instant) -> float:
    if level is None:
        return 0.0
    missing = min(needed, level.limit) - level_at(level, now)  # more than the limit fits when it is full
    if missing <= 0:
        return 0.0
    if level.is_window:
        return max(0.0, (level.end or 0.0) - now)
    return missing / level.rate if level.rate else 0.0


def _has_ended(level: Level, now: Instant) -> bool:
    return level.is_window and level.end is not None and now >= level.end


def _taken(level: Level | None, amount: float, now: Instant) -> Level | None:
    """Less by `amount`. A window that has ended begins anew, full, with the first call after its end."""
    if level is None:
        return None
    # Never more than once the limit below zero: calls that ended without an answer must not hold a scope for ever.
    left = max(level_at(level, now) - amount, -level.limit)
    at = Instant(max(level.at, now))
    if not _has_ended(level, now):
        return msgspec.structs.replace(level, left=left, at=at)
    return msgspec.structs.replace(level, left=left, at=at, began=now, end=now + level.longest_reset_s, anchor=None)


def _learned(level: Level | None, quota: Quota, sent: Sent, since: float) -> Level | None:
    """`since`: how much of the dimension was sent after the call that this answers."""
    limit = quota.limit if quota.limit is not None or level is None else level.limit
    if quota.remaining is None or limit is None:
        return level
    if level is None:
        level = Level(limit=limit, left=0.0, at=sent.at)
    if sent.requests <= level.order or sent.at < level.began:
        return level
    seen = _observation(limit - quota.remaining, quota.reset_s, sent.at)
    votes, anchor = _judged(level, seen)
    return Level(
        limit=limit,
        left=max(quota.remaining - since, -limit),
        at=sent.at,
        order=sent.requests,
        began=level.began,
        rate=seen.rate if seen is not None else level.rate,
        end=sent.at + quota.reset_s if quota.reset_s is not None else None,
        longest_reset_s=max(level.longest_reset_s, quota.reset_s or 0.0),
        votes=votes,
        anchor=anchor,
    )


def _observation(used: float, reset_s: float | None, at: Instant) -> Observation | None:
    """None where the numbers tell no pace: nothing used, or no time named."""
    return Observation(at, used / reset_s, at + reset_s) if used > 0 and reset_s else None


def _judged(level: Level, seen: Observation | None) -> tuple[int, Observation | None]:
    """Votes and anchor after one more observation. The anchor stays until something differs from it."""
    anchor = level.anchor
    if seen is None or anchor is None:
        return level.votes, seen or anchor
    is_same_rate = abs(seen.rate - anchor.rate) <= RATE_TOLERANCE * max(seen.rate, anchor.rate)
    tolerance_s = END_TOLERANCE_S + END_TOLERANCE * (anchor.end - anchor.at)
    is_same_end = abs(seen.end - anchor.end) <= tolerance_s
    if is_same_rate and is_same_end:
        return level.votes, anchor
    vote = is_same_rate - is_same_end  # both differ: a new window, or a changed limit; it tells nothing
    return max(-MOST_VOTES, min(MOST_VOTES, level.votes + vote)), seen
