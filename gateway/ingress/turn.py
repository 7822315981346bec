"""One message of a conversation over a WebSocket, read as the request that it would be over HTTP.

Rules of this file: who may ask, what may be named and where it lies is decided by the functions that decide it for
HTTP; what comes on top is that a conversation stays where it began.
"""

import msgspec

from gateway.core.affinity import Bound
from gateway.core.call import Call
from gateway.core.errors import DRAINING, InvalidCall, ShuttingDown
from gateway.core.ids import AccountId, CallId, ProviderId
from gateway.core.routing import provider_for, targets_for
from gateway.core.snapshot import ClientKey, Snapshot
from gateway.ingress.handshake import Handshake, SocketPlane
from gateway.ingress.jobs import call_of, job_of
from gateway.ingress.plane import DataPlane
from gateway.providers.base import Headers
from gateway.providers.catalog import KINDS
from gateway.relay.job import Job
from gateway.relay.lane import Lane
from gateway.relay.metering import Progress
from gateway.relay.own_keys import OwnKey
from gateway.relay.shared_line import SharedLine
from gateway.wire.envelope import Envelope, read_envelope
from gateway.wire.references import references_of
from gateway.wire.response_events import CREATE


class Home(msgspec.Struct, frozen=True):
    """Where a conversation is."""

    provider_id: ProviderId
    account_id: AccountId | None
    """None: the caller brought the key."""


class _Read(msgspec.Struct, frozen=True):
    call: Call
    key: ClientKey | None
    envelope: Envelope
    bound: Bound | None


class Turn:
    """Fits `jobs.Asked`."""

    __slots__ = ("call_id", "headers", "own_key", "passed_headers", "path", "plane", "progress", "query")

    def __init__(self, plane: DataPlane, handshake: Handshake, call_id: CallId) -> None:
        self.plane = plane
        self.call_id = call_id
        self.path = CREATE.path
        self.query = handshake.query
        self.headers = handshake.headers
        self.passed_headers: Headers = handshake.passed_headers
        self.own_key: OwnKey | None = handshake.own_key
        call = Call(id=call_id, endpoint=CREATE)
        self.progress = Progress(call, plane.meter, plane.clock, plane.clock.now())

    async def job(self, body: bytes, line: SharedLine, way: Lane, home: Home | None) -> Job:
        """What the relay sends by `way`, from now on. Raises GatewayError for what may not go upstream, or there."""
        if self.plane.gate.is_draining:
            raise ShuttingDown(DRAINING, retry_after_s=1.0)
        read = await self._read(body, line, home)
        job = job_of(self, read.call, read.key, read.envelope, body, read.bound)
        return msgspec.structs.replace(job, way=way, began=self.plane.clock.now())

    async def check(self, body: bytes, line: SharedLine, home: Home | None) -> None:
        """Of a message that asks for no response: it may name objects and models all the same. Raises as `job`."""
        await self._read(body, line, home)

    async def _read(self, body: bytes, line: SharedLine, home: Home | None) -> _Read:
        plane, bound = self.plane, None
        key = plane.callers.caller_of(self.headers, plane.board.snapshot, plane.clock)
        envelope = read_envelope(body, CREATE)
        call = msgspec.structs.replace(call_of(self, CREATE, key, envelope), is_stream=True)
        if self.own_key is None:
            named = references_of(call, envelope.fields, body=body)
            others = [one for one in named.others if not line.has_made(one.id)]
            call, bound = await plane.affinity.bind(call, named.path, others)
        snapshot = plane.board.snapshot
        if home is not None:
            call = _at_home(snapshot, call, home)
        provider = provider_for(snapshot, call)
        if not KINDS[provider.kind].talks_responses(provider):
            raise _not_served()
        return _Read(call, key, envelope, bound)


def check_talking(sockets: SocketPlane, named: str | None) -> None:
    """Refuses a handshake that no provider here could serve now. `named`: in the header `x-provider`."""
    providers, now = sockets.plane.board.snapshot.providers, sockets.plane.clock.now()
    provider = None if named is None else providers.get(ProviderId(named)) or providers.get(ProviderId(named.lower()))
    asked = list(providers.values()) if provider is None else [provider]
    if asked and not any(
        KINDS[one.kind].talks_responses(one) and sockets.without.get(one.id, now) <= now for one in asked
    ):
        raise _not_served()


def _at_home(snapshot: Snapshot, call: Call, home: Home) -> Call:
    """`call`, held to the conversation's account. Raises InvalidCall for what is not to be had there."""
    if call.pinned is not None and home.account_id not in call.pinned:
        raise InvalidCall(
            "This connection is with another account than the one that has what the message names. Open a new "
            "connection for it.",
            code="mixed_account_references",
        )
    leads_there = call.model is None or provider_for(snapshot, call).id == home.provider_id
    if home.account_id is not None:
        call = msgspec.structs.replace(call, pinned=frozenset({home.account_id}))
        leads_there = leads_there and bool(targets_for(snapshot, call).accounts)
    if not leads_there:
        raise InvalidCall(
            "This connection is with an account that does not serve this model. Open a new connection for it.",
            param="model",
            code="model_elsewhere",
        )
    return call


def _not_served() -> InvalidCall:
    return InvalidCall(
        "The provider of this model does not serve responses over WebSocket: call POST /v1/responses with `stream`.",
        code="websocket_not_supported",
        status=426,
    )
