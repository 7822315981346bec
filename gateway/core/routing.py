"""(snapshot, call) → targets: which provider serves a call, under which name, and which accounts may.

    x-provider ─▶ route of the model ─▶ default_provider ─▶ the only active provider ─▶ 404 (400 without a model)

A pinned call goes to the provider of its accounts: what it names lies there and nowhere else.

An inactive provider is not in the snapshot, so it is as if it were not there. The result depends on the snapshot, the
call's `named_provider`, `pinned`, its endpoint's `model` and its own `model` alone (in lower case, but for
`upstream_model` where `is_model_kept`).
"""

from collections.abc import Iterator

import msgspec

from gateway.core.call import Call, ModelUse
from gateway.core.errors import GatewayError, InvalidCall, ModelNotFound
from gateway.core.globs import ModelSet, model_set
from gateway.core.ids import AccountId, ModelName, ProviderId
from gateway.core.snapshot import Account, Provider, Route, Snapshot


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """Who may serve a call."""

    provider: Provider
    upstream_model: ModelName
    """The name that is sent; "" for a call that has none."""
    is_model_kept: bool
    """The name that is sent is the caller's own, as each call writes it: do not keep it for calls of another case.

    A call that has none is sent without."""
    accounts: tuple[Account, ...]
    """Those that may serve the model: by tier, then by creation. Empty when the provider has no active account."""
    fallbacks: tuple[ModelName, ...] = ()


def route_of(snapshot: Snapshot, model: str) -> Route | None:
    """The first route of an active provider: exact beats prefix, longer beats shorter, then priority."""
    return next(_routes(snapshot, model.lower()), None)


def provider_for(snapshot: Snapshot, call: Call) -> Provider:
    """The provider that serves `call`. Raises InvalidCall or ModelNotFound when there is none (SPEC §3)."""
    return _provider_and_route(snapshot, call)[0]


def targets_for(snapshot: Snapshot, call: Call) -> Targets:
    """Who may serve `call`. Raises InvalidCall or ModelNotFound when nobody is configured to."""
    provider, route = _provider_and_route(snapshot, call)
    needs_model = call.endpoint.model is ModelUse.REQUIRED
    model = call.model or (provider.settings.default_model if needs_model else None)
    if not model:
        if needs_model:
            raise _no_model()
        accounts = snapshot.accounts_of.get(provider.id, ())
        return Targets(
            provider=provider,
            upstream_model=ModelName(""),
            is_model_kept=True,
            accounts=_pinned(accounts, call.pinned),
        )
    renamed = route.upstream_model if route else None
    named = renamed or model
    renamed = provider.settings.deployments.get(named.lower(), renamed)
    upstream_model = ModelName(renamed or model)
    names = {model.lower(), named.lower(), upstream_model.lower()}
    return Targets(
        provider=provider,
        upstream_model=upstream_model,
        is_model_kept=bool(call.model) and not renamed,
        accounts=_pinned(_accounts(snapshot, provider, names, model), call.pinned),
        fallbacks=route.fallbacks if route and call.pinned is None else (),
    )


def own_key_targets_for(snapshot: Snapshot, call: Call) -> Targets:
    """The same for a caller who names a provider and brings a key: no account is needed, and none is among them.

    The provider's allow-list holds. Raises as `targets_for`.
    """
    return targets_for(without_accounts(snapshot), call)


def without_accounts(snapshot: Snapshot) -> Snapshot:
    """The registry for such a caller."""
    return msgspec.structs.replace(snapshot, accounts_of={})


def _pinned(accounts: tuple[Account, ...], pinned: frozenset[AccountId] | None) -> tuple[Account, ...]:
    return accounts if pinned is None else tuple(account for account in accounts if account.id in pinned)


def _provider_and_route(snapshot: Snapshot, call: Call) -> tuple[Provider, Route | None]:
    """The route is the one that led to the provider or, for a named provider, the first that leads there."""
    model = call.model or call.endpoint.goes_with
    routes = _routes(snapshot, model.lower()) if model else iter(())
    if call.named_provider is not None:
        named = _named(snapshot, call.named_provider)
        return named, next((route for route in routes if route.provider_id == named.id), None)
    if call.pinned:
        holder = next((snapshot.accounts[id_] for id_ in sorted(call.pinned) if id_ in snapshot.accounts), None)
        if holder is not None:
            provider = snapshot.providers[holder.provider_id]
            return provider, next((route for route in routes if route.provider_id == provider.id), None)
    route = next(routes, None)
    if route is not None:
        return snapshot.providers[route.provider_id], route
    default = snapshot.providers.get(snapshot.default_provider) if snapshot.default_provider else None
    if default is not None:
        return default, None
    if len(snapshot.providers) == 1:
        return next(iter(snapshot.providers.values())), None
    raise _no_provider(call)


def _routes(snapshot: Snapshot, model_lower: str) -> Iterator[Route]:
    """Every route of the model whose provider is active, best first."""
    providers = snapshot.providers
    for route in snapshot.exact_routes.get(model_lower, ()):
        if route.provider_id in providers:
            yield route
    for route in snapshot.prefix_routes:
        if route.provider_id in providers and model_lower.startswith(route.pattern[:-1]):
            yield route


def _named(snapshot: Snapshot, named: ProviderId) -> Provider:
    provider = snapshot.providers.get(named) or snapshot.providers.get(ProviderId(named.lower()))
    if provider is None:
        raise InvalidCall(
            f"The header `x-provider` names `{_shown(named)}`, which is no active provider of this gateway. "
            "Name one that is, or leave the header out.",
            param="x-provider",
            code="unknown_provider",
        )
    return provider


def _accounts(snapshot: Snapshot, provider: Provider, names: set[str], model: str) -> tuple[Account, ...]:
    """The provider's accounts whose allow-list (their own, else the provider's) has one of `names`."""
    accounts = snapshot.accounts_of.get(provider.id, ())
    of_provider = model_set(provider.supported_models)
    serving = tuple(account for account in accounts if _serves(account, of_provider, names))
    if not serving and (accounts or not _allows(of_provider, names)):
        raise ModelNotFound(
            f"The model `{_shown(model)}` is not served here: the column `supported_models` of provider "
            f"`{provider.id}` or of its accounts is an allow-list without it. Add it there, or use a model it names.",
            param="model",
        )
    return serving


def _serves(account: Account, of_provider: ModelSet, names: set[str]) -> bool:
    own = account.supported_models
    return _allows(of_provider if own is None else model_set(own), names)


def _allows(models: ModelSet, names: set[str]) -> bool:
    """An empty list allows everything."""
    return models == _ALL or any(models.has(name) for name in names)


_ALL = ModelSet()


def _no_model() -> InvalidCall:
    return InvalidCall("You must provide a model parameter.", param="model", code="missing_required_parameter")


def _no_provider(call: Call) -> GatewayError:
    model = call.model
    if not model and call.endpoint.model is ModelUse.REQUIRED:
        return _no_model()
    if not model:
        return InvalidCall(
            "The call names no model that could tell which provider serves it. Name one in the header `x-provider`, "
            "or set `default_provider`.",
            param="x-provider",
            code="provider_required",
        )
    return ModelNotFound(
        f"The model `{_shown(model)}` does not exist here: no route fits it and no default provider is set. "
        "Add a row to `model_routes`, set `default_provider`, or name a provider in the header `x-provider`.",
        param="model",
    )


def _shown(name: str) -> str:
    """A name that a caller chose, at a bounded length."""
    return name if len(name) <= 100 else name[:100] + "…"
