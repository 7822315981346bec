"""Model routes: listed, added, changed, removed."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.audit import record_change
from gateway.store.rows import (
    Duplicate,
    Page,
    Span,
    delete_row,
    insert_row,
    load_page,
    load_row,
    table_of,
    update_row,
)
from gateway.store.tables import ModelRouteRow

_TABLE = table_of(ModelRouteRow)


class RouteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `model_routes`."""

    id: UUID
    pattern: str
    provider_id: str
    upstream_model: str | None
    fallbacks: object
    priority: int
    is_active: bool
    managed_by: str | None
    """`seed`, `env` or `file`: made by the gateway itself. None: made by people."""
    created_at: datetime
    updated_at: datetime


async def load_routes(
    connection: AsyncConnection,
    span: Span,
    *,
    provider_id: str | None = None,
    pattern: str | None = None,
    is_active: bool | None = None,
) -> Page[RouteRecord]:
    """By pattern, then in the order in which they are tried."""
    where = []
    if provider_id is not None:
        where.append(_TABLE.c.provider_id == provider_id)
    if pattern is not None:
        where.append(func.lower(_TABLE.c.pattern) == pattern.lower())
    if is_active is not None:
        where.append(_TABLE.c.is_active == is_active)
    order = (func.lower(_TABLE.c.pattern), _TABLE.c.priority.desc(), _TABLE.c.created_at, _TABLE.c.id)
    return await load_page(connection, _TABLE, RouteRecord, where=where, order=order, span=span)


async def load_route(connection: AsyncConnection, route_id: UUID) -> RouteRecord | None:
    return await load_row(connection, _TABLE, RouteRecord, _TABLE.c.id == route_id)


async def add_route(connection: AsyncConnection, values: Mapping[str, object], *, actor: str) -> RouteRecord:
    """`values`: column → value; absent columns get the table's defaults.

    Raises:
        Duplicate: a route of the same pattern, provider and priority is there.
    """
    record = await insert_row(connection, _TABLE, RouteRecord, values)
    await _refuse_twin(connection, record)
    await _audit(connection, actor, "created", record.id, values)
    return record


async def change_route(
    connection: AsyncConnection, route_id: UUID, values: Mapping[str, object], *, actor: str
) -> RouteRecord | None:
    """None: there is no such route.

    Raises:
        Duplicate: a route of the same pattern, provider and priority is there.
    """
    record = await update_row(connection, _TABLE, RouteRecord, _TABLE.c.id == route_id, values)
    if record is not None and values:
        await _refuse_twin(connection, record)
        await _audit(connection, actor, "changed", route_id, values)
    return record


async def remove_route(connection: AsyncConnection, route_id: UUID, *, actor: str) -> bool:
    """Whether there was one."""
    is_gone = await delete_row(connection, _TABLE, _TABLE.c.id == route_id)
    if is_gone:
        await _audit(connection, actor, "deleted", route_id, {})
    return is_gone


async def _refuse_twin(connection: AsyncConnection, record: RouteRecord) -> None:
    """Two routes that differ in nothing that decides between them would be served by chance."""
    where = (
        func.lower(_TABLE.c.pattern) == record.pattern.lower(),
        _TABLE.c.provider_id == record.provider_id,
        _TABLE.c.priority == record.priority,
        _TABLE.c.id != record.id,
    )
    twins = await load_page(connection, _TABLE, RouteRecord, where=where, order=(_TABLE.c.id,), span=Span(limit=1))
    if twins.total:
        twin = twins.data[0]
        raise Duplicate("pattern", f"Route {twin.id} has this pattern, provider and priority already.")


async def _audit(
    connection: AsyncConnection, actor: str, action: str, route_id: UUID, values: Mapping[str, object]
) -> None:
    await record_change(
        connection, actor=actor, action=action, table="model_routes", row_id=str(route_id), changes=values
    )
