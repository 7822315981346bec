"""Azure OpenAI: OpenAI's wire format at other paths, the key in a header of its own, models under names of deployments.

    settings.api_version    a call of /v1/chat/completions goes to
    None                    /openai/v1/chat/completions
    preview                 /openai/v1/chat/completions?api-version=preview
    2024-10-21              /openai/deployments/<deployment>/chat/completions?api-version=2024-10-21

Dated paths have the deployment in them for the endpoints in `OF_DEPLOYMENTS`; all others are `/openai/<path>`.
"""

import re
from typing import Final
from urllib.parse import quote

import msgspec

from gateway.core.ids import ModelName
from gateway.core.snapshot import AuthStrategy, Credential, Provider, StreamUsage, Validation
from gateway.providers.base import Destination, Headers, destination_like
from gateway.providers.openai_compatible import Differences, OpenAICompatible, read_base_url

OF_DEPLOYMENTS: Final = frozenset(
    {
        *("/completions", "/chat/completions", "/embeddings"),
        *("/audio/transcriptions", "/audio/translations", "/audio/speech"),
        *("/images/generations", "/images/edits"),
    }
)
"""The paths that OpenAI's own SDK rewrites to `/deployments/{model}` (reference §4.4)."""
KEY_HEADER: Final = "api-key"
_REALTIME: Final = b"/realtime"
_DATED: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_USAGE_SINCE: Final = "2024-09"
"""Dated versions before it refuse `stream_options`."""


class AzureDestination(Destination, frozen=True):
    """`prefix` ends in `/openai` on dated paths, else in `/openai/v1`."""

    version: bytes = b""
    """`api-version=…`; empty: none is sent."""
    is_dated: bool = False


def _presented(credential: Credential) -> Credential:
    """A key goes into the header `api-key`, whichever of the strategies `api_key` and `header` the row has."""
    if credential.strategy is not AuthStrategy.API_KEY:
        return credential
    return msgspec.structs.replace(credential, strategy=AuthStrategy.HEADER, header=KEY_HEADER)


def _placed(common: Destination, provider: Provider, credential: Credential) -> AzureDestination:
    settings = provider.settings
    version = settings.api_version or ""
    is_dated = bool(_DATED.match(version))
    is_asked = not is_dated or version[: len(_USAGE_SINCE)] >= _USAGE_SINCE
    _, path = read_base_url(credential.base_url or provider.base_url)
    return destination_like(
        common,
        AzureDestination,
        prefix=_root(path) + (b"/openai" if is_dated else b"/openai/v1"),
        asks_usage=common.asks_usage and (is_asked or settings.stream_usage is StreamUsage.ASK),
        lists_models=False,  # it lists what could be deployed, not what is
        version=b"api-version=" + version.encode() if version else b"",
        is_dated=is_dated,
    )


def _root(path: bytes) -> bytes:
    """What stands before `/openai`: a base URL may be the resource's, or any address below it that people paste."""
    root, slash, _ = (path + b"/").partition(b"/openai/")
    return root if slash else path.removesuffix(b"/v1")


def _aimed(target: bytes, destination: Destination, model: ModelName | None) -> bytes:
    """`target` as OpenAI's paths have it → with the deployment and the version; a version of the caller's stays."""
    if not isinstance(destination, AzureDestination) or not destination.version:
        return target
    path, _, query = target.partition(b"?")
    below = path[len(destination.prefix) :]
    if destination.is_dated and model and below.decode("latin-1") in OF_DEPLOYMENTS:
        path = destination.prefix + b"/deployments/" + quote(model, safe="").encode() + below
    if destination.is_dated and below == _REALTIME:
        query = b"&".join(_as_deployment(part) for part in query.split(b"&"))
    if any(part.startswith(b"api-version=") for part in query.split(b"&")):
        return path + b"?" + query
    return path + b"?" + (query + b"&" if query else b"") + destination.version


def _as_deployment(part: bytes) -> bytes:
    """`model=x` of a query, as dated realtime sessions call it."""
    return b"deployment=" + part[len(b"model=") :] if part.startswith(b"model=") else part


def _talks_responses(provider: Provider) -> bool:
    """At `/openai/v1/responses` alone (Microsoft's "Use the Responses API in WebSocket mode")."""
    return not _DATED.match(provider.settings.api_version or "")


def _upgraded(headers: Headers) -> Headers:
    """There a key is a bearer token, by the same page."""
    key = KEY_HEADER.encode()
    return tuple((b"authorization", b"Bearer " + value) if name == key else (name, value) for name, value in headers)


AZURE_OPENAI: Final = OpenAICompatible(
    "azure_openai",
    StreamUsage.ASK,
    Validation.RANGES,
    differences=Differences(
        presented=_presented, placed=_placed, aimed=_aimed, talks_responses=_talks_responses, upgraded=_upgraded
    ),
)
"""OpenAI's wire format as Azure serves it."""
