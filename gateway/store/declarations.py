"""What settings declare: providers, accounts and routes that a start brings into the tables. Values only."""

from enum import StrEnum

import msgspec

from gateway.core.ids import ProviderId
from gateway.core.snapshot import AuthStrategy


class Source(StrEnum):
    """Where a declaration stands; the mark `managed_by` of the rows made from it."""

    ENV = "env"
    FILE = "file"


class DeclaredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The fields are columns of `accounts`."""

    auth_data: dict[str, object] = {}
    """Plain; sealed before it reaches a statement."""
    label: str | None = None
    """None: made from the credential, so that it stays the same whatever the order in which credentials are given."""
    quota_group: str | None = None
    tier: int = 0
    weight: float = 1.0
    max_concurrency: int | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    supported_models: list[str] | None = None
    metadata: dict[str, object] = {}
    is_active: bool = True

    def __repr__(self) -> str:
        return f"DeclaredAccount({self.label!r}, ***)"


class DeclaredProvider(msgspec.Struct, frozen=True, kw_only=True):
    """The fields are columns of `providers`, then its accounts."""

    id: ProviderId
    base_url: str | None = None
    """None: no row is made; the accounts are added under the one that is there."""
    name: str = ""
    kind: str = "openai"
    auth_type: str = "api_key"
    auth_strategy: AuthStrategy = AuthStrategy.API_KEY
    supported_models: list[str] = []
    settings: dict[str, object] = {}
    is_active: bool = True
    accounts: tuple[DeclaredAccount, ...] = ()

    def __repr__(self) -> str:
        """No settings: a proxy and fixed headers may hold a credential."""
        return f"DeclaredProvider({self.id!r}, {self.base_url!r}, {self.accounts!r})"


class DeclaredRoute(msgspec.Struct, frozen=True, kw_only=True):
    """The fields are columns of `model_routes`."""

    pattern: str
    provider_id: ProviderId
    upstream_model: str | None = None
    fallbacks: list[str] = []
    priority: int = 0


class Declarations(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one source declares."""

    providers: tuple[DeclaredProvider, ...] = ()
    routes: tuple[DeclaredRoute, ...] = ()


class Reconciled(msgspec.Struct, kw_only=True):
    """What a start did to the tables, in rows."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    """No longer declared: providers and accounts rest, routes are deleted."""
    kept: int = 0
    """Declared, but people have such a row: theirs stays as it is."""
    homeless: int = 0
    """Declared accounts of a provider that is neither declared with a `base_url` nor in the table: not added."""
