"""`settings.proxy` of a provider: whether it can be used, and how people may see it."""

from urllib.parse import urlsplit

from gateway.core.base_url import authority_of, split_url

_SCHEMES = ("http", "https")
HIDDEN = "***"


def checked_proxy_url(text: str) -> str:
    """`http://[user:password@]host[:port]`, or https; the text itself when it is one.

    Raises:
        ValueError: the message says what is wrong and never holds the text, which may have a password in it.
    """
    if not text.isascii() or any(char <= " " or char == "\x7f" for char in text):
        raise ValueError("must be ASCII without spaces and control characters (percent-encode them in a password)")
    parts = split_url(text)
    if parts.scheme.lower() not in _SCHEMES:
        raise ValueError("must begin with http:// or https://")
    if HIDDEN in (parts.username, parts.password):
        raise ValueError(f"has {HIDDEN} in place of its password: give it whole")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("must have no path, query or fragment (percent-encode / ? # in a password)")
    authority_of(parts)
    return text


def shown_proxy_url(text: str) -> str:
    """For people: `http://***@proxy.example:3128`; of one that cannot be used nothing is shown."""
    try:
        parts = urlsplit(checked_proxy_url(text))
    except ValueError:
        return HIDDEN
    user, at, address = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{HIDDEN if user else ''}{at}{address}"
