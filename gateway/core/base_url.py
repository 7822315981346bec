"""`providers.base_url` as people write it → one spelling, with the version in its path."""

import re
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

_VERSION = re.compile(r"v\d+(\.\d+)?([a-z]+\d*)?")
"""`v1`, `v1beta`, `v4`, `v1.1`: a path with such a segment says its version itself."""
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def normalised_base_url(text: str, *, is_exact: bool = False) -> str:
    """Scheme, host, port (unless the scheme's own) and path; no slash at the end; `/v1` added where no version stands.

    `https://api.openai.com` and `https://api.openai.com/v1/` become the same; `https://x/v1beta/openai` stays;
    `https://x/openai` becomes `https://x/openai/v1`. `is_exact`: no version is added.

    Raises:
        ValueError: the message says what is wrong and never holds the text, which may have a password in it.
    """
    text = text.strip()
    if not text.isascii() or any(char <= " " or char == "\x7f" for char in text):
        raise ValueError("must be ASCII without spaces and control characters (write other hosts in punycode)")
    parts = split_url(text)
    scheme, path = parts.scheme.lower(), parts.path.rstrip("/")
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("must begin with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must have no user and password in it: credentials belong to accounts.auth_data")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("must have no query and no fragment")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError("has a path that is not a plain one")
    if not is_exact and not any(_VERSION.fullmatch(segment.lower()) for segment in path.split("/")):
        path += "/v1"
    return f"{scheme}://{authority_of(parts)}{path}"


def split_url(text: str) -> SplitResult:
    """Raises ValueError, whose message does not hold the text."""
    try:
        return urlsplit(text)
    except ValueError as error:
        raise ValueError("is not a URL") from error


def authority_of(parts: SplitResult) -> str:
    """Host and port in one spelling, without the scheme's own port. Raises ValueError, as above."""
    host = (parts.hostname or "").lower()
    if ":" in host or "[" in parts.netloc:
        try:
            host = f"[{IPv6Address(host).compressed}]"
        except ValueError as error:
            raise ValueError("has a host that is not an IPv6 address") from error
    elif not _HOST.fullmatch(host) or ".." in host:
        raise ValueError("must name a host")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("has a port that is not between 1 and 65535") from error
    if port == 0:
        raise ValueError("has a port that is not between 1 and 65535")
    return host if port is None or port == _DEFAULT_PORTS.get(parts.scheme.lower()) else f"{host}:{port}"
