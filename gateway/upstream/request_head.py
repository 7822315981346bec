"""The bytes of a request's head, and the checks that keep one request from becoming two.

Header values come from callers (filtered) and from rows of the database; CR, LF or NUL in one of them is a bug of ours
and raises before any connection is touched.
"""

from gateway.providers.base import Origin, UpstreamRequest, size_of

_DEFAULT_PORTS = {"http": 80, "https": 443}
_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
"""Methods whose empty body is announced too (RFC 9110 §8.6)."""


def host_of(origin: Origin) -> bytes:
    """The value of `host`: IPv6 in brackets, the port only where it is not the scheme's own."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    is_default = _DEFAULT_PORTS.get(origin.scheme) == origin.port
    return _ascii(host) + (b"" if is_default else b":%d" % origin.port)


def first_line_end(origin: Origin) -> bytes:
    """What follows the target on the wire for every request to `origin`; made once for each pool."""
    return b" HTTP/1.1\r\nhost: " + host_of(origin)


def write_head(request: UpstreamRequest, line_end: bytes) -> bytes:
    """The head with its empty line. `line_end` is `first_line_end` of the origin. Raises ValueError, see above."""
    size = size_of(request.body)
    if size or request.method in _WITH_BODY:
        tail = b"\r\ncontent-length: %d\r\n\r\n" % size
        added = 4
    else:
        tail = b"\r\n\r\n"
        added = 3
    pairs = request.headers
    if pairs:
        fields = b"\r\n".join([name + b": " + value for name, value in pairs])
        head = b"".join((request.method, b" ", request.target, line_end, b"\r\n", fields, tail))
    else:
        head = b"".join((request.method, b" ", request.target, line_end, tail))
    lines = len(pairs) + added
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head or b" " in request.target:
        raise ValueError("a header or the target of an upstream request holds CR, LF, NUL or a space")
    return head


def check_request(request: UpstreamRequest) -> None:
    """The same checks for an engine that writes the head itself. Raises ValueError."""
    write_head(request, b" HTTP/1.1\r\nhost: x")


def _ascii(host: str) -> bytes:
    try:
        return host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError:
        return b"invalid"  # never sent: no resolver finds such a host, and connecting says so
