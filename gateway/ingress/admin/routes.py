"""`/api/v1/routes`: which provider serves a model."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, QueryParameter
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ingress.admin.deps import AdminDeps, AdminRequest, actor_of, problem_of
from gateway.ingress.admin.operations import (
    Int4,
    IsActive,
    Limit,
    ModelPattern,
    Name,
    Offset,
    ProviderFilter,
    RowId,
    errors,
    not_found,
)
from gateway.store.providers import load_provider
from gateway.store.routes import RouteRecord, add_route, change_route, load_route, load_routes, remove_route
from gateway.store.rows import InvalidValue, Page, Span, given, unit_of_work


class NewRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pattern: ModelPattern
    """A model's name, or a prefix that ends in `*`; case does not matter."""
    provider_id: Name
    upstream_model: Name | None = None
    """What the upstream calls the model; null: as the caller wrote it."""
    fallbacks: list[Name] = []
    """Models to try, in order, when every account of this one has failed."""
    priority: Int4 = 0
    """Higher goes first among routes of one pattern; the seeded ones have -100."""
    is_active: bool = True


class RouteChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays."""

    pattern: ModelPattern | UnsetType = UNSET
    provider_id: Name | UnsetType = UNSET
    upstream_model: Name | UnsetType | None = UNSET
    fallbacks: list[Name] | UnsetType = UNSET
    priority: Int4 | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class RouteView(RouteRecord, frozen=True, kw_only=True):
    problem: str | None = None
    """Why the row is skipped; null when it serves."""
    warnings: tuple[str, ...] = ()
    """What looks wrong about this change, though it was made."""


_EXAMPLE = Example(
    summary="A cheaper model under a known name",
    value={
        "pattern": "gpt-4",
        "provider_id": "openai",
        "upstream_model": "gpt-4o-mini",
        "fallbacks": ["gpt-3.5-turbo"],
    },
)
NewRouteBody = Annotated[NewRoute, BodyKwarg(media_type=RequestEncodingType.JSON, examples=[_EXAMPLE])]
RouteChangesBody = Annotated[
    RouteChanges,
    BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(summary="Pause", value={"is_active": False})]),
]
PatternFilter = Annotated[str | None, QueryParameter(description="Only routes of exactly this pattern.")]


class RoutesController(Controller):
    path = "/routes"
    tags = ("routes",)

    @get(summary="List routes", responses=errors(400))
    async def list_routes(  # one parameter a query parameter
        self,
        deps: NamedDependency[AdminDeps],
        provider_id: ProviderFilter = None,
        pattern: PatternFilter = None,
        is_active: IsActive = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Page[RouteView]:
        """By pattern, then in the order in which they are tried."""
        async with unit_of_work(deps.engine) as connection:
            page = await load_routes(
                connection, Span(limit, offset), provider_id=provider_id, pattern=pattern, is_active=is_active
            )
        return Page([_view(deps, record) for record in page.data], page.total, page.limit, page.offset)

    @post(summary="Add a route", responses=errors(400, 409))
    async def add(self, request: AdminRequest, deps: NamedDependency[AdminDeps], data: NewRouteBody) -> RouteView:
        """The provider need not exist yet: the answer warns then."""
        values = msgspec.structs.asdict(data)
        _check_pattern(data.pattern)
        async with unit_of_work(deps.engine) as connection:
            record = await add_route(connection, values, actor=actor_of(request))
            return _view(deps, record, await _warnings(connection, record))

    @get("/{route_id:uuid}", summary="Show a route", responses=errors(404))
    async def show(self, deps: NamedDependency[AdminDeps], route_id: RowId) -> RouteView:
        async with unit_of_work(deps.engine) as connection:
            record = await load_route(connection, route_id)
        if record is None:
            raise not_found("route", route_id)
        return _view(deps, record)

    @patch("/{route_id:uuid}", summary="Change a route", responses=errors(400, 404, 409))
    async def change(
        self,
        request: AdminRequest,
        deps: NamedDependency[AdminDeps],
        route_id: RowId,
        data: RouteChangesBody,
    ) -> RouteView:
        """Fields that are absent stay as they are."""
        values = given(msgspec.structs.asdict(data))
        if data.pattern is not UNSET:
            _check_pattern(data.pattern)
        async with unit_of_work(deps.engine) as connection:
            record = await change_route(connection, route_id, values, actor=actor_of(request))
            if record is None:
                raise not_found("route", route_id)
            return _view(deps, record, await _warnings(connection, record))

    @delete("/{route_id:uuid}", summary="Remove a route", responses=errors(404))
    async def remove(self, request: AdminRequest, deps: NamedDependency[AdminDeps], route_id: RowId) -> None:
        async with unit_of_work(deps.engine) as connection:
            if not await remove_route(connection, route_id, actor=actor_of(request)):
                raise not_found("route", route_id)


def _check_pattern(pattern: str) -> None:
    if "*" in pattern[:-1] or pattern != pattern.strip():
        raise InvalidValue("pattern", "A model's name, or a prefix that ends in `*`; `*` stands nowhere else.")


async def _warnings(connection: AsyncConnection, record: RouteRecord) -> tuple[str, ...]:
    if await load_provider(connection, record.provider_id) is None:
        return (f"There is no provider {record.provider_id} yet: the route waits for it.",)
    return ()


def _view(deps: AdminDeps, record: RouteRecord, warnings: tuple[str, ...] = ()) -> RouteView:
    return RouteView(
        **msgspec.structs.asdict(record),
        problem=problem_of(deps, "model_routes", str(record.id)),
        warnings=warnings,
    )
