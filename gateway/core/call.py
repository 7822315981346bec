"""`Call`: the facts of one client request that decisions need; `Endpoint`: a row of the table in wire/endpoints."""

from enum import StrEnum

import msgspec

from gateway.core.ids import AccountId, CallId, KeyId, ModelName, ProviderId


class BodyKind(StrEnum):
    """How a request's body is read."""

    NONE = "none"
    """The API knows of none; one that comes all the same passes unread."""
    JSON = "json"
    """An object, whatever the request's content-type says."""
    MULTIPART = "multipart"
    BINARY = "binary"
    ANY = "any"
    """The request's content-type decides."""


class StreamKind(StrEnum):
    """The events of an endpoint's stream: which one holds content, which one ends it, how an error looks."""

    NONE = "none"
    CHAT = "chat"
    COMPLETION = "completion"
    RESPONSES = "responses"
    """Typed events of the Responses API."""
    EVENTS = "events"
    """Typed events of any other family: speech, transcripts, images, assistants' runs, agents' sessions."""


CHUNKS = frozenset({StreamKind.CHAT, StreamKind.COMPLETION})
"""Streams of chunks with choices: `[DONE]` ends them, and their usage comes when it is asked for."""


class ModelUse(StrEnum):
    """What a call without a model means."""

    NONE = "none"
    """The endpoint takes none."""
    OPTIONAL = "optional"
    """The upstream has a default of its own, or knows the model from an object that the call names."""
    REQUIRED = "required"
    """The provider's `default_model` is served; without one the call is refused."""


class Schema(StrEnum):
    """Whose API an endpoint is part of: what its callers speak, and how they read errors."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the API. The rows are in `wire/endpoints.py`."""

    name: str
    """Stable label for metrics, logs and permission scopes, e.g. `chat.completions`."""
    method: str
    path: str
    """Below the version path: `/chat/completions`. `{…_id}` names the place of an object's id."""
    body: BodyKind = BodyKind.JSON
    stream: StreamKind = StreamKind.NONE
    model: ModelUse = ModelUse.NONE
    is_creating: bool = False
    """Makes something that lasts or acts: repeated, once body bytes have left, only after a definite refusal."""
    creates: str | None = None
    """Kind of the object whose `id` the answer carries: `file`, `batch`, `response` …"""
    is_list: bool = False
    """Lists objects that lie in the accounts."""
    is_stateless: bool = False
    """No part of a request can name an object of an account."""
    is_download: bool = False
    """The answer is somebody's data: passed on unread, of any size, whatever type it claims."""
    gives_secret: bool = False
    """The answer holds a secret with which its reader goes to the upstream directly, on the account's money."""
    settles: bool = False
    """Its answers begin, or end, what uses tokens after its call: responses in the background, batches."""
    is_own: bool = False
    """Answered by the gateway itself: no account, no attempt."""
    places: tuple[str, ...] = ()
    """Members of its answers that hold URLs at the upstream, which SDKs follow."""
    model_places: tuple[tuple[str, ...], ...] = ()
    """Paths of members that name models, where it is not `model` alone; the first that is there leads the call.

    In a form the first name is the field's, whose text is JSON or which names the rest in brackets."""
    schema: Schema = Schema.OPENAI
    goes_with: str = ""
    """A model by whose route a call without one goes; "" where no route tells more than the defaults."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one client request. The body's bytes travel beside it."""

    id: CallId
    endpoint: Endpoint
    path: str = ""
    """Below the version, still percent-encoded, as it goes upstream; "": the endpoint's own."""
    query: bytes = b""
    model: ModelName | None = None
    """As the caller wrote it."""
    is_stream: bool = False
    asks_usage: bool = False
    """The caller itself set `stream_options.include_usage`."""
    estimated_tokens: int = 0
    """What OpenAI charges at admission: max(characters / 4, max_tokens × n)."""
    affinity: str | None = None
    """`prompt_cache_key`, else `user`; None when the caller gave neither."""
    named_provider: ProviderId | None = None
    """From the header `x-provider`."""
    key_id: KeyId | None = None
    owner: str | None = None
    """Whose ids it may name: the client key's owner. None: calls are open."""
    pinned: frozenset[AccountId] | None = None
    """Only these accounts may serve it: they hold what it names. None: any."""
    max_wait_s: float = 10.0
    """How long the call may queue for an account, from `x-gateway-max-wait` and the client's own timeout."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one call consumed, as its answer says. What is not said is 0.

    `cached`, `cache_write`, `audio_input` and `image_input` are parts of `input`; `reasoning`, `audio_output` and
    `image_output` are parts of `output`: never add them.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    seconds: float = 0.0
    """Of the audio that was written down, for models that charge by its length."""
    images: int = 0
    """In the answer."""
    characters: int = 0
    """That were spoken, for models that charge by them."""
    trained_tokens: int = 0
    """That a fine-tuning job was trained with."""

    @property
    def has_more(self) -> bool:
        """It tells more than the tokens put in, put out and cached."""
        return self != Usage(self.input_tokens, self.output_tokens, self.cached_tokens)
