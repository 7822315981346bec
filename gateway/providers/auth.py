"""How we present ourselves: credential → headers, and the headers that a provider's row fixes."""

import re
from typing import Final

from gateway.core.snapshot import AuthStrategy, Credential, Provider
from gateway.providers.base import Headers

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110 §5.6.2."""
_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
"""Printable ASCII: whatever else a key holds was pasted along with it, and could end the header."""

_FRAMING: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade"})


def auth_headers(provider: Provider, credential: Credential) -> Headers:
    """The headers that say who calls. Raises `ValueError`, which holds no secret, when `credential_problem` has one."""
    problem = credential_problem(provider, credential)
    if problem is not None:
        raise ValueError(problem)
    secret = credential.secret.reveal().encode()
    headers: list[tuple[bytes, bytes]] = []
    if credential.strategy is AuthStrategy.HEADER:
        headers.append((_header_name(provider, credential).lower().encode(), secret))
    elif credential.strategy is not AuthStrategy.NONE:
        headers.append((b"authorization", b"Bearer " + secret))
    if credential.organization:
        headers.append((b"openai-organization", credential.organization.encode()))
    if credential.project:
        headers.append((b"openai-project", credential.project.encode()))
    return tuple(headers)


def credential_problem(provider: Provider, credential: Credential) -> str | None:
    """Why a credential cannot be presented, in words that hold nothing of it; None when it can.

    A token that is still to be fetched is no problem: it is not there yet.
    """
    if credential.strategy is AuthStrategy.API_KEY or credential.strategy is AuthStrategy.HEADER:
        if not credential.secret:
            return "auth_data.api_key is empty"
        if not _VALUE.fullmatch(credential.secret.reveal()):
            return (
                "auth_data.api_key holds characters that no header can carry (spaces around it, line ends, non-ASCII)"
            )
    if credential.strategy is AuthStrategy.HEADER and not _NAME.fullmatch(_header_name(provider, credential)):
        return "auth_data.header is not the name of a header"
    for field, value in (("organization", credential.organization), ("project", credential.project)):
        if value and not _VALUE.fullmatch(value):
            return f"auth_data.{field} holds characters that no header can carry"
    return None


def fixed_headers(provider: Provider) -> Headers:
    """`settings.headers`. Raises `ValueError` when `headers_problem` has one."""
    problem = headers_problem(provider)
    if problem is not None:
        raise ValueError(problem)
    return tuple((name.lower().encode(), value.encode()) for name, value in provider.settings.headers.items())


def headers_problem(provider: Provider) -> str | None:
    """Why `settings.headers` cannot be sent; None when they can. Values may be secrets: only names are told."""
    for name, value in provider.settings.headers.items():
        if not _NAME.fullmatch(name):
            return f"settings.headers: {name!r} is not the name of a header"
        if name.lower() in _FRAMING:
            return f"settings.headers: {name!r} is written by the gateway itself"
        if not _VALUE.fullmatch(value):
            return f"settings.headers: the value of {name!r} holds characters that no header can carry, or nothing"
    return None


def _header_name(provider: Provider, credential: Credential) -> str:
    return credential.header or provider.settings.auth_header
