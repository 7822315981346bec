"""A provider's key that the caller brought (BYOK): the bearer token beside `x-provider`, unless it is one of ours.

SDKs of vendors that have a header of their own for keys are heard too: `x-api-key` (Anthropic), `api-key` (Azure).
"""

from collections.abc import Mapping

from gateway.core.ids import Secret
from gateway.ingress.caller import BEARER
from gateway.relay.own_keys import OwnKey

KEY_HEADERS = (b"x-api-key", b"api-key")
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


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return value.decode("latin-1") if value else None
