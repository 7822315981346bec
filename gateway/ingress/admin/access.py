"""Who may administer: the token wherever one is set, else loopback alone.

Rules of this file: without a token the listening address, the peer, the `Host` (a foreign name on 127.0.0.1 is DNS
rebinding) and the `Origin` (a browser on somebody else's page) must all say that the request was made on this machine.
"""

import base64
import binascii
import hmac
from ipaddress import ip_address
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from gateway.core.ids import Secret
from gateway.ingress.admin.problems import Refusal

Connection = ASGIConnection[Any, Any, Any, Any]

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Headers that a reverse proxy adds: then the peer is the proxy, and who asks is unknown."""


def admin_guard(token: Secret | None, *, is_loopback: bool) -> Guard:
    """For the admin API: `Authorization: Bearer <token>`."""

    def guard(connection: Connection, _: BaseRouteHandler) -> None:
        if token:
            _check_token(connection, token, is_page=False)
        else:
            _check_local(connection, is_loopback=is_loopback)

    return guard


def let_in(_connection: Connection, _handler: BaseRouteHandler) -> None:
    """The guard of what is open to all."""


def page_guard(token: Secret | None, *, is_loopback: bool) -> Guard:
    """For pages that only read: a browser may also send the token as the password of HTTP Basic, with any user name."""

    def guard(connection: Connection, _: BaseRouteHandler) -> None:
        if token:
            _check_token(connection, token, is_page=True)
        else:
            _check_local(connection, is_loopback=is_loopback)

    return guard


def _check_token(connection: Connection, token: Secret, *, is_page: bool) -> None:
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    presented = value.strip() if scheme.lower() == "bearer" else ""
    if is_page and scheme.lower() == "basic":
        presented = _password(value.strip())
    if not hmac.compare_digest(presented.encode(), token.reveal().encode()):
        challenge = 'Basic realm="gateway", charset="UTF-8"' if is_page else 'Bearer realm="gateway"'
        raise Refusal(
            401,
            "unauthenticated",
            "Send the admin token: `Authorization: Bearer $GATEWAY_ADMIN_TOKEN`.",
            headers={"www-authenticate": challenge},
        )


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _check_local(connection: Connection, *, is_loopback: bool) -> None:
    if not is_loopback or not _is_loopback_peer(connection) or any(name in connection.headers for name in _FORWARDED):
        raise Refusal(
            403, "not_allowed", "Without an admin token this is open on loopback alone: set GATEWAY_ADMIN_TOKEN."
        )
    host = connection.headers.get("host", "")
    if not _is_loopback_name(_host_name(host)):
        raise Refusal(403, "not_allowed", "Without an admin token the Host must be 127.0.0.1, [::1] or localhost.")
    origin = connection.headers.get("origin")
    if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
        raise Refusal(403, "not_allowed", "Without an admin token no page of another origin may ask.")


def _is_loopback_peer(connection: Connection) -> bool:
    return connection.client is not None and _is_loopback_name(connection.client.host)


def _host_name(host: str) -> str:
    """`[::1]:8080` → `::1`; `localhost:8080` → `localhost`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback_name(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
