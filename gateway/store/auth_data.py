"""`accounts.auth_data`, opened: the credential in it, and what is wrong when there is none.

Which fields a strategy reads:

    api_key   api_key; organization (or org_id), project (or project_id)
    header    api_key; header (else the provider's `settings.auth_header`); organization, project as above
    none      nothing
"""

import re
from collections.abc import Mapping

from gateway.core.ids import Secret
from gateway.core.snapshot import AuthStrategy, Credential

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110 §5.1."""
_HEADER_VALUE = re.compile(r"[\x21-\x7e\xa0-\xff]([\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?")
"""Latin-1 without control characters and without spaces around it: anything else breaks the request."""
_RESERVED_HEADERS = frozenset(
    {"connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)


class InvalidAuthData(ValueError):
    """What the field must be. Never holds a value."""


def read_credential(strategy: AuthStrategy, auth_data: object) -> Credential:
    """The credential that `strategy` presents.

    Raises:
        InvalidAuthData: a field is missing or cannot go into a header; the message names it.
    """
    if strategy is AuthStrategy.NONE:
        return Credential(strategy)
    if strategy is AuthStrategy.OAUTH_CLIENT_CREDENTIALS:
        raise InvalidAuthData("the auth_strategy oauth_client_credentials is not served yet by this release")
    if not isinstance(auth_data, dict):
        raise InvalidAuthData('auth_data must be an object, e.g. {"api_key": "sk-…"}')
    secret = _text(auth_data, "api_key")
    if secret is None:
        raise InvalidAuthData("auth_data.api_key is missing: expected a non-empty string")
    return Credential(
        strategy,
        secret=Secret(secret),
        header=_header_name(auth_data) if strategy is AuthStrategy.HEADER else None,
        organization=_text(auth_data, "organization", "org_id"),
        project=_text(auth_data, "project", "project_id"),
    )


def credential_text(auth_data: object) -> str | None:
    """What makes two credentials the same: the key, and the organisation and project it is used for. None: no key."""
    if not isinstance(auth_data, dict) or not isinstance(key := auth_data.get("api_key"), str) or not key:
        return None
    scope = (
        auth_data.get("organization") or auth_data.get("org_id"),
        auth_data.get("project") or auth_data.get("project_id"),
    )
    return "\n".join((key, *(str(part or "") for part in scope)))


def is_header_name(text: str) -> bool:
    """Whether it may name a header that we add: a token, and none that the engine writes."""
    return bool(_HEADER_NAME.fullmatch(text)) and text.lower() not in _RESERVED_HEADERS


def is_header_value(text: str) -> bool:
    return bool(_HEADER_VALUE.fullmatch(text))


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
