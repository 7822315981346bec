"""Headroom as people see it: what is left of a scope's limits, as this worker believes."""

import msgspec

from gateway.core.headroom import Headroom
from gateway.core.hints import DIMENSIONS
from gateway.core.ids import Instant
from gateway.core.outcome import Scope


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """One limit."""

    dimension: str
    """`requests`, `tokens` (where `output_tokens` have a limit of their own, those of the input), `project_…`."""
    limit: int
    left: int
    """Below 0: more was sent than fits, and must refill first."""
    refill_per_s: float | None
    """Null: not learned yet."""


class ScopeHeadroom(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one model, or of the family that shares them."""

    what: str
    limits: list[Left]


def headroom_view(scope: Scope, headroom: Headroom, now: Instant) -> ScopeHeadroom:
    """Only what the upstream told of; `limits` is empty where it told of none."""
    limits = []
    for dimension in DIMENSIONS:
        level = headroom.level_of(dimension)
        if level is not None:
            left, rate = round(level.level(now)), round(level.rate, 3) or None
            limits.append(Left(dimension=dimension, limit=round(level.limit), left=left, refill_per_s=rate))
    return ScopeHeadroom(what=scope.what, limits=limits)
