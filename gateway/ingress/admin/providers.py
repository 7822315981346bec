"""`/api/v1/providers`: upstream services."""

import re
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from gateway.core.ids import masked
from gateway.core.proxy_url import shown_proxy_url
from gateway.core.snapshot import ProviderSettings
from gateway.ingress.admin.deps import AdminDeps, AdminRequest, actor_of, problem_of
from gateway.ingress.admin.operations import IsActive, Limit, ModelPattern, Name, Offset, declared, errors, not_found
from gateway.providers.presets import preset_named
from gateway.store.providers import (
    ProviderRecord,
    add_provider,
    change_provider,
    load_provider,
    load_providers,
    remove_provider,
)
from gateway.store.rows import InvalidValue, Page, Span, given, unit_of_work

ProviderIdText = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Used in headers, paths and metric labels."""
BaseUrl = Annotated[str, Meta(min_length=1, max_length=2000)]
AuthType = Annotated[str, Meta(pattern="^(api_key|oauth|none)$")]
Kind = Annotated[str, Meta(pattern="^[a-z0-9_]{1,50}$")]
ProviderId = Annotated[str, PathParameter(description="The provider's id.")]
KindFilter = Annotated[str | None, QueryParameter(description="Only providers of this kind.")]

_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)

_USER_INFO = re.compile(r"//[^/?#]*@")
"""A password in a base URL: such a row is skipped, but it must not be shown either."""


class NewProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    preset: Name | None = None
    """A vendor by name (`groq`, `mistral`, …): fills in what is not given. docs/adding-a-provider.md lists them."""
    id: ProviderIdText | UnsetType = UNSET
    """Letters, digits, `.`, `_` and `-`. Needed without a preset, whose name is the default."""
    name: Name | None = None
    """For people; null: the preset's, else the id."""
    base_url: BaseUrl | UnsetType = UNSET
    """With or without a version path: `https://api.openai.com` and `https://api.openai.com/v1` mean the same. Needed
    unless the preset has it."""
    auth_type: AuthType | UnsetType = UNSET
    """`api_key`, `oauth` or `none`: informative."""
    auth_strategy: Name | UnsetType = UNSET
    """How credentials are presented: `api_key` (bearer), `header` (a named header), `oauth_client_credentials` (an
    access token, fetched and refreshed) or `none`."""
    kind: Kind | UnsetType = UNSET
    """Wire format and quirks: `openai`, `openai_compatible`, `azure_openai`, …"""
    supported_models: list[ModelPattern] = []
    """Names or globs; empty: all. Otherwise an allow-list."""
    settings: ProviderSettings = msgspec.field(default_factory=ProviderSettings)
    """Times in seconds, fixed headers, selection strategy, a proxy."""
    is_active: bool = True


class ProviderChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays; `settings` is replaced as a whole."""

    name: Name | UnsetType = UNSET
    base_url: BaseUrl | UnsetType = UNSET
    auth_type: AuthType | UnsetType = UNSET
    auth_strategy: Name | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    supported_models: list[ModelPattern] | UnsetType = UNSET
    settings: ProviderSettings | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class ProviderView(ProviderRecord, frozen=True, kw_only=True):
    problem: str | None = None
    """Why the row is skipped, or what looks wrong about it; null when all is well."""
    warnings: tuple[str, ...] = ()
    """What looks wrong about this change, though it was made."""


NewProviderBody = Annotated[
    NewProvider,
    BodyKwarg(
        media_type=RequestEncodingType.JSON,
        examples=[
            Example(
                summary="OpenAI",
                value={"id": "openai", "name": "OpenAI", "base_url": "https://api.openai.com", "supported_models": []},
            ),
            Example(summary="A vendor by name", value={"preset": "groq"}),
            Example(
                summary="A compatible server, keys in a header, models by name",
                value={
                    "id": "local",
                    "base_url": "http://10.0.0.5:8000/v1",
                    "kind": "openai_compatible",
                    "auth_strategy": "header",
                    "settings": {"auth_header": "x-api-key", "timeout_s": 120},
                    "supported_models": ["llama-*"],
                },
            ),
        ],
    ),
]
ProviderChangesBody = Annotated[
    ProviderChanges,
    BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(summary="Pause", value={"is_active": False})]),
]


class ProvidersController(Controller):
    path = "/providers"
    tags = ("providers",)

    @get(summary="List providers", responses=errors(400))
    async def list_providers(  # one parameter a query parameter
        self,
        deps: NamedDependency[AdminDeps],
        kind: KindFilter = None,
        is_active: IsActive = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Page[ProviderView]:
        """Oldest first."""
        async with unit_of_work(deps.engine) as connection:
            page = await load_providers(connection, Span(limit, offset), kind=kind, is_active=is_active)
        return Page([_view(deps, record) for record in page.data], page.total, page.limit, page.offset)

    @post(summary="Add a provider", responses=errors(400, 409))
    async def add(self, request: AdminRequest, deps: NamedDependency[AdminDeps], data: NewProviderBody) -> ProviderView:
        """It serves within a second, once it has an account."""
        values = _new_columns(data)
        async with unit_of_work(deps.engine) as connection:
            record = await add_provider(connection, values, kinds=deps.kinds, actor=actor_of(request))
        return _view(deps, record)

    @get("/{provider_id:str}", summary="Show a provider", responses=errors(404))
    async def show(self, deps: NamedDependency[AdminDeps], provider_id: ProviderId) -> ProviderView:
        async with unit_of_work(deps.engine) as connection:
            record = await load_provider(connection, provider_id)
        if record is None:
            raise not_found("provider", provider_id)
        return _view(deps, record)

    @patch("/{provider_id:str}", summary="Change a provider", responses=errors(400, 404))
    async def change(
        self,
        request: AdminRequest,
        deps: NamedDependency[AdminDeps],
        provider_id: ProviderId,
        data: ProviderChangesBody,
    ) -> ProviderView:
        """Fields that are absent stay as they are. The id cannot change."""
        values = _columns(given(msgspec.structs.asdict(data)))
        async with unit_of_work(deps.engine) as connection:
            record = await change_provider(connection, provider_id, values, kinds=deps.kinds, actor=actor_of(request))
        if record is None:
            raise not_found("provider", provider_id)
        return _view(deps, record)

    @delete("/{provider_id:str}", summary="Remove a provider", responses=errors(404))
    async def remove(self, request: AdminRequest, deps: NamedDependency[AdminDeps], provider_id: ProviderId) -> None:
        """Its accounts, with their credentials, go with it. To keep them, set `is_active` to false instead."""
        async with unit_of_work(deps.engine) as connection:
            if not await remove_provider(connection, provider_id, actor=actor_of(request)):
                raise not_found("provider", provider_id)


def _new_columns(data: NewProvider) -> dict[str, object]:
    """Raises InvalidValue for what neither the body nor its preset says."""
    values = _columns(given(msgspec.structs.asdict(data)))
    del values["preset"]
    if data.preset is not None:
        try:
            preset = preset_named(data.preset)
        except ValueError as error:
            raise InvalidValue("preset", str(error)) from error
        values = {
            "id": preset.name,
            **preset.columns(has_auth="auth_strategy" not in values),
            **values,
            "settings": {**preset.settings, **_object(values.get("settings"))},
            "name": data.name or preset.title,
        }
    for name in ("id", "base_url"):
        if name not in values:
            raise InvalidValue(name, f"{name} is needed: the body names no preset that has it.")
    return {**values, "name": values["name"] or values["id"]}


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _columns(values: dict[str, object]) -> dict[str, object]:
    """Settings as the row holds them: only what differs from the defaults, so that later defaults reach it."""
    settings = values.get("settings")
    if not isinstance(settings, ProviderSettings):
        return values
    standard = msgspec.to_builtins(ProviderSettings())
    chosen = {name: value for name, value in msgspec.to_builtins(settings).items() if value != standard[name]}
    return {**values, "settings": chosen}


def _view(deps: AdminDeps, record: ProviderRecord) -> ProviderView:
    fields = {
        **msgspec.structs.asdict(record),
        "base_url": _USER_INFO.sub("//***@", record.base_url),
        "settings": _shown(record.settings),
    }
    warnings = () if record.managed_by is None else (declared(record.managed_by),)
    return ProviderView(**fields, problem=problem_of(deps, "providers", record.id), warnings=warnings)


def _shown(settings: object) -> object:
    """Settings with the proxy's password and the values of secret-looking fixed headers masked."""
    if not isinstance(settings, dict):
        return settings
    shown = dict(settings)
    if isinstance(headers := settings.get("headers"), dict):
        shown["headers"] = {
            name: masked(str(value)) if _SECRET_NAME.search(name) else value for name, value in headers.items()
        }
    if settings.get("proxy") is not None:
        shown["proxy"] = shown_proxy_url(str(settings["proxy"]))
    return shown
