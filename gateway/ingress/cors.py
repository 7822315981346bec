"""Browsers from other origins: let in only where the operator names them (`cors_origins`)."""

from collections.abc import Mapping

import msgspec

from gateway.providers.base import Headers

_METHODS = b"GET, POST, DELETE, PUT, PATCH, OPTIONS"
_EXPOSED = b"x-request-id, x-gateway-provider, x-gateway-account, x-gateway-attempts, retry-after, retry-after-ms"


class Cors(msgspec.Struct, frozen=True):
    """Which origins may read answers. Empty: none."""

    origins: frozenset[str] = frozenset()
    """`https://app.example.com`, or `*` for any."""

    def answer_headers(self, request: Mapping[bytes, bytes]) -> Headers:
        """What lets the browser that sent `request` read the answer; nothing for other callers."""
        origin = request.get(b"origin")
        if origin is None or not self.allows(origin):
            return ()
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        )

    def preflight_headers(self, request: Mapping[bytes, bytes]) -> Headers | None:
        """The answer to a preflight; None when `request` is none, or its origin is not let in."""
        origin = request.get(b"origin")
        asked = request.get(b"access-control-request-method")
        if origin is None or asked is None or not self.allows(origin):
            return None
        return (
            *self.answer_headers(request),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", request.get(b"access-control-request-headers", b"*")),
            (b"access-control-max-age", b"600"),
        )

    def allows(self, origin: bytes) -> bool:
        return "*" in self.origins or origin.decode("latin-1") in self.origins
