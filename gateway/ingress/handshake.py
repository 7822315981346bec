"""A WebSocket's handshake, read: where it leads, who asks, what of it goes upstream.

Rules of this file: a key in `Sec-WebSocket-Protocol`, or in the query, is read and never said again.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from gateway.core.call import Call, Endpoint
from gateway.core.errors import DRAINING, EndpointNotFound, InvalidCall, NotAllowed, ShuttingDown
from gateway.core.ids import Instant, ProviderId
from gateway.core.snapshot import ClientKey
from gateway.ingress.asgi import Scope
from gateway.ingress.own_key import own_key_in
from gateway.ingress.plane import PREFIX, DataPlane
from gateway.providers.base import Headers
from gateway.relay.metering import Progress
from gateway.relay.own_keys import OwnKey
from gateway.relay.ways import Ways
from gateway.wire.endpoints import allowed_methods
from gateway.wire.headers import request_headers
from gateway.wire.query import first_of, without
from gateway.wire.realtime import SOCKETS
from gateway.wire.response_events import RESPONSES_SOCKET
from gateway.wire.sockets import REALTIME, Offer, read_offer

KEY_PARAMETERS = frozenset({"api-key", "authorization"})
"""Of the query: Azure's browsers have no subprotocol for a key."""


class SocketPlane(msgspec.Struct, frozen=True, kw_only=True):
    """What the handlers of WebSockets need."""

    plane: DataPlane
    ways: Ways
    without: dict[ProviderId, Instant] = {}
    """Providers that refused to serve responses over a WebSocket → until when they are not asked."""
    idle_s: float
    """A session in which nobody speaks for so long is ended."""


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    """What it says."""

    endpoint: Endpoint
    query: bytes
    """Without keys."""
    headers: dict[bytes, bytes]
    """The caller's. A key that stood elsewhere is in `authorization`."""
    passed_headers: Headers
    """Those that may go upstream."""
    offer: Offer
    key: ClientKey | None
    own_key: OwnKey | None
    """A provider's, that the caller brought."""

    def is_welcome(self, plane: DataPlane) -> bool:
        """Whether the key is still there. Where none is needed, everybody is."""
        key = self.key
        if key is None:
            return True
        if key.expires_at is not None and plane.clock.wall_now() >= key.expires_at:
            return False
        return any(known.id == key.id for known in plane.board.snapshot.keys.values())


def read_handshake(sockets: SocketPlane, scope: Scope, progress: Progress) -> Handshake:
    """Raises GatewayError for who may not come in, and for what leads nowhere. `progress` gets to know the endpoint."""
    plane, query = sockets.plane, scope["query_string"]
    headers: dict[bytes, bytes] = dict(scope["headers"])
    offer = read_offer(scope["subprotocols"])
    endpoint = _endpoint_of(scope["raw_path"].decode("latin-1"))
    progress.call = Call(id=progress.call.id, endpoint=endpoint)
    presented = offer.key or first_of(query, KEY_PARAMETERS)
    if presented is not None and b"authorization" not in headers:
        headers[b"authorization"] = b"Bearer " + _bare(presented).encode("latin-1", "replace")
    key = plane.callers.caller_of(headers, plane.board.snapshot, plane.clock)
    _check_origin(plane, headers, key)
    if plane.gate.is_draining:
        raise ShuttingDown(DRAINING, retry_after_s=1.0)
    return Handshake(
        endpoint=endpoint,
        query=without(query, KEY_PARAMETERS),
        headers=headers,
        passed_headers=_passed(request_headers(scope["headers"]), headers, offer),
        offer=offer,
        key=key,
        own_key=own_key_in(headers) if plane.own_keys.are_taken else None,
    )


def _endpoint_of(path: str) -> Endpoint:
    below = path.removeprefix(PREFIX.decode())
    if below == RESPONSES_SOCKET.path != path:
        return RESPONSES_SOCKET
    endpoint = SOCKETS.get(below) if below != path else None
    if endpoint is not None:
        return endpoint
    if below != path and allowed_methods(below):
        raise InvalidCall(
            f"{path} is served over HTTP alone: send the request without an upgrade.",
            code="websocket_not_supported",
            status=426,
        )
    raise EndpointNotFound(f"No WebSocket is served at {path[:200]}: use /v1/realtime or /v1/responses.")


def _check_origin(plane: DataPlane, headers: dict[bytes, bytes], key: ClientKey | None) -> None:
    """Any page may open a WebSocket to any address: where no key is needed, only pages that the operator names."""
    origin = headers.get(b"origin")
    if key is not None or origin is None or plane.cors.allows(origin):
        return
    if _is_own_page(origin.decode("latin-1"), headers.get(b"host", b"").decode("latin-1")):
        return
    raise NotAllowed(
        "This page may not open a session here without a client key. Operator: name it in `cors_origins`.",
        param="origin",
        code="origin_not_allowed",
    )


def _passed(passed: Headers, headers: dict[bytes, bytes], offer: Offer) -> Headers:
    if offer.beta is not None and b"openai-beta" not in headers:
        passed += ((b"openai-beta", offer.beta.encode("latin-1", "replace")),)
    if offer.is_realtime:
        passed += ((b"sec-websocket-protocol", REALTIME.encode()),)
    return passed


def _is_own_page(origin: str, host: str) -> bool:
    """A page of the gateway itself, at an address that no foreign name can be made to lead to (DNS rebinding)."""
    try:
        page = urlsplit(origin)
        name = page.hostname or ""
        return page.netloc == host and (name == "localhost" or ip_address(name) is not None)
    except ValueError:  # no URL, or a name that anybody may own
        return False


def _bare(key: str) -> str:
    return key[len("Bearer ") :] if key[: len("Bearer ")].lower() == "bearer " else key
