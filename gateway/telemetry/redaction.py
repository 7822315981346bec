"""Takes whatever looks like a credential out of text and values. The last line of defence, not the first.

Rules of this file: a pattern may hide a harmless word, it must not let a known credential through; numbers stay.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from uuid import UUID

from gateway.core.ids import Secret

HIDDEN = "***"
MAX_TEXT = 2_000
"""Characters of one field; a traceback may have `MAX_TRACEBACK`."""
MAX_TRACEBACK = 16_000
_MAX_DEPTH = 4
_MAX_ITEMS = 100

_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|gw|pk|rk|xai|gsk|pplx|nvapi|hf|r8|fw|csk|ghp|glpat|sess)[-_][\w\-]{6,}"  # vendors' prefixes, ours: gw-
    r"|AIza[\w\-]{20,}"  # Google
    r"|AKIA[0-9A-Z]{12,}"  # AWS access key ids
    r"|ya29\.[\w\-.]{10,}"  # Google OAuth
    r"|eyJ[\w\-]{8,}\.[\w\-]{4,}(?:\.[\w\-]*)?"  # JWT
    r")"
)
_PRIVATE_KEYS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END|\Z)", re.DOTALL)
_SCHEMES = re.compile(r"\b(bearer|basic)(\s+|%20)[^\s'\",;]+", re.IGNORECASE)
_URL_PASSWORDS = re.compile(r"(://[^\s/:@'\"]*):[^\s/@'\"]+@")
_NAMED = re.compile(
    r"\b([\w\-]*(?:api[-_]?key|authorization|password|passwd|passphrase|secret|credential|cookie|access_token|"
    r"refresh_token|id_token|admin_token)s?[\"']?\s*[:=]\s*(?:Secret\()?)(\"[^\"]*\"|'[^']*'|[^\s,;&)}\]]+)",
    re.IGNORECASE,
)

_ROWS = re.compile(r"(\[parameters: |Failing row contains |\bKey \([^)]*\)=)[^\n]*")
"""Where SQLAlchemy and Postgres quote whole rows."""

_HIDDEN_FIELDS = frozenset(
    {
        *("api_key", "apikey", "key", "token", "access_token", "refresh_token", "admin_token", "client_secret"),
        "client_certificate",
        *("secret", "password", "auth_data", "credential", "authorization", "cookie", "set_cookie", "headers"),
        *("body", "messages", "prompt", "input", "content", "answer"),
    }
)
"""Fields that are never shown, whatever they hold."""


def redacted(text: str) -> str:
    """`text` without anything that looks like a credential."""
    text = _ROWS.sub(rf"\g<1>{HIDDEN}", text)
    text = _URL_PASSWORDS.sub(rf"\1:{HIDDEN}@", text)
    text = _SCHEMES.sub(rf"\1 {HIDDEN}", text)
    text = _NAMED.sub(rf"\g<1>{HIDDEN}", text)
    text = _PRIVATE_KEYS.sub(HIDDEN, text)
    return _TOKENS.sub(HIDDEN, text)


def harmless(value: object, *, max_text: int = MAX_TEXT, depth: int = 0) -> object:
    """`value` as JSON-ready builtins, credentials taken out, long text cut; unknown types by their redacted `repr`."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth < _MAX_DEPTH:
        return _harmless_items(value, max_text, depth + 1)
    return _cut(redacted(_text_of(value)), max_text)


def _text_of(value: object) -> str:
    match value:
        case Enum():
            return str(value.value)
        case datetime():
            return value.isoformat()
        case str() | UUID() | PurePath():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"  # bytes are bodies or headers more often than not
        case Secret():
            return HIDDEN
        case _:
            return repr(value)


def harmless_field(name: str, value: object, *, max_text: int = MAX_TEXT) -> object:
    """`harmless`, and nothing at all of a field whose name says that it holds a secret or a body."""
    if name.lower().replace("-", "_") in _HIDDEN_FIELDS:
        return HIDDEN
    return harmless(value, max_text=max_text)


def _harmless_items(
    value: Mapping[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object],
    max_text: int,
    depth: int,
) -> object:
    if isinstance(value, Mapping):
        return {
            redacted(str(name)): HIDDEN
            if str(name).lower() in _HIDDEN_FIELDS
            else harmless(item, max_text=max_text, depth=depth)
            for name, item in list(value.items())[:_MAX_ITEMS]
        }
    return [harmless(item, max_text=max_text, depth=depth) for item in list(value)[:_MAX_ITEMS]]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more)"
