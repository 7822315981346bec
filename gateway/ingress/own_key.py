"""A provider's key that the caller brought (BYOK): the bearer token beside `x-provider`, unless it is one of ours.

SDKs of vendors that have a header of their own for keys are heard too: `x-api-key` (Anthropic), `api-key` (Azure).
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.call import Call, Schema
from gateway.core.errors import NotAllowed
from gateway.core.ids import ModelName, Secret
from gateway.core.snapshot import ClientKey
from gateway.ingress.caller import BEARER, check_model
from gateway.relay.batch_uploads import is_begun
from gateway.relay.own_keys import OwnKey
from gateway.wire.message_ids import read_batch_models
from gateway.wire.references import NAMED_ONCE

KEY_HEADERS = (b"x-api-key", b"api-key")
BATCH = "message_batch"
OURS = b"gw-"
"""How client keys begin: never sent to a provider, whatever else is wrong with them."""


def own_key_in(headers: Mapping[bytes, bytes]) -> OwnKey | None:
    """None: the call is served by the gateway's accounts."""
    if b"x-provider" not in headers:
        return None
    bearer = headers.get(b"authorization", b"")
    tokens = (
        bearer[len(BEARER) :] if bearer[: len(BEARER)].lower() == BEARER else b"",
        *(headers.get(name, b"") for name in KEY_HEADERS),
    )
    token = next((token for token in map(bytes.strip, tokens) if token and not token.lower().startswith(OURS)), None)
    if token is None:
        return None
    return OwnKey(
        Secret(token.decode("latin-1")),
        organization=_text(headers, b"openai-organization"),
        project=_text(headers, b"openai-project"),
    )


def batch_models(call: Call, fields: Mapping[str, Any]) -> tuple[ModelName, ...]:
    """Those that the calls of a batch of messages ask for; none for any other call."""
    return read_batch_models(fields) if call.endpoint.schema is Schema.ANTHROPIC else ()


def check_lines(key: ClientKey | None, call: Call, fields: Mapping[str, Any], body: bytes) -> None:
    """Raises NotAllowed for a batch with models that the client key beside the provider's may not use.

    And InvalidCall for one of which servers may read different models.

    Nothing is kept of such a caller's calls, so of a file in parts nobody could say what it names.
    """
    if key is None or not key.models:
        return
    if call.endpoint.creates == BATCH:
        NAMED_ONCE.check(body)
    for model in batch_models(call, fields):
        check_model(key, model)
    if call.endpoint.path == "/uploads" and is_begun(fields):
        raise NotAllowed(
            "This client key may use some models alone, and the lines of a file in parts are not looked into where the "
            "provider's key is your own. Send it whole: POST /v1/files.",
            param="purpose",
            code="model_not_allowed",
        )


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return value.decode("latin-1") if value else None
