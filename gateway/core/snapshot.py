"""`Snapshot`: the immutable registry of providers, accounts, routes and client keys. Replaced whole, never edited.

Built by `build_snapshot` from rows that were already checked; lookups only. Rows that made no sense are not in it: they
are `RowProblem`s, kept beside for the log, the metric, `gateway doctor` and the admin API.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from gateway.core.ids import AccountId, KeyId, ModelName, ProviderId, Secret


class AuthStrategy(StrEnum):
    """How an account's credential is presented."""

    API_KEY = "api_key"
    """`Authorization: Bearer <api_key>`."""
    HEADER = "header"
    """A named header, e.g. `api-key: <api_key>`."""
    OAUTH_CLIENT_CREDENTIALS = "oauth_client_credentials"
    """A token fetched with client id and secret, refreshed ahead of its expiry."""
    NONE = "none"


class SelectionStrategy(StrEnum):
    """How one of several candidates of the same tier is chosen."""

    BALANCED = "balanced"
    ROUND_ROBIN = "round_robin"
    FILL_FIRST = "fill_first"
    CACHE_AFFINITY = "cache_affinity"


class StreamUsage(StrEnum):
    """Whether a stream's usage is asked for when the caller did not ask."""

    ASK = "ask"
    LEAVE = "leave"


class Validation(StrEnum):
    """How much of a body is checked before an account is used."""

    RANGES = "ranges"
    TYPES = "types"
    OFF = "off"


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`providers.settings`. Times are seconds; None means the default of the kind."""

    timeout_s: float = 600.0
    """Headers of a non-streaming answer, and the overall deadline before the first byte. After an account's silence all
    that while the one other account that is asked has as long again, as has each fallback."""
    connect_timeout_s: float = 10.0
    first_token_timeout_s: float | None = None
    """First event of a stream. None: 60, and 600 for reasoning models."""
    stall_timeout_s: float | None = None
    """Silence between two pieces of a body. None: 30, and 600 for reasoning models."""
    keep_alive_s: float = 60.0
    """How long an idle upstream connection is kept."""
    max_idle_connections: int = 256
    default_model: str | None = None
    strategy: SelectionStrategy = SelectionStrategy.BALANCED
    streaming: bool = True
    stream_usage: StreamUsage | None = None
    validation: Validation | None = None
    headers: dict[str, str] = {}
    """Fixed headers added to every upstream request. Names are case-insensitive."""
    auth_header: str = "api-key"
    """The header of the strategy `header`; an account's `auth_data.header` goes before it."""
    proxy: str | None = None
    """`http://[user:password@]host:port`, or https: every call and check goes through it. None: directly."""
    http2: bool = False
    """HTTP/2 where the upstream's TLS offers it."""
    exact_base_url: bool = False
    """`base_url` is taken as it is written: no `/v1` is added where it names no version."""
    api_version: str | None = None
    """Azure's `api-version`. A date chooses the paths of deployments; None, or a word as `preview`: `/openai/v1`."""
    deployments: dict[str, str] = {}
    """Model → the name it is sent under, for all routes: Azure's deployments. Models in lower case."""
    limit_headers: dict[str, str] = {}
    """How answers call their rate limits (`requests_remaining` → header …); empty: as the kind does."""

    def __repr__(self) -> str:
        """Without the fixed headers and the proxy: both may hold a credential."""
        shown = [
            f"{field.name}={'***' if field.name in {'headers', 'proxy'} and value else repr(value)}"
            for field in msgspec.structs.fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"ProviderSettings({', '.join(shown)})"


class ClientAuth(StrEnum):
    """How client id and secret are presented to a token endpoint (RFC 6749 §2.3.1)."""

    BODY = "body"
    BASIC = "basic"


class Grant(msgspec.Struct, frozen=True):
    """What buys an access token: OAuth 2.0 client credentials (RFC 6749 §4.4)."""

    token_url: str
    client_id: str
    client_secret: Secret = Secret("")
    scope: str | None = None
    audience: str | None = None
    client_auth: ClientAuth = ClientAuth.BODY
    client_certificate: Secret | None = None
    """In place of the secret: a PEM with a certificate and its private key."""


class Credential(msgspec.Struct, frozen=True):
    """An account's `auth_data`, opened. Never logged: the secrets in it print as ***."""

    strategy: AuthStrategy
    secret: Secret = Secret("")
    """The key. For `oauth_client_credentials` the access token, empty until one was fetched."""
    header: str | None = None
    """Header name for the strategy `header`; None means the provider's `auth_header`."""
    organization: str | None = None
    """Sent as `OpenAI-Organization`."""
    project: str | None = None
    """Sent as `OpenAI-Project`."""
    base_url: str | None = None
    """Where this account's calls go, normalised as the provider's; None: there."""
    grant: Grant | None = None
    """For `oauth_client_credentials` alone."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream service."""

    id: ProviderId
    name: str
    kind: str
    """Names the code for its wire format and quirks: `openai`, `openai_compatible`, `azure_openai`, …"""
    base_url: str
    """Normalised: scheme, host, port and path with the version (`https://api.openai.com/v1`), no slash at the end."""
    auth_strategy: AuthStrategy
    supported_models: tuple[str, ...] = ()
    """Lower-case names or globs; empty means all."""
    settings: ProviderSettings = ProviderSettings()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One identity at a provider: what is balanced over."""

    id: AccountId
    provider_id: ProviderId
    label: str
    credential: Credential
    credential_mark: str | None = None
    """Hex digits of its keyed digest, by which processes know that they speak of the same one; None: not known."""
    quota_group: str | None = None
    organization: str | None = None
    """Learned: it has no quota group, and shares its limits with others of this organisation."""
    tier: int = 0
    weight: float = 1.0
    max_concurrency: int | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    supported_models: tuple[str, ...] | None = None
    """Lower-case names or globs; None means the provider's."""

    @property
    def holder(self) -> str:
        """Who holds the rate limit: the quota group, else a learned organisation, else the account itself.

        The same text on every replica.
        """
        if self.quota_group:
            return f"group:{self.provider_id}:{self.quota_group}"
        return f"organization:{self.provider_id}:{self.organization}" if self.organization else str(self.id)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Model pattern → provider."""

    pattern: str
    """Lower case; exact, or a prefix that ends in `*`."""
    provider_id: ProviderId
    upstream_model: str | None = None
    fallbacks: tuple[ModelName, ...] = ()
    priority: int = 0
    """Higher goes first among routes of the same pattern."""


class ClientKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller presents to us. Only its keyed hash is known."""

    id: KeyId
    name: str
    owner: str
    digest: bytes
    """HMAC-SHA256 of the whole key text."""
    models: tuple[str, ...] = ()
    """Lower-case names or globs the key may use; empty means all."""
    expires_at: datetime | None = None


class RowProblem(msgspec.Struct, frozen=True):
    """A row that was skipped, or one that works but looks wrong."""

    table: str
    id: str
    message: str
    """Names the column and says what is expected. Holds no secret."""
    is_skipped: bool = True


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All active rows, indexed."""

    version: int = 0
    providers: dict[ProviderId, Provider] = {}
    accounts: dict[AccountId, Account] = {}
    accounts_of: dict[ProviderId, tuple[Account, ...]] = {}
    """Active accounts of active providers, by tier, then by creation."""
    exact_routes: dict[str, tuple[Route, ...]] = {}
    """Lower-case model → routes, highest priority first."""
    prefix_routes: tuple[Route, ...] = ()
    """Longest prefix first, then highest priority."""
    keys: dict[bytes, ClientKey] = {}
    """By digest."""
    problems: tuple[RowProblem, ...] = ()
    default_provider: ProviderId | None = None


def build_snapshot(  # noqa: PLR0913  # one parameter a table, by name
    *,
    version: int,
    providers: Iterable[Provider],
    accounts: Iterable[Account],
    routes: Iterable[Route],
    keys: Iterable[ClientKey] = (),
    problems: Iterable[RowProblem] = (),
    default_provider: ProviderId | None = None,
) -> Snapshot:
    """Indexes rows in the order given (by creation). Accounts whose provider is not among `providers` are left out."""
    by_id = {provider.id: provider for provider in providers}
    kept = [account for account in accounts if account.provider_id in by_id]
    of: dict[ProviderId, list[Account]] = {provider_id: [] for provider_id in by_id}
    for account in kept:
        of[account.provider_id].append(account)
    exact: dict[str, list[Route]] = {}
    prefixes: list[Route] = []
    for route in routes:
        if route.pattern.endswith("*"):
            prefixes.append(route)
        else:
            exact.setdefault(route.pattern, []).append(route)
    return Snapshot(
        version=version,
        providers=by_id,
        accounts={account.id: account for account in kept},
        accounts_of={id_: tuple(sorted(group, key=lambda account: account.tier)) for id_, group in of.items()},
        exact_routes={
            pattern: tuple(sorted(group, key=lambda route: -route.priority)) for pattern, group in exact.items()
        },
        prefix_routes=tuple(sorted(prefixes, key=lambda route: (-len(route.pattern), -route.priority))),
        keys={key.digest: key for key in keys},
        problems=tuple(problems),
        default_provider=default_provider,
    )
