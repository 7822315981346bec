"""`accounts.auth_data`, opened: the credential in it, and what is wrong when there is none.

Which fields a strategy reads:

    api_key                     api_key; organization (or org_id), project (or project_id)
    header                      api_key; header (else the provider's `settings.auth_header`); organization, project
    oauth_client_credentials    client_id, client_secret or client_certificate, token_url (or tenant_id: Microsoft
                                Entra); scope, audience, client_auth (body or basic); organization, project
    none                        nothing
    all of them                 base_url: where this account's calls go, if not where the provider's do
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from gateway.core.base_url import normalised_base_url, split_url
from gateway.core.ids import Secret
from gateway.core.snapshot import AuthStrategy, ClientAuth, Credential, Grant

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110 §5.1."""
_HEADER_VALUE = re.compile(r"[\x21-\x7e\xa0-\xff]([\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?")
"""Latin-1 without control characters and without spaces around it: anything else breaks the request."""
_RESERVED_HEADERS = frozenset(
    {"connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)

ENTRA_TOKEN_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"  # noqa: S105  # an address
ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"
"""What Azure OpenAI asks for."""


class InvalidAuthData(ValueError):
    """What the field must be. Never holds a value."""


def read_credential(strategy: AuthStrategy, auth_data: object, *, has_exact_url: bool = False) -> Credential:
    """The credential that `strategy` presents. `has_exact_url`: its `base_url` is taken as it is written.

    Raises:
        InvalidAuthData: a field is missing or cannot go into a header; the message names it.
    """
    if not isinstance(auth_data, dict):
        if strategy is AuthStrategy.NONE:
            return Credential(strategy)
        raise InvalidAuthData('auth_data must be an object, e.g. {"api_key": "sk-…"}')
    base_url = _base_url(auth_data, is_exact=has_exact_url)
    if strategy is AuthStrategy.NONE:
        return Credential(strategy, base_url=base_url)
    is_grant = strategy is AuthStrategy.OAUTH_CLIENT_CREDENTIALS
    return Credential(
        strategy,
        secret=Secret("" if is_grant else _needed(auth_data, "api_key")),
        header=_header_name(auth_data) if strategy is AuthStrategy.HEADER else None,
        organization=_text(auth_data, "organization", "org_id"),
        project=_text(auth_data, "project", "project_id"),
        base_url=base_url,
        grant=_grant(auth_data) if is_grant else None,
    )


def credential_text(auth_data: object) -> str | None:
    """What makes two credentials the same: the key, and the organisation, project and address it is used for.

    None: there is no key.
    """
    if not isinstance(auth_data, dict):
        return None
    key = auth_data.get("api_key")
    if not isinstance(key, str) or not key:
        key = _client_text(auth_data)
    if key is None:
        return None
    scope = (
        auth_data.get("organization") or auth_data.get("org_id"),
        auth_data.get("project") or auth_data.get("project_id"),
    )
    address = (auth_data["base_url"],) if auth_data.get("base_url") else ()
    return "\n".join((key, *(str(part or "") for part in (*scope, *address))))


def shown_key(auth_data: object) -> str:
    """The part of a credential that people know it by: the key, or the client's id. It may be a secret."""
    if not isinstance(auth_data, dict):
        return ""
    return str(auth_data.get("api_key") or auth_data.get("client_id") or "")


def is_header_name(text: str) -> bool:
    """Whether it may name a header that we add: a token, and none that the engine writes."""
    return bool(_HEADER_NAME.fullmatch(text)) and text.lower() not in _RESERVED_HEADERS


def is_header_value(text: str) -> bool:
    return bool(_HEADER_VALUE.fullmatch(text))


def _client_text(auth_data: Mapping[str, object]) -> str | None:
    names = ("token_url", "tenant_id", "scope", "audience")
    secret = auth_data.get("client_secret") or auth_data.get("client_certificate")
    parts = [auth_data.get("client_id"), secret, *(auth_data.get(name) for name in names)]
    return "\n".join(str(part or "") for part in parts) if parts[0] and parts[1] else None


def _grant(auth_data: Mapping[str, object]) -> Grant:
    tenant = _text(auth_data, "tenant_id")
    token_url = _text(auth_data, "token_url")
    if token_url is None and tenant is None:
        raise InvalidAuthData("auth_data.token_url is missing: where tokens are fetched (or tenant_id, for Entra)")
    try:
        client_auth = ClientAuth(_text(auth_data, "client_auth") or ClientAuth.BODY)
    except ValueError as error:
        raise InvalidAuthData("auth_data.client_auth must be body or basic") from error
    certificate = _certificate(auth_data, client_auth)
    return Grant(
        token_url=_checked_token_url(token_url or ENTRA_TOKEN_URL.format(tenant=quote(tenant or "", safe=""))),
        client_id=_needed(auth_data, "client_id"),
        client_secret=Secret("" if certificate else _needed(auth_data, "client_secret")),
        scope=_text(auth_data, "scope") or (ENTRA_SCOPE if token_url is None else None),
        audience=_text(auth_data, "audience"),
        client_auth=client_auth,
        client_certificate=certificate,
    )


def _certificate(auth_data: Mapping[str, object], client_auth: ClientAuth) -> Secret | None:
    """What takes the place of the secret; None where there is no such field."""
    pem = auth_data.get("client_certificate")
    if pem is None or pem == "":
        return None
    if not isinstance(pem, str):
        raise InvalidAuthData("auth_data.client_certificate must be a string")
    if auth_data.get("client_secret"):
        raise InvalidAuthData("auth_data has both client_secret and client_certificate: give one of them")
    if client_auth is ClientAuth.BASIC:
        raise InvalidAuthData("auth_data.client_auth must be body with a client_certificate")
    from gateway.providers.assertion import read_certificate  # noqa: PLC0415  # its library is loaded for none else

    try:
        read_certificate(Secret(pem))
    except ValueError as error:
        raise InvalidAuthData(f"auth_data.client_certificate {error}") from error
    return Secret(pem)


def _checked_token_url(url: str) -> str:
    try:
        parts = split_url(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidAuthData("auth_data.token_url is not a URL") from error
    is_plain = url.isascii() and " " not in url and not parts.fragment and parts.username is None
    if parts.scheme.lower() not in {"https", "http"} or not parts.hostname or not is_plain:
        raise InvalidAuthData("auth_data.token_url must be an https:// (or http://) URL without user and password")
    return url


def _base_url(auth_data: Mapping[str, object], *, is_exact: bool) -> str | None:
    text = _text(auth_data, "base_url")
    if text is None:
        return None
    try:
        return normalised_base_url(text, is_exact=is_exact)
    except ValueError as error:
        raise InvalidAuthData(f"auth_data.base_url {error}") from error


def _needed(auth_data: Mapping[str, object], name: str) -> str:
    text = _text(auth_data, name)
    if text is None:
        raise InvalidAuthData(f"auth_data.{name} is missing: expected a non-empty string")
    return text


def _text(auth_data: Mapping[str, object], *names: str) -> str | None:
    """The first of the fields that is there; None and "" count as absent."""
    for name in names:
        value = auth_data.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise InvalidAuthData(f"auth_data.{name} must be a string")
        if not is_header_value(value):
            raise InvalidAuthData(
                f"auth_data.{name} has a space, a line end or another character around or in it that no header may hold"
            )
        return value
    return None


def _header_name(auth_data: Mapping[str, object]) -> str | None:
    name = _text(auth_data, "header")
    if name is not None and not is_header_name(name):
        raise InvalidAuthData("auth_data.header must be the name of a header, e.g. api-key")
    return name
