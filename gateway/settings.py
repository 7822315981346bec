"""Every setting, as one frozen value. `settings_load.py` makes it from environment, `.env` and files, and checks it.

Rules of this file: plain values only, and nothing imported that a worker does not need anyway: workers are handed the
ready value by their parent and read no file and no environment. Keys in `gateway.yaml` are the names of the fields;
`GATEWAY_SERVER__PORT` is `server.port`. Times are seconds, sizes bytes (text such as `32 MiB` is read as well).
"""

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.core.ids import Secret
from gateway.core.snapshot import AuthStrategy, SelectionStrategy, StreamUsage, Validation

Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Count = Annotated[int, Meta(ge=1)]
Size = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1)]

MIB = 1024 * 1024


class AuthMode(StrEnum):
    """Who may call (SPEC §7)."""

    AUTO = "auto"
    """Open while listening on loopback only; elsewhere as `keys`, and an admin token must be set."""
    KEYS = "keys"
    OPEN = "open"


class ForeignIds(StrEnum):
    """What becomes of ids that were made outside of the gateway (SPEC §6)."""

    SHARED = "shared"
    """Looked for once, by reading, and then everybody's."""
    REFUSE = "refuse"
    """Answered as ids that are not there."""


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of settings."""


class ServerSettings(Section, frozen=True, kw_only=True):
    host: Name = "127.0.0.1"
    """An address or a name to listen on; `0.0.0.0` or `::` for all."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """0 takes a free one."""
    workers: Count | None = None
    """Processes that serve. None: one per core."""
    drain_s: Seconds = 30.0
    """How long running calls may take to finish after SIGTERM."""
    keep_alive_s: Seconds = 75.0
    """How long an idle client connection is kept."""
    backlog: Annotated[int, Meta(ge=1, le=65535)] = 2048
    """Connections that may wait to be accepted, per worker."""


class LimitSettings(Section, frozen=True, kw_only=True):
    max_json_bytes: Size = 32 * MIB
    """Largest JSON body of a call; images in chats are large."""
    max_body_bytes: Size = 512 * MIB
    """Largest body of any other call: files. The form around one may add a 512th."""
    spool_folder: Path | None = None
    """Where uploads beyond 1 MiB wait for their upstream, in files without names. None: `spool` below `home`, or the
    system's folder for temporary files where that cannot be written."""


class WaitingSettings(Section, frozen=True, kw_only=True):
    """The queue of calls whose accounts all rest. Per worker."""

    default_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 10.0
    """How long a call queues that does not say so itself. 0: never."""
    max_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 300.0
    """The most that `x-gateway-max-wait` may ask for."""
    max_calls: Annotated[int, Meta(ge=0)] = 10_000
    max_bytes: Size = 64 * MIB
    """Bodies of all queued calls together."""


class RealtimeSettings(Section, frozen=True, kw_only=True):
    """Sessions over WebSocket."""

    max_message_bytes: Size = 32 * MIB
    """Largest message, in either direction; events with sound reach 15 MiB."""
    idle_s: Seconds = 3600.0
    """A session in which neither side has said anything for so long is ended. OpenAI ends each after an hour."""
    client_secrets: bool | None = None
    """Whether `POST /v1/realtime/client_secrets` and its kin are served. With the secret in their answer a client
    speaks to the provider directly: on the account's money, past all limits, counters and client keys. Not set: only
    where calls are open, so that there is nothing to get past."""


class DatabaseSettings(Section, frozen=True, kw_only=True):
    pool_size: Count = 5
    """Connections of one worker, besides the one that listens."""
    wait_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 30.0
    """How long a start waits for the server of DATABASE_URL."""


class AccountDeclaration(Section, frozen=True, kw_only=True):
    """An account in `gateway.yaml`. The fields are the columns of the table `accounts`."""

    label: Name | None = None
    """None: made from the credential, and the same at every start."""
    api_key: Secret | None = None
    organization: str | None = None
    project: str | None = None
    header: str | None = None
    """Header name for the strategy `header`; None means the provider's `auth_header`."""
    base_url: str | None = None
    """Where this account's calls go: a resource of its own. None: the provider's."""
    token_url: str | None = None
    """For the strategy `oauth_client_credentials`: where tokens are fetched."""
    tenant_id: str | None = None
    """In place of `token_url`: a tenant of Microsoft Entra."""
    client_id: str | None = None
    """For the strategy `oauth_client_credentials`."""
    client_secret: Secret | None = None
    """For the strategy `oauth_client_credentials`."""
    client_certificate: Secret | None = None
    """In place of `client_secret`: a PEM with a certificate and its private key."""
    scope: str | None = None
    """What a token is asked for; with `tenant_id` that of Azure OpenAI."""
    audience: str | None = None
    """The same, for token endpoints that want an audience."""
    client_auth: str | None = None
    """Where client id and secret stand in the request for a token: `body` (the default) or `basic`."""
    quota_group: str | None = None
    tier: int = 0
    weight: Annotated[float, Meta(gt=0)] = 1.0
    max_concurrency: Count | None = None
    rpm_limit: Count | None = None
    tpm_limit: Count | None = None
    supported_models: list[str] | None = None
    metadata: dict[str, object] = {}
    is_active: bool = True


class ProviderDeclaration(Section, frozen=True, kw_only=True):
    """A provider in `gateway.yaml`: columns of the table `providers`, then what stands in its column `settings`.

    One with HTTP settings alone makes no row: they go before those of whichever row is there.
    """

    preset: str | None = None
    """A vendor by name: fills in what is not given here. `gateway providers presets` lists them."""
    name: str | None = None
    kind: str | None = None
    base_url: str | None = None
    auth_type: str | None = None
    auth_strategy: AuthStrategy | None = None
    supported_models: list[str] = []
    is_active: bool = True
    accounts: list[AccountDeclaration] = []

    timeout_s: Seconds | None = None
    connect_timeout_s: Seconds | None = None
    first_token_timeout_s: Seconds | None = None
    stall_timeout_s: Seconds | None = None
    keep_alive_s: Seconds | None = None
    max_idle_connections: Count | None = None
    default_model: str | None = None
    strategy: SelectionStrategy | None = None
    streaming: bool | None = None
    stream_usage: StreamUsage | None = None
    validation: Validation | None = None
    headers: dict[str, str] | None = None
    auth_header: str | None = None
    proxy: Secret | None = None
    """`http://[user:password@]host:port`, or https: calls and checks go through it. None: directly."""
    http2: bool | None = None
    """HTTP/2 where the upstream's TLS offers it. It costs more CPU a call."""
    exact_base_url: bool | None = None
    """`base_url` is taken as it is written: no `/v1` is added where it names no version."""
    api_version: str | None = None
    """Azure's `api-version`: a date chooses the paths of deployments; None, or `preview`: `/openai/v1`."""
    deployments: dict[str, str] | None = None
    """Model → the name it is sent under: Azure's deployments."""
    limit_headers: dict[str, str] | None = None
    """How answers call their rate limits: `requests_remaining`, `tokens_limit` … → header."""


class RouteDeclaration(Section, frozen=True, kw_only=True):
    """`routes: {"gpt-*": openai}` is short for `routes: {"gpt-*": {provider: openai}}`."""

    provider: Name
    upstream_model: str | None = None
    fallbacks: list[str] = []
    priority: int = 0


class OpenAIEnvironment(Section, frozen=True, kw_only=True):
    """The variables of OpenAI's own SDKs: accounts at once, with no file and no SQL."""

    keys: tuple[Secret, ...] = ()
    """From OPENAI_API_KEY and OPENAI_API_KEYS, each once."""
    organization: str | None = None
    project: str | None = None
    base_url: str | None = None


class Settings(Section, frozen=True, kw_only=True):
    server: ServerSettings = ServerSettings()
    home: Path = Path(".gateway")
    """GATEWAY_HOME: the embedded database and the key file. Relative ones are below the working folder."""
    database_url: Secret | None = None
    """DATABASE_URL. None: the embedded Postgres."""
    listen_database_url: Secret | None = None
    """LISTEN_DATABASE_URL: for LISTEN where `database_url` leads through a pooler. None: the same."""
    auth: AuthMode = AuthMode.AUTO
    admin_token: Secret | None = None
    encryption_keys: Secret | None = None
    """`k2:<base64>,k1:<base64>`: the first seals, all open. None: a key file under `home`."""
    byok: bool = False
    """GATEWAY_BYOK: callers may bring a provider's key of their own: header `x-provider` and their `Authorization`."""
    log_level: LogLevel = LogLevel.INFO
    default_provider: str | None = None
    """Where models go that no route knows."""
    foreign_ids: ForeignIds = ForeignIds.SHARED
    """Files, responses and their kin that were made outside of the gateway: `shared` by all keys, or `refuse`."""
    env: str | None = None
    """GATEWAY_ENV: the layer laid over the file."""
    limits: LimitSettings = LimitSettings()
    waiting: WaitingSettings = WaitingSettings()
    database: DatabaseSettings = DatabaseSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    cors_origins: list[str] = []
    """Web pages that may call, e.g. `https://app.example.com`; `*` for all."""
    providers: dict[str, ProviderDeclaration] = {}
    routes: dict[str, RouteDeclaration] = {}
    openai: OpenAIEnvironment = OpenAIEnvironment()
    """Never in a file: from the environment alone."""


class WorkerContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent tells one of its workers."""

    index: int
    """From 0."""
    count: int
    """How many workers serve together."""
    dsn: Secret
    listen_dsn: Secret
    encryption_keys: Secret
    """As `cipher.parse_keys` reads it, the key file's when none is configured."""
    metrics_dir: Path
    """Where the counters of all workers meet (PROMETHEUS_MULTIPROC_DIR)."""
    address: str
    """Where the service can be reached, `http://127.0.0.1:8080`."""
    is_loopback: bool
    """Whether it listens on loopback alone."""
    started_at: datetime
    """When the service started, aware UTC: older than a worker that was respawned."""
    service: str = ""
    """With this the names of its workers begin, and no other's."""
    hears_fd: int | None = None
    """Where it hears its neighbours, the service's other workers. None: there are none."""
    tells_fds: tuple[int, ...] = ()
    """Where each of them hears it."""


class WorkerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker process needs; goes to it through an anonymous file, never by arguments or environment."""

    settings: Settings
    context: WorkerContext
    app: str
    """`module:factory`; called with settings and context."""
    listen_fds: tuple[int, ...]
    """One socket per address, bound, this worker's alone."""
    other_fds: tuple[int, ...] = ()
    """Those of the other workers: on SIGUSR1 it accepts from them too, for one that died, until SIGUSR2."""
    ready_fd: int
    """Gets `ready` once the worker serves, or the reason why it cannot; closed by its death."""
    parent_pid: int
    """The worker ends when this process has gone."""

    @property
    def inherited_fds(self) -> tuple[int, ...]:
        """What every process of the slot needs of its parent's."""
        heard = () if self.context.hears_fd is None else (self.context.hears_fd,)
        return (*self.listen_fds, *self.other_fds, *heard, *self.context.tells_fds)


def write_order(order: WorkerOrder) -> bytes:
    """JSON with the secrets in it: for the worker alone."""
    return msgspec.json.encode(order, enc_hook=_plain)


def read_order(raw: bytes) -> WorkerOrder:
    return msgspec.json.decode(raw, type=WorkerOrder, dec_hook=from_text)


_FROM_TEXT: Final[Mapping[type, Callable[[str], object]]] = {Secret: Secret, Path: Path}
"""The types of settings that msgspec does not know."""


def from_text(wanted: type, value: object) -> object:
    """Msgspec's hook for reading them."""
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return _FROM_TEXT[wanted](value)


def _plain(value: Secret | Path) -> str:
    """Msgspec's hook for writing them."""
    return value.reveal() if isinstance(value, Secret) else os.fspath(value)
