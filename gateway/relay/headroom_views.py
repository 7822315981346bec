"""Headroom as people see it: what is left of a scope's limits, as the worker believes that heard of it last."""

from collections.abc import Iterable

import msgspec

from gateway.core.headroom import Headroom
from gateway.core.hints import DIMENSIONS
from gateway.core.ids import Instant
from gateway.core.outcome import Scope
from gateway.telemetry.headroom_book import SeenLimit, SeenScope


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


def seen_scope(scope: Scope, headroom: Headroom, now: Instant) -> SeenScope:
    """Only what the upstream told of; `limits` is empty where it told of none."""
    limits = []
    for dimension in DIMENSIONS:
        level = headroom.level_of(dimension)
        if level is not None:
            seen = SeenLimit(
                dimension=dimension,
                limit=level.told_limit,
                left=level.level(now) * level.factor,
                refill_per_s=level.rate * level.factor,
                told_at=level.told_at,
                seen_at=now,
            )
            limits.append(seen)
    return SeenScope(holder=scope.holder, what=scope.what, limits=tuple(limits))


def headroom_views(seen: Iterable[SeenScope], now: Instant) -> list[ScopeHeadroom]:
    """One view a model, whoever saw it: of two the one that was told of last."""
    newest: dict[str, SeenScope] = {}
    for scope in seen:
        if scope.limits:
            newest[scope.what] = max(newest.get(scope.what, scope), scope, key=lambda one: one.told_at)
    return [_view_of(newest[what], now) for what in sorted(newest)]


def _view_of(scope: SeenScope, now: Instant) -> ScopeHeadroom:
    limits = [
        Left(
            dimension=limit.dimension,
            limit=round(limit.limit),
            left=round(limit.left_at(now)),
            refill_per_s=round(limit.refill_per_s, 3) or None,
        )
        for limit in scope.limits
    ]
    return ScopeHeadroom(what=scope.what, limits=limits)
