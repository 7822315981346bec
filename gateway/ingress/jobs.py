"""From a request that was read to a job for the relay: the same for a request of HTTP and for a message of a WebSocket.

envelope ─▶ `call_of`: the facts, the caller's models checked ─▶ (ids bound) ─▶ `job_of`: pool, checks, names
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from gateway.core.affinity import Bound, serving_all, upstream_names
from gateway.core.call import Call, Endpoint
from gateway.core.ids import CallId, ModelName, ProviderId
from gateway.core.routing import provider_for, targets_for, without_accounts
from gateway.core.snapshot import ClientKey
from gateway.ingress.caller import check_model, check_named
from gateway.ingress.plane import DataPlane
from gateway.providers.base import Headers
from gateway.relay.job import Body, Job, charged, fitted, renamed, renamed_places
from gateway.relay.metering import Progress
from gateway.relay.own_keys import OwnKey
from gateway.wire.acting import as_creating
from gateway.wire.envelope import Envelope
from gateway.wire.headers import max_wait_s
from gateway.wire.query import model_in, with_model


class Asked(Protocol):
    """A request, as its handler has it."""

    @property
    def plane(self) -> DataPlane: ...

    @property
    def call_id(self) -> CallId: ...

    @property
    def path(self) -> str:
        """Below the version."""
        ...

    @property
    def query(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...

    @property
    def passed_headers(self) -> Headers:
        """Those that may go upstream."""
        ...

    @property
    def own_key(self) -> OwnKey | None:
        """A provider's, that the caller brought."""
        ...

    @property
    def progress(self) -> Progress: ...


def call_of(asked: Asked, endpoint: Endpoint, key: ClientKey | None, envelope: Envelope) -> Call:
    """What is asked, noted in `progress`. Raises CallRefused for a model that the key may not use."""
    headers, plane, query = asked.headers, asked.plane, asked.query
    named = headers.get(b"x-provider")
    call = Call(
        id=asked.call_id,
        endpoint=as_creating(endpoint) if envelope.is_acting else endpoint,
        path=asked.path,
        query=query,
        model=envelope.model or (model_in(query) if query else None),
        is_stream=envelope.is_stream,
        asks_usage=envelope.asks_usage,
        estimated_tokens=envelope.estimated_tokens,
        affinity=envelope.affinity,
        named_provider=ProviderId(named.decode("latin-1")) if named else None,
        key_id=None if key is None else key.id,
        owner=None if key is None else key.owner,
        max_wait_s=max_wait_s(headers, plane.default_wait_s, plane.max_wait_s),
    )
    asked.progress.call = call
    check_model(key, call.model)
    if endpoint.model_places:
        check_named(key, call)
    return call


def job_of(  # a request and what was read of it, by name
    asked: Asked, call: Call, key: ClientKey | None, envelope: Envelope, body: Body, bound: Bound | None = None
) -> Job:
    """The call with its pool, and the body as it goes there. Raises CallRefused."""
    plane, own_key, query = asked.plane, asked.own_key, call.query
    board = plane.board
    if envelope.other_models:
        call, body = _with_others(asked, call, key, envelope.other_models, body)
    pool = board.pools.pool_for(call) if own_key is None else plane.own_keys.pool_for(board.snapshot, call, own_key)
    sent = fitted(call, pool, envelope, body)
    if sent is body and isinstance(body, bytes) and envelope.model is not None and key is not None and key.models:
        sent = renamed(body, call.endpoint, envelope.model, envelope.model)  # wherever one is written
    if not pool.charges_answers and isinstance(body, bytes):
        call = charged(call, pool, body)
    if query and not pool.is_model_kept:
        call = msgspec.structs.replace(call, query=with_model(query, pool.model))
    allowed = () if key is None else key.models
    return Job(call, pool, asked.passed_headers, sent, asked.progress, body, allowed, bound=bound)


def _with_others(
    asked: Asked, call: Call, key: ClientKey | None, others: tuple[ModelName, ...], body: Body
) -> tuple[Call, Body]:
    """A call that names models besides its own: its provider's, so accounts that serve them all, and its names."""
    snapshot = asked.plane.board.snapshot
    if asked.own_key is not None:
        snapshot = without_accounts(snapshot)
    for model in others:
        check_model(key, model)
    there = msgspec.structs.replace(call, named_provider=provider_for(snapshot, call).id)
    body = renamed_places(body, call.endpoint, upstream_names(snapshot, there, others))
    if asked.own_key is None:
        its_own = targets_for(snapshot, there).accounts
        serving = serving_all(snapshot, there, (call.model or others[0], *others), param="model")
        if len(serving) < len(its_own):
            call = msgspec.structs.replace(call, pinned=serving)
    return call, body
