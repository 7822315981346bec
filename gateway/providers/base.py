"""What a provider kind must offer, and the request it prepares: the last pure value before the wire."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol, TypeVar

import msgspec

from gateway.core.call import Call, Endpoint
from gateway.core.hints import OPENAI_NAMES, RateLimitNames
from gateway.core.ids import ModelName, Secret
from gateway.core.outcome import ErrorBody
from gateway.core.snapshot import Credential, Provider, StreamUsage, Validation
from gateway.wire.reading import EventReader

Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, in wire order."""


class Origin(msgspec.Struct, frozen=True):
    """Where a connection goes: connections are pooled by it."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


class Limits(msgspec.Struct, frozen=True):
    """Seconds, all of them."""

    connect_s: float = 10.0
    headers_s: float = 600.0
    """From the moment the request is sent until its whole head has come."""
    stall_s: float = 600.0
    """Between two pieces of the body."""
    keep_alive_s: float = 60.0
    max_idle: int = 256
    """Idle connections kept for this origin."""
    first_event_s: float = 600.0
    """From the moment a streaming request is sent until its first event with content. Never less than `headers_s`."""


class Via(msgspec.Struct, frozen=True):
    """A way to the upstream other than our own HTTP/1.1: one engine stands for each."""

    proxy: Secret | None = None
    """Its URL, user and password in it."""
    http2: bool = False
    """Offered by TLS; the upstream chooses."""
    keep_alive_s: float = 60.0
    max_idle: int = 256
    """Of this way's connections, whatever their origins."""


def via_of(provider: Provider) -> Via | None:
    """None: directly, by HTTP/1.1. HTTP/2 is agreed upon in TLS alone: `http://` without a proxy needs no `Via`."""
    settings = provider.settings
    has_http2 = settings.http2 and provider.base_url.startswith("https:")
    if settings.proxy is None and not has_http2:
        return None
    proxy = None if settings.proxy is None else Secret(settings.proxy)
    return Via(proxy, has_http2, settings.keep_alive_s, settings.max_idle_connections)


class BodySource(Protocol):
    """A body that is not in memory as a whole."""

    @property
    def size(self) -> int:
        """Bytes, known before the first is asked for."""
        ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """From the first byte on, at each call anew: another attempt sends the whole body. May raise GatewayError."""
        ...


def size_of(body: bytes | BodySource) -> int:
    return len(body) if isinstance(body, bytes) else body.size


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One HTTP request to an upstream, whole."""

    method: bytes
    origin: Origin
    target: bytes
    """Path and query as they go on the request line."""
    headers: Headers
    """Without `host`, `content-length` and `transfer-encoding`: the engine writes these."""
    body: bytes | BodySource = b""
    limits: Limits = Limits()
    may_resend: bool = True
    """Whether the engine may send it again when a kept connection turns out dead before a byte of the answer came.
    False for creating calls: the upstream may have acted."""
    via: Via | None = None
    """None: directly, by HTTP/1.1."""

    def __repr__(self) -> str:
        """Neither headers nor body: a credential and a prompt are in them."""
        return f"UpstreamRequest({self.method!r}, {self.origin!r}, {self.target!r}, body_bytes={size_of(self.body)})"


class Destination(msgspec.Struct, frozen=True):
    """Where calls of one account go and how they present themselves: what is the same for all of them.

    Made once per account and snapshot by `ProviderKind.destination_of`, and again when a credential was refreshed.
    """

    origin: Origin
    prefix: bytes
    """Path of the base URL with the version: `/v1`; empty when it has none. No slash at the end."""
    headers: Headers
    """Authentication, the provider's fixed headers, and what we always say ourselves."""
    names: frozenset[bytes]
    """Names of `headers`: the caller's headers of these names are left out."""
    asks_usage: bool
    """Streams that did not ask for their usage are made to."""
    via: Via | None = None
    """None: directly, by HTTP/1.1."""
    limit_names: RateLimitNames = OPENAI_NAMES
    """How its answers call the headers of its rate limits."""
    lists_models: bool = True
    """`GET /models` there lists what the account can serve, and nothing else."""

    def __repr__(self) -> str:
        """No headers: a credential is in them."""
        return f"Destination({self.origin!r}, {self.prefix!r}, asks_usage={self.asks_usage})"


D = TypeVar("D", bound=Destination)


def destination_like(common: Destination, kind: type[D], **fields: object) -> D:
    """`common` as a destination of that kind, with what `fields` say."""
    return kind(**{name: getattr(common, name) for name in common.__struct_fields__} | fields)


class Translation(Protocol):
    """Between what the callers of an endpoint speak and what a kind's upstreams speak. Pure; one serves all calls."""

    def write_request(self, fields: dict[str, Any], model: str, *, is_stream: bool) -> bytes:
        """The body that goes upstream, from the caller's decoded one, which passed the checks. Raises InvalidCall."""
        ...

    def read_answer(self, body: bytes, *, created: int, asked: bytes) -> bytes | None:
        """A whole answer as the caller reads it; None when it is none.

        `created`: epoch seconds. `asked`: the caller's body, which some answers repeat.
        """
        ...

    def read_stream(self, call: Call, *, created: int, asked: bytes) -> EventReader:
        """The reader of an upstream's stream, which gives the caller's events. The rest as `read_answer`."""
        ...

    def write_error(self, error: ErrorBody, *, status: int) -> bytes:
        """An upstream's error as the caller reads it, identifiers of accounts masked."""
        ...


class ProviderKind(Protocol):
    """The code for one wire format and its quirks. No I/O; one instance serves all providers of the kind."""

    @property
    def name(self) -> str: ...

    @property
    def stream_usage(self) -> StreamUsage:
        """Whether streams are asked for their usage where `settings.stream_usage` is None."""
        ...

    @property
    def validation(self) -> Validation:
        """How much of a body is checked where `settings.validation` is None."""
        ...

    @property
    def charges_answers(self) -> bool:
        """Whether `max_tokens` is charged at admission, as at OpenAI; else the prompt alone, where no cache has it."""
        ...

    def talks_responses(self, provider: Provider) -> bool:
        """Whether it may serve `/responses` over a WebSocket."""
        ...

    def upgraded(self, request: UpstreamRequest) -> UpstreamRequest:
        """`request`, which goes through a WebSocket, with the headers of its upgrade."""
        ...

    def translation_for(self, endpoint: Endpoint) -> Translation | None:
        """None: its upstreams speak what the endpoint's callers speak. Raises InvalidCall where they have none such.

        Asked once for each endpoint, model and snapshot.
        """
        ...

    def destination_of(self, provider: Provider, credential: Credential) -> Destination:
        """What all calls with this credential have in common. Cheap to keep, not to make: once per snapshot."""
        ...

    def hides_usage(self, call: Call, destination: Destination) -> bool:
        """Whether `prepare` asks for a usage that the caller did not: the stream's reader takes it out again."""
        ...

    def prepare(
        self,
        call: Call,
        destination: Destination,
        *,
        model: ModelName | None,
        headers: Headers,
        body: bytes | BodySource,
        limits: Limits,
    ) -> UpstreamRequest:
        """The request that makes `call` there.

        `headers` are the caller's, already filtered by `wire/headers`; `body` has the upstream's model in it already.
        `model` is that name, in whatever case the first caller wrote it; None: the call has none.
        """
        ...

    def read_error(self, body: bytes, content_type: str) -> ErrorBody:
        """What an answer that is not a success says, in whatever shape this kind says it."""
        ...
