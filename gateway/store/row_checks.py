"""Rows of the public tables → values of the core. Pure: one row in, a value out or what is wrong with the row.

Operators write these tables by hand, so nothing about a row is taken for granted but its column types. `RowRefused`
skips that row alone; a doubt lets it serve and is reported as well. Messages name the column and hold no secret.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.core.base_url import normalised_base_url, split_url
from gateway.core.ids import AccountId, KeyId, ModelName, ProviderId
from gateway.core.proxy_url import checked_proxy_url
from gateway.core.snapshot import Account, AuthStrategy, ClientKey, Provider, ProviderSettings, Route
from gateway.providers.limit_headers import LIMIT_HEADER_KEYS
from gateway.providers.presets import habits_at
from gateway.store.auth_data import InvalidAuthData, is_header_name, is_header_value, read_credential

Row = Mapping[str, Any]
"""Column → value, as the driver gives it."""

_PROVIDER_ID = re.compile(r"[\x21-\x7e]{1,200}")
"""It goes into headers and metric labels."""

_API_VERSION = re.compile(r"[A-Za-z0-9.-]{1,40}")
"""It goes into the query."""

_AZURE_HOST = re.compile(r"//[^/]*\.openai\.azure\.(?:com|us|cn)(?=[:/])")

_STANDARD = ProviderSettings()

_TYPES_OF_STRATEGY = {
    AuthStrategy.API_KEY: "api_key",
    AuthStrategy.HEADER: "api_key",
    AuthStrategy.OAUTH_CLIENT_CREDENTIALS: "oauth",
    AuthStrategy.NONE: "none",
}

_POSITIVE_SETTINGS = ("timeout_s", "connect_timeout_s", "first_token_timeout_s", "stall_timeout_s")
_POSITIVE_COLUMNS = ("max_concurrency", "rpm_limit", "tpm_limit")


RETIRED = ":retired"
"""End of `managed_by` where a row rests because of its declaration, not because somebody paused it."""


class RowRefused(Exception):
    """The row makes no sense. The message names the column and what is expected."""


def is_retired(row: Row) -> bool:
    return (row["managed_by"] or "").endswith(RETIRED)


def provider_of(row: Row, kinds: frozenset[str]) -> Provider:
    """Raises RowRefused."""
    if not _PROVIDER_ID.fullmatch(row["id"]):
        raise RowRefused("id must be 1 to 200 printable ASCII characters without spaces")
    if row["kind"] not in kinds:
        raise RowRefused(f"kind is not known: expected one of {', '.join(sorted(kinds))}")
    settings = _with_habits(settings_of(row["settings"]), row["base_url"])
    try:
        base_url = normalised_base_url(row["base_url"], is_exact=settings.exact_base_url)
    except ValueError as error:
        raise RowRefused(f"base_url {error}") from error
    return Provider(
        id=ProviderId(row["id"]),
        name=row["name"] or row["id"],
        kind=row["kind"],
        base_url=base_url,
        auth_strategy=strategy_of(row),
        supported_models=_names(row["supported_models"], "supported_models"),
        settings=settings,
    )


def _with_habits(settings: ProviderSettings, base_url: str) -> ProviderSettings:
    """What the row leaves open, as the vendor at that host has it: a row needs no settings to serve well."""
    try:
        habits = habits_at((split_url(base_url.strip()).hostname or "").lower())
    except ValueError:
        return settings  # `base_url` is refused in a moment
    if not habits:
        return settings
    known = msgspec.convert(habits, ProviderSettings)
    changes = {name: getattr(known, name) for name in habits if getattr(settings, name) == getattr(_STANDARD, name)}
    return msgspec.structs.replace(settings, **changes)


def provider_doubts(row: Row, provider: Provider) -> Iterator[str]:
    """What looks wrong about a row that serves all the same."""
    expected = _TYPES_OF_STRATEGY[provider.auth_strategy]
    if row["auth_type"] != expected:
        yield f"auth_type does not go with auth_strategy {provider.auth_strategy}: expected {expected}"
    is_azure = provider.kind == "azure_openai"
    if _AZURE_HOST.search(provider.base_url) and not is_azure:
        yield f"kind is {provider.kind}, but base_url is a resource of Azure OpenAI: expected azure_openai"
    if provider.settings.api_version is not None and not is_azure:
        yield f"settings.api_version means nothing to the kind {provider.kind}: expected azure_openai, or no version"


def auth_type_of(strategy: str) -> str:
    """The `auth_type` that goes with a strategy, for rows that name none."""
    return next((type_ for known, type_ in _TYPES_OF_STRATEGY.items() if known == strategy), "api_key")


def strategy_of(row: Row) -> AuthStrategy:
    """Raises RowRefused."""
    try:
        return AuthStrategy(row["auth_strategy"])
    except ValueError as error:
        allowed = ", ".join(AuthStrategy)
        raise RowRefused(f"auth_strategy is not known: expected one of {allowed}") from error


def settings_of(settings: object) -> ProviderSettings:
    """Raises RowRefused; its message names the setting."""
    try:
        read = msgspec.convert(settings, ProviderSettings)
    except msgspec.ValidationError as error:
        # msgspec names types and paths; of values only those of enums, which are no secrets.
        raise RowRefused(f"settings cannot be read: {error}") from error
    for name in _POSITIVE_SETTINGS:
        value = getattr(read, name)
        if value is not None and value <= 0:
            raise RowRefused(f"settings.{name} must be greater than 0 seconds")
    if read.keep_alive_s < 0 or read.max_idle_connections < 0:
        raise RowRefused("settings.keep_alive_s and settings.max_idle_connections must not be negative")
    if not is_header_name(read.auth_header):
        raise RowRefused("settings.auth_header must be the name of a header, e.g. api-key")
    if not all(is_header_name(name) and is_header_value(value) for name, value in read.headers.items()):
        raise RowRefused("settings.headers holds a name or a value that no header may have")
    _check_proxy(read.proxy)
    _check_limit_headers(read.limit_headers)
    if read.api_version is not None and not _API_VERSION.fullmatch(read.api_version):
        raise RowRefused("settings.api_version must be like 2024-10-21, 2025-04-01-preview or preview")
    if not all(name.strip() and is_header_value(name) for name in read.deployments.values()):
        raise RowRefused("settings.deployments must map models to names, none of them empty")
    deployments = {model.strip().lower(): name for model, name in read.deployments.items()}
    return msgspec.structs.replace(read, deployments=deployments)


def _check_limit_headers(named: Mapping[str, str]) -> None:
    unknown = sorted(set(named) - set(LIMIT_HEADER_KEYS))
    if unknown:
        raise RowRefused(f"settings.limit_headers has an unknown key: expected {', '.join(LIMIT_HEADER_KEYS)}")
    if not all(is_header_name(name) for name in named.values()):
        raise RowRefused("settings.limit_headers holds what is not the name of a header")


def _check_proxy(proxy: str | None) -> None:
    if proxy is not None:
        try:
            checked_proxy_url(proxy)
        except ValueError as error:
            raise RowRefused(f"settings.proxy {error}") from error


def account_of(row: Row, auth_data: object, strategy: AuthStrategy, *, has_exact_url: bool = False) -> Account:
    """`auth_data` is already opened. `has_exact_url`: the provider's `settings.exact_base_url`. Raises RowRefused."""
    try:
        credential = read_credential(strategy, auth_data, has_exact_url=has_exact_url)
    except InvalidAuthData as error:
        raise RowRefused(str(error)) from error
    weight = row["weight"]
    if not (math.isfinite(weight) and weight > 0):
        raise RowRefused("weight must be greater than 0 (set is_active to false to rest an account)")
    for name in _POSITIVE_COLUMNS:
        if row[name] is not None and row[name] <= 0:
            raise RowRefused(f"{name} must be greater than 0, or NULL for none")
    models = row["supported_models"]
    return Account(
        id=AccountId(str(row["id"])),
        provider_id=ProviderId(row["provider_id"]),
        label=row["label"],
        credential=credential,
        quota_group=row["quota_group"] or None,
        tier=row["tier"],
        weight=weight,
        max_concurrency=row["max_concurrency"],
        rpm_limit=row["rpm_limit"],
        tpm_limit=row["tpm_limit"],
        supported_models=None if models is None else _names(models, "supported_models"),
    )


def account_doubts(row: Row) -> Iterator[str]:
    """What looks wrong about a row that serves all the same."""
    if row["tier"] < 0:
        yield "tier is negative: it goes before tier 0, which is meant to be first"


def route_of(row: Row) -> Route:
    """Raises RowRefused."""
    pattern = row["pattern"].strip().lower()
    if not pattern or "*" in pattern[:-1]:
        raise RowRefused("pattern must be a model's name, or a prefix with one * at its end")
    if not row["provider_id"]:
        raise RowRefused("provider_id must name a provider")
    if row["upstream_model"] is not None and not row["upstream_model"].strip():
        raise RowRefused("upstream_model must be a model's name, or NULL for the caller's own")
    return Route(
        pattern=pattern,
        provider_id=ProviderId(row["provider_id"]),
        upstream_model=row["upstream_model"],
        fallbacks=tuple(ModelName(name) for name in _texts(row["fallbacks"], "fallbacks")),
        priority=row["priority"],
    )


def key_of(row: Row) -> ClientKey:
    """Raises RowRefused."""
    return ClientKey(
        id=KeyId(str(row["id"])),
        name=row["name"],
        owner=row["owner"] or str(row["id"]),
        digest=row["digest"],
        models=_names(row["models"], "models"),
        expires_at=row["expires_at"],
    )


def _names(value: object, column: str) -> tuple[str, ...]:
    """Model names and globs in lower case."""
    return tuple(text.lower() for text in _texts(value, column))


def _texts(value: object, column: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise RowRefused(f'{column} must be a list of names, e.g. ["gpt-4", "gpt-4o*"]')
    return tuple(text.strip() for text in value)
