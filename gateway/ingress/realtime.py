"""The call of a realtime session: its handshake names a model, or a call that exists already."""

import msgspec

from gateway.core.call import Call
from gateway.core.errors import NotAllowed
from gateway.core.ids import ProviderId
from gateway.core.snapshot import ClientKey
from gateway.ingress.caller import check_model
from gateway.ingress.handshake import Handshake, SocketPlane
from gateway.relay.job import Job
from gateway.relay.metering import Progress
from gateway.wire.headers import max_wait_s
from gateway.wire.query import model_in, with_model
from gateway.wire.references import references_of

PATIENCE_S = 8.0
"""How long an upgrade waits for an account unless it says so itself: clients give up a handshake after 10 s."""


async def realtime_job(sockets: SocketPlane, handshake: Handshake, progress: Progress) -> Job:
    """What the relay dials for. Raises GatewayError."""
    plane, key, own_key = sockets.plane, handshake.key, handshake.own_key
    call = progress.call = _call_of(sockets, handshake, progress.call)
    check_model(key, call.model)
    if own_key is None and call.query:
        named = references_of(call, {})
        call, _ = await plane.affinity.bind(call, named.path, named.others)
    _check_named(key, call)
    board, own_keys = plane.board, sockets.ways.own_session_keys
    pool = board.pools.pool_for(call) if own_key is None else own_keys.pool_for(board.snapshot, call, own_key)
    if call.query and not pool.is_model_kept:
        call = msgspec.structs.replace(call, query=with_model(call.query, pool.model))
    allowed = () if key is None else key.models
    return Job(call, pool, handshake.passed_headers, b"", progress, b"", allowed)


def _call_of(sockets: SocketPlane, handshake: Handshake, begun: Call) -> Call:
    headers, plane, key = handshake.headers, sockets.plane, handshake.key
    named = headers.get(b"x-provider")
    return Call(
        id=begun.id,
        endpoint=handshake.endpoint,
        path=handshake.endpoint.path,
        query=handshake.query,
        model=model_in(handshake.query),
        is_stream=True,
        named_provider=ProviderId(named.decode("latin-1")) if named else None,
        key_id=None if key is None else key.id,
        owner=None if key is None else key.owner,
        max_wait_s=max_wait_s(headers, min(plane.default_wait_s, PATIENCE_S), plane.max_wait_s),
    )


def _check_named(key: ClientKey | None, call: Call) -> None:
    """A key that may use some models alone must say which one it uses. A call that exists already was checked then."""
    if key is not None and key.models and call.model is None and call.pinned is None:
        raise NotAllowed(
            "This client key may use some models alone: name one of them in the query (?model=…).",
            param="model",
            code="model_not_allowed",
        )
