"""Anthropic: its own API, and OpenAI's chat completions translated to it.

    /v1/chat/completions ─▶ POST /v1/messages, translated (wire/openai_anthropic)
    /v1/responses        ─▶ the same (wire/responses_anthropic)
    /v1/messages…, and what nobody knows ─▶ the same path, bytes unchanged
    any other endpoint of OpenAI's ─▶ 400

Callers may name an `anthropic-version` of their own, and betas beside the provider's (`settings.headers`).
"""

from typing import Any, Final

import msgspec

from gateway.core.call import Call, Endpoint, Schema
from gateway.core.errors import InvalidCall
from gateway.core.hints import ANTHROPIC_NAMES
from gateway.core.outcome import ErrorBody
from gateway.core.snapshot import AuthStrategy, Credential, Provider, StreamUsage, Validation
from gateway.providers.auth import header_value
from gateway.providers.base import Destination, Headers, Translation, destination_like
from gateway.providers.limit_headers import limit_names
from gateway.providers.openai_compatible import Differences, OpenAICompatible
from gateway.wire.openai_anthropic.reader import TranslatedReader
from gateway.wire.openai_anthropic.request import write_request
from gateway.wire.openai_anthropic.response import read_answer, write_error

KEY_HEADER: Final = "x-api-key"
_OAUTH_TOKEN: Final = "sk-ant-oat"  # noqa: S105  # how they begin, none of them
"""Of a subscription: they go as bearer tokens."""
VERSION: Final = b"2023-06-01"
_VERSION_HEADER: Final = b"anthropic-version"
_BETA_HEADER: Final = b"anthropic-beta"
_WORKSPACE_HEADER: Final = b"anthropic-workspace-id"
_CHAT: Final = "chat.completions"
_PATHS: Final = {
    _CHAT: "/messages",
    "responses.create": "/messages",
    "responses.input_tokens": "/messages/count_tokens",
}
"""Endpoints of OpenAI's that are translated → where they go."""
_SERVED: Final = ("models.", "files.", "skills.", "other")
"""Names of endpoints, or how they begin, that both APIs have at the same paths."""
_ALL_MODELS: Final = b"limit=1000"


class ChatTranslation:
    """Fits `base.Translation`."""

    def write_request(self, fields: dict[str, Any], model: str, *, is_stream: bool) -> bytes:
        return write_request(fields, model, is_stream=is_stream)

    def read_answer(self, body: bytes, *, created: int, asked: bytes) -> bytes | None:  # noqa: ARG002  # not repeated
        return read_answer(body, created=created)

    def read_stream(self, call: Call, *, created: int, asked: bytes) -> TranslatedReader:  # noqa: ARG002  # the same
        return TranslatedReader(call.endpoint, hides_usage=not call.asks_usage, created=created)

    def write_error(self, error: ErrorBody, *, status: int) -> bytes:
        return write_error(error, status=status)


_TRANSLATION: Final = ChatTranslation()


class AnthropicDestination(Destination, frozen=True):
    """`headers` are without the version and the betas, on which native callers have a say."""

    version: bytes = VERSION
    betas: bytes = b""
    """Comma-separated; empty: none."""


def _translated(endpoint: Endpoint) -> Translation | None:
    if endpoint.name == _CHAT:
        return _TRANSLATION
    if endpoint.name in _PATHS:
        from gateway.providers.anthropic_responses import TRANSLATIONS  # noqa: PLC0415  # most workers never need it

        return TRANSLATIONS[endpoint.name]
    if endpoint.schema is Schema.ANTHROPIC or endpoint.name.startswith(_SERVED):
        return None
    raise InvalidCall(
        f"The provider of this model speaks Anthropic's API: it has no {endpoint.path or 'such endpoint'}. Call "
        "/v1/chat/completions, /v1/responses or /v1/messages.",
        param="model",
        code="endpoint_not_supported",
    )


def _presented(credential: Credential) -> Credential:
    """A key goes into `x-api-key`, a subscription's token into `Authorization`. Nobody here is OpenAI's project."""
    credential = msgspec.structs.replace(credential, organization=None, project=None)
    is_token = credential.secret.reveal().startswith(_OAUTH_TOKEN)
    if credential.strategy is not AuthStrategy.API_KEY or is_token:
        return credential
    return msgspec.structs.replace(credential, strategy=AuthStrategy.HEADER, header=KEY_HEADER)


def _placed(common: Destination, provider: Provider, credential: Credential) -> AnthropicDestination:
    """`auth_data.project` names a workspace."""
    said = dict(common.headers)
    kept = [header for header in common.headers if header[0] not in {_VERSION_HEADER, _BETA_HEADER}]
    if credential.project:
        kept.append((_WORKSPACE_HEADER, header_value("auth_data.project", credential.project)))
    return destination_like(
        common,
        AnthropicDestination,
        headers=tuple(kept),
        names=frozenset(name for name, _ in kept),
        limit_names=limit_names(provider.settings.limit_headers) or ANTHROPIC_NAMES,
        version=said.get(_VERSION_HEADER, VERSION),
        betas=said.get(_BETA_HEADER, b""),
    )


def _asked(call: Call, headers: Headers, destination: Destination) -> tuple[Call, Headers]:
    if isinstance(destination, AnthropicDestination):
        headers = _with_version(headers, destination)
    path = _PATHS.get(call.endpoint.name)
    if path is not None:
        call = msgspec.structs.replace(call, path=path, query=b"")
    elif call.endpoint.name == "models.list" and not call.query:
        call = msgspec.structs.replace(call, query=_ALL_MODELS)  # else it lists twenty
    return call, headers


def _with_version(headers: Headers, destination: AnthropicDestination) -> Headers:
    """The caller's headers with a version, which is its own where it names one, and all betas of both."""
    said = dict(headers)
    betas = b",".join(filter(None, (destination.betas, said.get(_BETA_HEADER, b""))))
    return (
        *(header for header in headers if header[0] not in {_VERSION_HEADER, _BETA_HEADER}),
        (_VERSION_HEADER, said.get(_VERSION_HEADER, destination.version)),
        *(((_BETA_HEADER, betas),) if betas else ()),
    )


ANTHROPIC: Final = OpenAICompatible(
    "anthropic",
    StreamUsage.LEAVE,  # its streams always tell it
    Validation.TYPES,
    charges_answers=False,
    differences=Differences(_translated, _presented, _placed, _asked, talks_responses=lambda _provider: False),
)
"""Anthropic's wire format."""
