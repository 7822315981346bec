"""What the settings declare → values that `store/declared.py` brings into the tables, and what lies over the tables.

A provider of the settings with an address, accounts, a kind or a name makes a row. One with HTTP settings alone, as
`GATEWAY_PROVIDERS__OPENAI__TIMEOUT_S` gives it, makes none, for that would stand in the way of the row a person is
about to insert: its settings go before the column `settings` of whichever row is there, in each worker's snapshot.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from gateway.core.ids import ProviderId, Secret
from gateway.core.snapshot import AuthStrategy, ProviderSettings, Snapshot
from gateway.providers.presets import preset_named
from gateway.settings import AccountDeclaration, ProviderDeclaration, Settings
from gateway.store.declarations import Declarations, DeclaredAccount, DeclaredProvider, DeclaredRoute

OPENAI = ProviderId("openai")
KNOWN_BASE_URLS = {"openai": "https://api.openai.com/v1"}
"""Providers whose id alone says where they are."""
_AUTH_TYPES = {AuthStrategy.NONE: "none", AuthStrategy.OAUTH_CLIENT_CREDENTIALS: "oauth"}
_AUTH_FIELDS = (
    *("api_key", "organization", "project", "header", "base_url"),
    *("token_url", "tenant_id", "client_id", "client_secret", "client_certificate", "scope", "audience"),
    "client_auth",
)
"""Fields of a declared account that are its `auth_data`."""
_SETTING_NAMES = tuple(field.name for field in msgspec.structs.fields(ProviderSettings))


def declared_in_file(settings: Settings) -> Declarations:
    """From the `providers` and `routes` sections, whichever place their values came from."""
    providers = tuple(_provider(id_, given) for id_, given in settings.providers.items() if makes_row(given))
    routes = tuple(
        DeclaredRoute(
            pattern=pattern,
            provider_id=ProviderId(route.provider),
            upstream_model=route.upstream_model,
            fallbacks=route.fallbacks,
            priority=route.priority,
        )
        for pattern, route in settings.routes.items()
    )
    return Declarations(providers=providers, routes=routes)


def declared_in_environment(settings: Settings) -> Declarations:
    """From OPENAI_API_KEY and its kin: the provider `openai` and an account per key."""
    given = settings.openai
    if not given.keys:
        return Declarations()
    scope = _present(organization=given.organization, project=given.project)
    provider = settings.providers.get(OPENAI, ProviderDeclaration())
    declared = DeclaredProvider(
        id=OPENAI,
        name="OpenAI",
        base_url=given.base_url or provider.base_url or KNOWN_BASE_URLS[OPENAI],
        settings=provider_settings(provider),
        accounts=tuple(DeclaredAccount(auth_data={"api_key": key.reveal(), **scope}) for key in given.keys),
    )
    return Declarations(providers=(declared,))


def provider_settings(given: ProviderDeclaration) -> dict[str, object]:
    """The column `settings`: what was given, and nothing else, so that later defaults hold for the rest."""
    return {name: _plain(value) for name, value in _given(given) if value is not None}


def makes_row(given: ProviderDeclaration) -> bool:
    named = given.base_url or given.kind or given.name or given.preset
    return named is not None or bool(given.accounts)


def overlaid(snapshot: Snapshot, providers: Mapping[str, ProviderDeclaration]) -> Snapshot:
    """The snapshot with the HTTP settings of `providers` over those of the rows; the same one when nothing changes."""
    changed = dict(snapshot.providers)
    for provider_id, given in providers.items():
        provider = changed.get(ProviderId(provider_id))
        if provider is None or makes_row(given):
            continue
        values = {name: value for name, value in _given(given) if value is not None}
        settings = msgspec.structs.replace(provider.settings, **values)
        changed[provider.id] = msgspec.structs.replace(provider, settings=settings)
    return snapshot if changed == snapshot.providers else msgspec.structs.replace(snapshot, providers=changed)


def _provider(provider_id: str, given: ProviderDeclaration) -> DeclaredProvider:
    preset = None if given.preset is None else preset_named(given.preset)
    strategy = given.auth_strategy or (AuthStrategy.API_KEY if preset is None else preset.auth_strategy)
    return DeclaredProvider(
        id=ProviderId(provider_id),
        name=given.name or (provider_id if preset is None else preset.title),
        base_url=given.base_url or (KNOWN_BASE_URLS.get(provider_id) if preset is None else preset.base_url),
        kind=given.kind or ("openai" if preset is None else preset.kind),
        auth_type=given.auth_type or _AUTH_TYPES.get(strategy, "api_key"),
        auth_strategy=strategy,
        supported_models=given.supported_models,
        settings={**({} if preset is None else preset.settings), **provider_settings(given)},
        is_active=given.is_active,
        accounts=tuple(_account(account) for account in given.accounts),
    )


def _account(given: AccountDeclaration) -> DeclaredAccount:
    return DeclaredAccount(
        auth_data=_present(**{name: _revealed(getattr(given, name)) for name in _AUTH_FIELDS}),
        label=given.label,
        quota_group=given.quota_group,
        tier=given.tier,
        weight=given.weight,
        max_concurrency=given.max_concurrency,
        rpm_limit=given.rpm_limit,
        tpm_limit=given.tpm_limit,
        supported_models=given.supported_models,
        metadata=given.metadata,
        is_active=given.is_active,
    )


def _given(given: ProviderDeclaration) -> Iterator[tuple[str, object]]:
    """Names and values as `ProviderSettings` has them."""
    for name in _SETTING_NAMES:
        yield name, _revealed(getattr(given, name))


def _revealed(value: Any) -> Any:  # noqa: ANN401  # a value of any setting
    return value.reveal() if isinstance(value, Secret) else value


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _present(**values: str | None) -> dict[str, object]:
    return {name: value for name, value in values.items() if value}
