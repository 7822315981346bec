"""Browsers from other origins: let in only where the operator names them (`cors_origins`)."""

from collections.abc import Mapping

import msgspec

from gateway.core.errors import NotAllowed
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
        """The answer to a preflight; None when `request` is none. Raises NotAllowed when its origin is not let in."""
        origin = request.get(b"origin")
        if origin is None or b"access-control-request-method" not in request:
            return None
        if not self.allows(origin):
            raise NotAllowed(
                "Pages of this origin may not call here. Operator: name it in `cors_origins`.",
                param="origin",
                code="origin_not_allowed",
            )
        return (
            *self.answer_headers(request),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", request.get(b"access-control-request-headers", b"*")),
            (b"access-control-max-age", b"600"),
        )

    def allows(self, origin: bytes) -> bool:
        return "*" in self.origins or origin.decode("latin-1") in self.origins
