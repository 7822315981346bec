"""OAuth 2.0 client credentials (RFC 6749 §4.4), pure: the request that buys an access token, and what its answer says.

Rules of this file: no text that is made here holds the client's secret, whatever the token endpoint repeats.
"""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from gateway.core.hints import named_delay
from gateway.core.ids import Secret
from gateway.core.masking import masked_identifiers
from gateway.core.outcome import Fault, Outcome, OutcomeKind
from gateway.core.snapshot import ClientAuth, Grant, Provider
from gateway.providers.base import Limits, Origin, UpstreamRequest, Via

LIMITS: Final = Limits(connect_s=5.0, headers_s=10.0, stall_s=5.0)
MAX_ANSWER_BYTES: Final = 256 * 1024
UNSAID_LIFETIME_S: Final = 300.0
"""Of a token whose answer names no `expires_in`, which RFC 6749 §5.1 only recommends."""
LONGEST_LIFETIME_S: Final = 86_400.0
_LONGEST_MESSAGE: Final = 300
_PORTS: Final = {"https": 443, "http": 80}

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
"""A JWT: what proved who asked lasts for minutes."""
REFUSALS: Final = frozenset(
    {
        *("invalid_client", "unauthorized_client", "invalid_grant", "invalid_scope", "invalid_request"),
        *("unsupported_grant_type", "access_denied", "invalid_target", "invalid_resource"),
    }
)
"""Errors of RFC 6749 §5.2, RFC 8707 and Entra that asking again does not mend: the credential is at fault."""


class AccessToken(msgspec.Struct, frozen=True):
    """What a token endpoint sold, or another process bought."""

    secret: Secret
    lifetime_s: float
    """From now on."""


class _Answer(msgspec.Struct, gc=False):
    access_token: str | None = None
    expires_in: Any = None
    error: Any = None
    error_description: Any = None


_decode: Final = msgspec.json.Decoder(_Answer, strict=False).decode


def via_for_tokens(provider: Provider) -> Via:
    """Token endpoints are asked by httpx2: they are strangers, asked now and then. By the provider's proxy, if any."""
    proxy = provider.settings.proxy
    return Via(None if proxy is None else Secret(proxy), keep_alive_s=5.0, max_idle=8)


def token_request(grant: Grant, via: Via, assertion: Secret | None = None) -> UpstreamRequest:
    """The request that buys a token for `grant`, whose `token_url` was checked when its row was read.

    `assertion`: what was signed in place of a secret (`providers/assertion`).
    """
    url = urlsplit(grant.token_url)
    fields = {"grant_type": "client_credentials"}
    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
    if assertion is not None:
        fields |= {"client_id": grant.client_id, "client_assertion_type": ASSERTION_TYPE}
        fields["client_assertion"] = assertion.reveal()
    elif grant.client_auth is ClientAuth.BASIC:
        pair = f"{quote_plus(grant.client_id)}:{quote_plus(grant.client_secret.reveal())}"  # RFC 6749 §2.3.1
        headers.append((b"authorization", b"Basic " + base64.b64encode(pair.encode())))
    else:
        fields |= {"client_id": grant.client_id, "client_secret": grant.client_secret.reveal()}
    fields |= {name: value for name, value in (("scope", grant.scope), ("audience", grant.audience)) if value}
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return UpstreamRequest(
        method=b"POST",
        origin=Origin(url.scheme, url.hostname or "", url.port or _PORTS[url.scheme]),
        target=target.encode(),
        headers=(*headers, (b"accept-encoding", b"identity")),
        body=urlencode(fields).encode(),
        limits=LIMITS,
        via=via,
    )


def read_token(
    status: int, headers: Mapping[bytes, bytes], body: bytes, grant: Grant, *, wall_now: datetime
) -> AccessToken | Outcome:
    """The token, or what it means for the account that there is none."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = _Answer()
    if 200 <= status < 300 and answer.access_token and _fits_a_header(answer.access_token):
        return AccessToken(Secret(answer.access_token), _lifetime_s(answer.expires_in))
    code = answer.error if isinstance(answer.error, str) else None
    is_refused = code in REFUSALS or status in {401, 403}
    said = answer.error_description if isinstance(answer.error_description, str) else ""
    return Outcome(
        OutcomeKind.CREDENTIAL_REJECTED if is_refused else OutcomeKind.NO_TOKEN,
        status,
        code=None if code is None else _harmless(code, grant)[:100],
        message=_harmless(f"the token endpoint answered {status}: {code or 'no token'} {said}".strip(), grant),
        retry_after_s=None if is_refused else named_delay(headers, "", wall_now=wall_now),
        is_definite_refusal=True,  # of the call, which nobody was asked to serve
    )


def no_answer(fault: Fault) -> Outcome:
    """What it means for the account that its token endpoint could not be asked."""
    detail = f"the token endpoint gave no answer: {masked_identifiers(fault.detail)}"[:_LONGEST_MESSAGE]
    return Outcome(OutcomeKind.NO_TOKEN, message=detail, is_definite_refusal=True)


def _lifetime_s(told: object) -> float:
    """`expires_in` is a number, or a text with one in it."""
    try:
        seconds = float(told) if isinstance(told, (int, float, str)) and not isinstance(told, bool) else 0.0
    except ValueError:
        seconds = 0.0
    return min(seconds, LONGEST_LIFETIME_S) if seconds > 0 else UNSAID_LIFETIME_S


def _fits_a_header(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _harmless(text: str, grant: Grant) -> str:
    secret = grant.client_secret.reveal()
    for form in {secret, quote_plus(secret)} if secret else ():
        text = text.replace(form, "***")
    text = _ASSERTION.sub("***", text)
    return " ".join(masked_identifiers(text).split())[:_LONGEST_MESSAGE]
