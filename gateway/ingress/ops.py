"""/health, /health/live, /health/ready and /metrics.

Rules of this file: live and ready are open to everybody and say nothing about the inside; the other two are for whoever
`guard` lets in. None of them waits for Postgres or an upstream: they show what this process knows.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import Guard

from gateway.relay.ports import Clock
from gateway.telemetry.breaker_book import OpenBreaker
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.stats import LatencyStats, ProviderCheck, RequestStats, ServiceStats, StreamStats

_NO_STORE = {"cache-control": "no-store"}
_MOST_NAMED = 5
"""Of the breakers among the problems; `breakers` has all."""


class DatabaseHealth(msgspec.Struct, frozen=True):
    """Whether what we know of the registry is fresh."""

    is_connected: bool
    """The last query or heartbeat succeeded."""
    snapshot_age_s: float | None
    """Since the registry was last confirmed; None before the first load."""
    listener: str
    """`connected`, or what it does instead: `connecting`, `lost`."""


class OpsDeps(msgspec.Struct, frozen=True, kw_only=True):
    """What these handlers show, as functions that answer at once."""

    metrics: Metrics
    clock: Clock
    version: str
    guard: Guard
    """Lets a request to /health or /metrics in, or raises."""
    readiness: Callable[[], str | None]
    """Why this worker takes no calls now (no snapshot yet, draining); None when it does."""
    accounts: Callable[[], Mapping[str, int]]
    """Health phase (`ready`, `cooling`, `disabled`) → active accounts."""
    database: Callable[[], DatabaseHealth]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Figures are of all workers; accounts, database and readiness are as this worker sees them."""

    status: Annotated[
        str, msgspec.Meta(description="`ok`, or `degraded`: calls are served, `problems` says what is not.")
    ]
    problems: list[str]
    version: str
    uptime_s: float
    workers: int
    accounts: dict[str, int]
    requests: RequestStats
    latency_ms: LatencyStats
    stream_stats: StreamStats
    providers: dict[str, ProviderCheck]
    breakers: list[OpenBreaker]
    """What rests whichever account would ask, in any worker."""
    database: DatabaseHealth


class Liveness(msgspec.Struct, frozen=True):
    status: str


class Readiness(msgspec.Struct, frozen=True):
    status: str
    reason: str | None = None


def ops_handlers(deps: OpsDeps) -> list[HTTPRouteHandler]:
    """The handlers, for the app to mount as they are."""

    @get("/health/live", summary="200 while the event loop turns", tags=["operations"])
    async def live() -> Response[Liveness]:
        return Response(Liveness("ok"), headers=_NO_STORE)

    @get("/health/ready", summary="200 when calls are taken, else 503 with the reason", tags=["operations"])
    async def ready() -> Response[Readiness]:
        reason = deps.readiness()
        if reason is None:
            return Response(Readiness("ready"), headers=_NO_STORE)
        return Response(Readiness("not_ready", reason), status_code=503, headers=_NO_STORE)

    @get("/health", summary="What the service does and how it is", tags=["operations"], guards=[deps.guard])
    async def health() -> Response[Health]:
        shared = await asyncio.to_thread(_read_shared, deps)
        return Response(_health_of(deps, *shared), headers=_NO_STORE)

    @get("/metrics", summary="Prometheus metrics of all workers", tags=["operations"], guards=[deps.guard])
    async def metrics() -> Response[bytes]:
        text, content_type = await asyncio.to_thread(deps.metrics.render)
        return Response(text, media_type=content_type, headers=_NO_STORE)

    return [live, ready, health, metrics]


def _read_shared(deps: OpsDeps) -> tuple[ServiceStats, dict[str, ProviderCheck], list[OpenBreaker]]:
    metrics = deps.metrics
    return metrics.stats.read(deps.clock.now()), metrics.stats.read_checks(), metrics.breakers.read()


def _health_of(
    deps: OpsDeps, stats: ServiceStats, checks: dict[str, ProviderCheck], breakers: list[OpenBreaker]
) -> Health:
    accounts, database = dict(deps.accounts()), deps.database()
    problems = _problems(deps.readiness(), accounts, database, checks) + _resting(breakers)
    return Health(
        status="degraded" if problems else "ok",
        problems=problems,
        version=deps.version,
        uptime_s=round(stats.uptime_s, 3),
        workers=stats.workers,
        accounts=accounts,
        requests=stats.requests,
        latency_ms=stats.latency_ms,
        stream_stats=stats.stream_stats,
        providers=checks,
        breakers=breakers,
        database=database,
    )


def _problems(
    unready: str | None, accounts: Mapping[str, int], database: DatabaseHealth, checks: Mapping[str, ProviderCheck]
) -> list[str]:
    """A service without any account is new, not broken; one whose accounts all rest is."""
    found = [unready] if unready is not None else []
    if not database.is_connected:
        found.append("the database cannot be reached: calls go on from the last snapshot")
    if database.listener != "connected":
        found.append(f"changes of the registry arrive late: the listener is {database.listener}")
    if any(accounts.values()) and not accounts.get("ready"):
        found.append("no account is ready")
    found += [f"provider {name} cannot be reached" for name, check in sorted(checks.items()) if not check.is_reachable]
    return found


def _resting(breakers: list[OpenBreaker]) -> list[str]:
    more = len(breakers) - _MOST_NAMED
    return [str(each) for each in breakers[:_MOST_NAMED]] + ([f"{more} more breakers are open"] if more > 0 else [])
