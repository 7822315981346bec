"""`/api/v1/keys`: the client keys that callers of `/v1` present."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg
from msgspec import Meta

from gateway.ingress.admin.deps import AdminDeps, AdminRequest, actor_of, problem_of
from gateway.ingress.admin.operations import (
    Count4,
    Count8,
    IsActive,
    Limit,
    ModelPattern,
    Name,
    Offset,
    RowId,
    errors,
    not_found,
)
from gateway.store.keys import BudgetPeriod, KeyRecord, NewKey, add_key, load_key, load_keys, revoke_key
from gateway.store.rows import InvalidValue, Page, Span, unit_of_work


class NewKeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    owner: Name | None = None
    """Whose stateful ids they are: keys of one owner share them, so that a key can be rotated. null: the key's own."""
    models: list[ModelPattern] = []
    """Names or globs the key may use; empty: all."""
    rpm: Count4 | None = None
    """Requests per minute. Stored; enforced from a later release on."""
    tpm: Count8 | None = None
    """Tokens per minute. Stored; enforced from a later release on."""
    max_concurrency: Count4 | None = None
    """Calls at a time. Stored; enforced from a later release on."""
    budget_usd: Annotated[float, Meta(ge=0.000001, le=1_000_000_000)] | None = None
    """Spend per `budget_period`. Stored; enforced from a later release on."""
    budget_period: BudgetPeriod | None = None
    """`day`, `week` or `month`; only with `budget_usd`, and `month` when it is absent."""
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    """With its offset from UTC; null: never."""
    metadata: dict[str, Any] = {}
    """Yours: kept and shown, not read."""


class KeyView(KeyRecord, frozen=True, kw_only=True):
    problem: str | None = None
    """Why the row is skipped; null when it serves."""
    warnings: tuple[str, ...] = ()
    """What will not work as one might expect."""


class NewKeyView(KeyView, frozen=True, kw_only=True):
    key: str
    """The key itself. Shown this once: only its keyed hash is stored."""


_EXAMPLE = Example(
    summary="A key for one app", value={"name": "my-app", "models": ["gpt-4*"], "expires_at": "2030-01-01T00:00:00Z"}
)
NewKeyBody = Annotated[NewKeyRequest, BodyKwarg(media_type=RequestEncodingType.JSON, examples=[_EXAMPLE])]


class KeysController(Controller):
    path = "/keys"
    tags = ("keys",)

    @get(summary="List client keys", responses=errors(400))
    async def list_keys(
        self, deps: NamedDependency[AdminDeps], is_active: IsActive = None, limit: Limit = 100, offset: Offset = 0
    ) -> Page[KeyView]:
        """Oldest first, revoked ones too unless `is_active=true`."""
        async with unit_of_work(deps.engine) as connection:
            page = await load_keys(connection, Span(limit, offset), is_active=is_active)
        return Page([_view(deps, record) for record in page.data], page.total, page.limit, page.offset)

    @post(summary="Make a client key", responses=errors(400))
    async def add(self, request: AdminRequest, deps: NamedDependency[AdminDeps], data: NewKeyBody) -> NewKeyView:
        """The answer alone shows the key. It serves within a second."""
        new = _new_key(data)
        async with unit_of_work(deps.engine) as connection:
            record, key = await add_key(connection, deps.cipher, new, actor=actor_of(request))
        return NewKeyView(**msgspec.structs.asdict(record), warnings=_warnings(new), key=key.reveal())

    @get("/{key_id:uuid}", summary="Show a client key", responses=errors(404))
    async def show(self, deps: NamedDependency[AdminDeps], key_id: RowId) -> KeyView:
        """Without its text, which nobody can read again."""
        async with unit_of_work(deps.engine) as connection:
            record = await load_key(connection, key_id)
        if record is None:
            raise not_found("key", key_id)
        return _view(deps, record)

    @delete("/{key_id:uuid}", summary="Revoke a client key", responses=errors(404))
    async def revoke(self, request: AdminRequest, deps: NamedDependency[AdminDeps], key_id: RowId) -> None:
        """Its calls are refused within a second everywhere. The row stays, as revoked."""
        async with unit_of_work(deps.engine) as connection:
            if await revoke_key(connection, key_id, actor=actor_of(request)) is None:
                raise not_found("key", key_id)


def _new_key(data: NewKeyRequest) -> NewKey:
    if data.budget_period is not None and data.budget_usd is None:
        raise InvalidValue("budget_period", "Stands only with budget_usd.")
    period = data.budget_period or (BudgetPeriod.MONTH if data.budget_usd is not None else None)
    if data.expires_at is not None and data.expires_at <= datetime.now(UTC):
        raise InvalidValue("expires_at", "Lies in the past.")
    budget = None if data.budget_usd is None else Decimal(str(data.budget_usd))
    fields = {**msgspec.structs.asdict(data), "models": tuple(data.models)}
    return NewKey(**{**fields, "budget_usd": budget, "budget_period": period})


def _warnings(new: NewKey) -> tuple[str, ...]:
    limits = ("rpm", "tpm", "max_concurrency", "budget_usd")
    held = [name for name in limits if getattr(new, name) is not None]
    return (f"{', '.join(held)}: stored, not enforced by this release.",) if held else ()


def _view(deps: AdminDeps, record: KeyRecord) -> KeyView:
    return KeyView(**msgspec.structs.asdict(record), problem=problem_of(deps, "client_keys", str(record.id)))
