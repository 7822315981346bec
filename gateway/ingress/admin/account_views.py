"""What the accounts' controller takes and gives: requests, answers, examples. Credentials go in and come out masked."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg
from msgspec import UNSET, Meta, UnsetType

from gateway.core.cooldown import Phase
from gateway.core.ids import AccountId
from gateway.ingress.admin.deps import AdminDeps, problem_of
from gateway.ingress.admin.operations import Count4, Count8, ModelPattern, Name, declared
from gateway.relay.affiliations import LearnedOrganization
from gateway.relay.headroom_views import ScopeHeadroom
from gateway.relay.rests import ScopeStatus
from gateway.store.account_import import ImportedKey
from gateway.store.accounts import AccountRecord, opened_auth_data
from gateway.store.cipher import BrokenSeal, UnknownKey
from gateway.store.write_checks import masked_auth_data
from gateway.telemetry.breaker_book import OpenBreaker

Weight = Annotated[float, Meta(gt=0, le=1_000_000)]
Tier = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider_id: Name
    label: Name | None = None
    """Unique at its provider; null: `account 1`, `account 2`, …"""
    auth_data: dict[str, Any] = {}
    """`api_key`, and where they are used `organization`, `project`, `header`, `base_url`; for client credentials
    `client_id`, `client_secret` (or `client_certificate`, a PEM with its private key), `token_url` (or `tenant_id`),
    `scope`. Sealed before it is stored."""
    is_active: bool = True
    quota_group: Name | None = None
    """Accounts with the same text share their rate limits; null: on its own."""
    tier: Tier = 0
    """Order of use, 0 first."""
    weight: Weight = 1.0
    """Share of the traffic within a tier."""
    max_concurrency: Count4 | None = None
    rpm_limit: Count4 | None = None
    """Requests per minute the account may make; null: as its upstream says."""
    tpm_limit: Count8 | None = None
    """Tokens per minute; null: as its upstream says."""
    supported_models: list[ModelPattern] | None = None
    """Names or globs; null: the provider's."""
    metadata: dict[str, Any] = {}
    """Yours: kept and shown, not read."""


class AccountChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays; `auth_data` and `metadata` are replaced as a whole."""

    label: Name | UnsetType = UNSET
    auth_data: dict[str, Any] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    quota_group: Name | UnsetType | None = UNSET
    tier: Tier | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    max_concurrency: Count4 | UnsetType | None = UNSET
    rpm_limit: Count4 | UnsetType | None = UNSET
    tpm_limit: Count8 | UnsetType | None = UNSET
    supported_models: list[ModelPattern] | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as people may see it."""

    id: UUID
    provider_id: str
    label: str
    auth_data: dict[str, Any] | None
    """Masked: `{"api_key": "sk-…abcd"}`; null when no configured key opens it."""
    is_active: bool
    quota_group: str | None
    tier: int
    weight: float
    max_concurrency: int | None
    rpm_limit: int | None
    tpm_limit: int | None
    supported_models: Any
    metadata: Any
    managed_by: str | None
    """`env` or `file`: made from a declaration, and reset to it at each start. null: made by people."""
    created_at: datetime
    updated_at: datetime
    problem: str | None = None
    """Why the row is skipped, or what looks wrong about it; null when all is well."""
    warnings: tuple[str, ...] = ()
    """What looks wrong about this change, though it was made."""


class AccountStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands, as the worker that answers sees it; parks reach all workers."""

    account_id: UUID
    provider_id: str
    label: str
    state: str
    """`ready`, `cooling` (all of it rests), `rejected` (its credential), `inactive`, or `skipped` (see `problem`)."""
    in_flight: int
    scopes: list[ScopeStatus]
    """What something is known against; empty: all of it is ready."""
    headroom: list[ScopeHeadroom]
    """What is left of the limits it shares with its quota group, by model; empty: the upstream told of none yet."""
    organization: LearnedOrganization | None
    """What answers told of its organisation; null: none named one. `suggested_quota_group` is an offer to operators."""
    breakers: list[OpenBreaker]
    """What rests of its provider or its address whichever account would ask, in any worker."""
    problem: str | None = None


class ImportRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider_id: Name
    keys: str | list[str]
    """One key per line, or a list of keys; at most 1000. Empty lines and lines that begin with `#` are left out."""


class ImportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    created: int
    duplicate: int
    invalid: int
    keys: list[ImportedKey]
    """What became of each key, in order. The good ones are kept whatever became of the others."""


NewAccountBody = Annotated[
    NewAccount,
    BodyKwarg(
        media_type=RequestEncodingType.JSON,
        examples=[
            Example(
                summary="One account",
                value={"provider_id": "openai", "label": "Account 1", "auth_data": {"api_key": "sk-proj-..."}},
            ),
            Example(
                summary="Two keys of one organisation share its limits",
                value={
                    "provider_id": "openai",
                    "label": "Account 2",
                    "auth_data": {"api_key": "sk-proj-...", "organization": "org-..."},
                    "quota_group": "org-a",
                },
            ),
        ],
    ),
]
AccountChangesBody = Annotated[
    AccountChanges,
    BodyKwarg(
        media_type=RequestEncodingType.JSON,
        examples=[
            Example(summary="A new key for the same account", value={"auth_data": {"api_key": "sk-proj-..."}}),
            Example(summary="Pause", value={"is_active": False}),
        ],
    ),
]
ImportBody = Annotated[
    ImportRequest,
    BodyKwarg(
        media_type=RequestEncodingType.JSON,
        examples=[
            Example(summary="Two keys", value={"provider_id": "openai", "keys": "sk-proj-aaa...\nsk-proj-bbb..."})
        ],
    ),
]


def account_view(deps: AdminDeps, record: AccountRecord, warnings: list[str] | None = None) -> AccountView:
    """The record without its secrets, with what is wrong about it."""
    fields = msgspec.structs.asdict(record)
    del fields["credential_digest"]
    said = list(warnings or [])
    if record.managed_by is not None:
        said.append(declared(record.managed_by))
    fields |= {"auth_data": _masked(deps, record), "problem": problem_of(deps, "accounts", str(record.id))}
    return AccountView(**fields, warnings=tuple(said))


async def status_view(deps: AdminDeps, record: AccountRecord) -> AccountStatus:
    """One word for the whole account, and its scopes."""
    account_id = AccountId(str(record.id))
    scopes = deps.health.status_of(account_id)
    return AccountStatus(
        account_id=record.id,
        provider_id=record.provider_id,
        label=record.label,
        state=_state(deps, record, scopes),
        in_flight=deps.health.in_flight(account_id),
        scopes=scopes,
        headroom=await deps.headroom(account_id),
        organization=deps.organization(account_id),
        breakers=await asyncio.to_thread(deps.breakers, account_id),
        problem=problem_of(deps, "accounts", account_id),
    )


def _state(deps: AdminDeps, record: AccountRecord, scopes: list[ScopeStatus]) -> str:
    if not record.is_active:
        return "inactive"
    if any(problem.is_skipped and problem.id == str(record.id) for problem in deps.snapshot().problems):
        return "skipped"
    whole = {scope.state for scope in scopes if not scope.what}
    return next((phase for phase in (Phase.REJECTED, Phase.COOLING) if phase in whole), Phase.READY).value


def _masked(deps: AdminDeps, record: AccountRecord) -> dict[str, Any] | None:
    try:
        return masked_auth_data(opened_auth_data(deps.cipher, record))
    except (UnknownKey, BrokenSeal):
        return None
