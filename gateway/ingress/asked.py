"""What a request asks for, by its first line and its headers: the row of its endpoint, and how its body is read."""

from collections.abc import Mapping

from gateway.core.call import BodyKind, Endpoint, Schema, StreamKind
from gateway.core.errors import EndpointNotFound, InvalidCall
from gateway.core.ids import ModelName
from gateway.wire.endpoints import allowed_methods, as_anthropics, as_head, find, other, path_values
from gateway.wire.envelope import Envelope, peek_envelope, read_envelope
from gateway.wire.paths import check_path, usual_path
from gateway.wire.query import has_flag
from gateway.wire.realtime import SOCKETS

_CHAT = StreamKind.CHAT  # bound: Python 3.11 takes as long to find a member as to call a function
OWN_METHODS = ("TRACE", "CONNECT")
"""Methods that speak to the server next to the caller: they go no further."""
USUAL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
BATCHES_FILES = frozenset({"file", "upload"})
"""What rows create of which the lines are looked into."""
ANTHROPIC_VERSION = b"anthropic-version"
JSON_TYPE = b"application/json"


def endpoint_of(method: str, path: str) -> Endpoint:
    """The row of a request, made on the spot where the table has none. `path` is below the version.

    Raises CallRefused for paths and methods that go no further.
    """
    endpoint = find(method, path)
    if endpoint is not None and (endpoint.path == path or endpoint.is_own):
        return endpoint
    if not path.strip("/"):
        raise EndpointNotFound(f"Unknown request URL: {method} /v1{path}.")
    check_path(path)
    if endpoint is not None:
        return endpoint
    if method in OWN_METHODS:
        allowed = ", ".join(methods_of(path))
        raise EndpointNotFound(
            f"Not allowed to {method} on /v1{path}: use {allowed}.", code="method_not_allowed", status=405
        )
    if path in SOCKETS:
        raise InvalidCall(
            f"/v1{path} speaks WebSocket. If you sent an upgrade, a proxy on the way has taken it out.",
            code="upgrade_required",
            status=426,
        )
    _check_spelling(method, path)
    if method == "HEAD":
        read = find("GET", path) or other("GET")
        return read if read.is_own else as_head(read)
    return other(method)


def _check_spelling(method: str, path: str) -> None:
    """Sent on, an upstream might take another spelling for the endpoint of objects, and these have owners here."""
    usual = usual_path(path)
    for spelled in (usual, usual.lower()):
        endpoint = None if spelled == path else find("GET" if method == "HEAD" else method, spelled)
        if endpoint is not None and (endpoint.is_list or endpoint.creates in BATCHES_FILES or "{" in endpoint.path):
            raise EndpointNotFound(
                f"Unknown request URL: {method} /v1{path}. Write it in lower case, without empty or encoded parts."
            )


def as_spoken(endpoint: Endpoint, headers: Mapping[bytes, bytes]) -> Endpoint:
    """The row in the form that its caller speaks: at paths that both APIs have, a header tells Anthropic's callers."""
    if endpoint.stream is _CHAT or endpoint.is_own or ANTHROPIC_VERSION not in headers:
        return endpoint
    return endpoint if endpoint.schema is Schema.ANTHROPIC else as_anthropics(endpoint)


def methods_of(path: str) -> tuple[str, ...]:
    """Those that the table has for `path`; the usual ones where it has none. For a 405's `Allow`."""
    return allowed_methods(path) or USUAL_METHODS


def is_upload(endpoint: Endpoint, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body comes that is neither JSON nor short by nature."""
    if endpoint.body in {BodyKind.JSON, BodyKind.NONE} or _is_json(headers):
        return False
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def envelope_of(endpoint: Endpoint, headers: Mapping[bytes, bytes], path: str, query: bytes, body: bytes) -> Envelope:
    """What a request says whose body need not be JSON."""
    if body and endpoint.body is not BodyKind.NONE and _is_json(headers):
        return read_envelope(body, endpoint) if endpoint.path else peek_envelope(body)
    named = path_values(endpoint, path).get("model")
    is_stream = endpoint.stream is not StreamKind.NONE and has_flag(query, b"stream")
    return Envelope(model=ModelName(named) if named else None, is_stream=is_stream)


def _is_json(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-type", b"").lower().startswith(JSON_TYPE)
