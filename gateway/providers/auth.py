"""How we present ourselves: credential → headers, and the headers that a provider's row fixes.

Rows are checked where they are read (`store`). What stands here again is the last guard: no text, from wherever it
came, ends a header and begins another.
"""

import re
from typing import Final

from gateway.core.snapshot import AuthStrategy, Credential, Provider
from gateway.providers.base import Headers

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110 §5.6.2."""
_VALUE: Final = re.compile(r"[\x21-\x7e\xa0-\xff]([\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?")
"""Latin-1 without control characters, not empty, no space around it (RFC 9110 §5.5)."""


def auth_headers(provider: Provider, credential: Credential) -> Headers:
    """The headers that say who calls. Raises `ValueError` for what no header can carry; it names the field alone."""
    headers: list[tuple[bytes, bytes]] = []
    if credential.strategy is AuthStrategy.HEADER:
        name = _name("auth_data.header", credential.header or provider.settings.auth_header)
        headers.append((name, header_value("auth_data.api_key", credential.secret.reveal())))
    elif credential.strategy is AuthStrategy.OAUTH_CLIENT_CREDENTIALS:
        if credential.secret:  # else the first token is yet to be fetched, and nothing is sent before
            headers.append((b"authorization", b"Bearer " + header_value("access_token", credential.secret.reveal())))
    elif credential.strategy is not AuthStrategy.NONE:
        headers.append((b"authorization", b"Bearer " + header_value("auth_data.api_key", credential.secret.reveal())))
    if credential.organization:
        headers.append((b"openai-organization", header_value("auth_data.organization", credential.organization)))
    if credential.project:
        headers.append((b"openai-project", header_value("auth_data.project", credential.project)))
    return tuple(headers)


def fixed_headers(provider: Provider) -> Headers:
    """`settings.headers`. Raises `ValueError` for what no header can carry; it names the field alone."""
    return tuple(
        (_name("settings.headers", name), header_value(f"settings.headers[{name}]", value))
        for name, value in provider.settings.headers.items()
    )


def _name(field: str, text: str) -> bytes:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{field} holds what is not the name of a header")
    return text.lower().encode()


def header_value(field: str, text: str) -> bytes:
    """Raises `ValueError`, which names the field alone."""
    if not _VALUE.fullmatch(text):
        raise ValueError(f"{field} is empty or holds a character that no header can carry")
    return text.encode("latin-1")
