"""Providers that speak OpenAI's wire format, and what a kind needs that speaks it with a difference.

The kinds `openai` and `openai_compatible` differ in defaults alone; others say in `Differences` where they go their own
way, and are as these everywhere else.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from gateway.core.call import CHUNKS, BodyKind, Call, Endpoint, Schema
from gateway.core.errors import InvalidCall
from gateway.core.hints import OPENAI_NAMES
from gateway.core.ids import ModelName
from gateway.core.outcome import ErrorBody
from gateway.core.snapshot import Credential, Provider, StreamUsage, Validation
from gateway.providers.auth import auth_headers, fixed_headers
from gateway.providers.base import (
    BodySource,
    Destination,
    Headers,
    Limits,
    Origin,
    Translation,
    UpstreamRequest,
    via_of,
)
from gateway.providers.limit_headers import limit_names
from gateway.wire import errors
from gateway.wire.envelope import ask_for_usage

_JSON_BODY: Final = BodyKind.JSON  # bound: Python 3.11 takes as long to find a member as to call a function
_PORTS: Final = {"https": 443, "http": 80}
_JSON: Final[Headers] = ((b"content-type", b"application/json"),)
_IDENTITY: Final = (b"accept-encoding", b"identity")
_OURS: Final = frozenset({b"content-type"})


class Differences(msgspec.Struct, frozen=True):
    """Where a kind is not as OpenAI: functions of its own. None: there it is."""

    translated: Callable[[Endpoint], Translation | None] | None = None
    """As `ProviderKind.translation_for`."""
    presented: Callable[[Credential], Credential] | None = None
    """The credential, as it becomes headers."""
    placed: Callable[[Destination, Provider, Credential], Destination] | None = None
    """The destination as it is for all kinds, with what this one needs beside."""
    asked: Callable[[Call, Headers, Destination], tuple[Call, Headers]] | None = None
    """The call, and the caller's headers, as they go there."""
    aimed: Callable[[bytes, Destination, ModelName | None], bytes] | None = None
    """The target for that model."""
    talks_responses: Callable[[Provider], bool] | None = None
    """As `ProviderKind.talks_responses`."""
    upgraded: Callable[[Headers], Headers] | None = None
    """Headers of a call that goes through a WebSocket."""


class OpenAICompatible(msgspec.Struct, frozen=True):
    """OpenAI's wire format. Fits `base.ProviderKind`."""

    name: str
    stream_usage: StreamUsage
    validation: Validation
    charges_answers: bool = True
    differences: Differences | None = None

    def translation_for(self, endpoint: Endpoint) -> Translation | None:
        """Raises InvalidCall for what is not OpenAI's."""
        if self.differences is not None and self.differences.translated is not None:
            return self.differences.translated(endpoint)
        if endpoint.schema is not Schema.OPENAI:
            raise InvalidCall(
                f"The provider of this model speaks OpenAI's API (kind `{self.name}`), not {endpoint.path}: call "
                "/v1/chat/completions, or name a provider of the kind `anthropic` in the header `x-provider`.",
                param="model",
                code="endpoint_not_supported",
            )
        return None

    def destination_of(self, provider: Provider, credential: Credential) -> Destination:
        """Raises `ValueError`, which holds no secret, for what no header can carry."""
        if self.differences is None:
            return self._destination(provider, credential)
        presented, placed = self.differences.presented, self.differences.placed
        common = self._destination(provider, credential if presented is None else presented(credential))
        return common if placed is None else placed(common, provider, credential)

    def _destination(self, provider: Provider, credential: Credential) -> Destination:
        origin, prefix = read_base_url(credential.base_url or provider.base_url)
        fixed = fixed_headers(provider)
        auth = auth_headers(provider, credential)
        said = {name for name, _ in auth}
        headers = (*auth, *(header for header in fixed if header[0] not in said))
        if b"accept-encoding" not in {name for name, _ in headers}:
            headers = (*headers, _IDENTITY)
        return Destination(
            origin=origin,
            prefix=prefix,
            headers=headers,
            names=frozenset(name for name, _ in headers),
            asks_usage=(provider.settings.stream_usage or self.stream_usage) is StreamUsage.ASK,
            via=via_of(provider),
            limit_names=limit_names(provider.settings.limit_headers) or OPENAI_NAMES,
        )

    def hides_usage(self, call: Call, destination: Destination) -> bool:
        return call.is_stream and destination.asks_usage and not call.asks_usage and call.endpoint.stream in CHUNKS

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
        if self.differences is None:
            target = _target(call, destination)
        else:
            call, headers, target = _aimed(self.differences, call, headers, destination, model)
        is_json = call.endpoint.body is _JSON_BODY and isinstance(body, bytes)  # else a form, whose type is its own
        names = destination.names | _OURS if is_json else destination.names
        return UpstreamRequest(
            method=call.endpoint.method.encode(),
            origin=destination.origin,
            target=target,
            headers=(
                *[header for header in headers if header[0] not in names],
                *(_JSON if is_json and b"content-type" not in destination.names else ()),
                *destination.headers,
                (b"x-client-request-id", call.id.encode()),
            ),
            body=ask_for_usage(body) if isinstance(body, bytes) and self.hides_usage(call, destination) else body,
            limits=limits,
            may_resend=not call.endpoint.is_creating,
            via=destination.via,
        )

    def talks_responses(self, provider: Provider) -> bool:
        talks = None if self.differences is None else self.differences.talks_responses
        return talks is None or talks(provider)

    def upgraded(self, request: UpstreamRequest) -> UpstreamRequest:
        upgraded = None if self.differences is None else self.differences.upgraded
        return request if upgraded is None else msgspec.structs.replace(request, headers=upgraded(request.headers))

    def read_error(self, body: bytes, content_type: str) -> ErrorBody:
        return errors.read_error(body, content_type)


def read_base_url(base_url: str) -> tuple[Origin, bytes]:
    """Origin and path of a normalised base URL: `https://api.openai.com/v1` → (api.openai.com:443, `/v1`)."""
    url = urlsplit(base_url)
    origin = Origin(url.scheme, url.hostname or "", url.port or _PORTS[url.scheme])
    return origin, url.path.rstrip("/").encode()


def _aimed(
    differences: Differences, call: Call, headers: Headers, destination: Destination, model: ModelName | None
) -> tuple[Call, Headers, bytes]:
    """The call and the caller's headers as they go there, and the target."""
    if differences.asked is not None:
        call, headers = differences.asked(call, headers, destination)
    target = _target(call, destination)
    return call, headers, target if differences.aimed is None else differences.aimed(target, destination, model)


def _target(call: Call, destination: Destination) -> bytes:
    target = destination.prefix + (call.path or call.endpoint.path).encode()
    return target + b"?" + call.query if call.query else target
