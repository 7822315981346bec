"""WebSockets under /v1: realtime sessions, relayed both ways; every other upgrade is refused in words.

    handshake ─▶ row, key, model, pool ─▶ the loop of attempts dials upstreams ─▶ refused: an HTTP answer
                                                                              └─▶ opened: 101, and the session runs

Rules of this file: the caller's upgrade is answered once an upstream has accepted; a key in `Sec-WebSocket-Protocol` is
read and never said again.
"""

import asyncio
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from gateway.core.call import Call, Endpoint
from gateway.core.errors import DRAINING, EndpointNotFound, GatewayError, InvalidCall, NotAllowed, ShuttingDown
from gateway.core.ids import CallId, ProviderId
from gateway.core.outcome import OutcomeKind
from gateway.core.snapshot import ClientKey
from gateway.ingress.asgi import Receive, Scope, Send
from gateway.ingress.caller import check_model
from gateway.ingress.front import DataPlaneApp
from gateway.ingress.own_key import own_key_in
from gateway.ingress.plane import JSON, PREFIX, UNKNOWN, DataPlane, end_of, own_headers
from gateway.ingress.socket import CallerSocket
from gateway.relay.answer import Answer
from gateway.relay.fallbacks import FallbackRelay
from gateway.relay.job import Job
from gateway.relay.metering import CLIENT_GONE, Progress
from gateway.relay.opened import OpenedSocket
from gateway.relay.own_keys import NoBooks, OwnKey, OwnKeys
from gateway.relay.session import Session
from gateway.telemetry.events import CallEnd, Event
from gateway.telemetry.log import get_logger
from gateway.wire.endpoints import allowed_methods
from gateway.wire.errors import error_headers, write_error
from gateway.wire.headers import max_wait_s, request_headers
from gateway.wire.query import first_of, model_in, with_model, without
from gateway.wire.realtime import SOCKETS
from gateway.wire.references import references_of
from gateway.wire.sockets import REALTIME, Offer, read_offer

PATIENCE_S = 8.0
"""How long an upgrade waits for an account unless it says so itself: clients give up a handshake after 10 s."""
KEY_PARAMETERS = frozenset({"api-key", "authorization"})
"""Of the query: Azure's browsers have no subprotocol for a key."""


class SocketPlane(msgspec.Struct, frozen=True, kw_only=True):
    """What the handler needs."""

    plane: DataPlane
    relay: FallbackRelay
    """Whose attempts are upgrades."""
    own_keys: OwnKeys
    """The same for callers who bring a provider's key."""
    idle_s: float
    """A session in which nobody speaks for so long is ended."""


def socket_plane(sockets: SocketPlane) -> DataPlaneApp:
    """The ASGI application of WebSockets, for `front.Front`."""

    async def relay_socket(scope: Scope, receive: Receive, send: Send) -> None:
        await Upgrade(sockets, scope, CallerSocket(receive, send)).run()

    return relay_socket


class Upgrade:
    """One handshake, and the session that it leads to."""

    def __init__(self, sockets: SocketPlane, scope: Scope, caller: CallerSocket) -> None:
        self._sockets = sockets
        self._plane = plane = sockets.plane
        self._scope = scope
        self._caller = caller
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._offer: Offer = read_offer(scope["subprotocols"])
        self._call_id = CallId(f"req_{plane.rng.getrandbits(128):032x}")
        self._key: ClientKey | None = None
        self._own_key: OwnKey | None = None
        self._opened: OpenedSocket | None = None
        self._session: Session | None = None
        call = Call(id=self._call_id, endpoint=UNKNOWN)
        self._progress = Progress(call, plane.meter, plane.clock, plane.clock.now())

    async def run(self) -> None:
        """Answers, whatever happens."""
        plane = self._plane
        plane.meter.call_started()
        task = plane.gate.enter()
        try:
            await self._caller.begin()
            await self._answered()
        except GatewayError as error:
            await self._refuse_with(error)
        except asyncio.CancelledError:
            await self._cut_short()
            if not plane.gate.is_draining:
                raise  # not the drain: somebody ends this task
            task.uncancel()
        except Exception as error:  # noqa: BLE001  # the ingress boundary: a bug of ours becomes a plain 500
            get_logger().exception(Event.CALL_CRASHED, call_id=self._call_id, error=type(error).__name__)
            await self._crashed()
        finally:
            if self._opened is not None:
                await self._opened.close()
            if self._session is not None:
                self._tell(self._session)
            self._caller.drop()
            plane.gate.leave(task)

    async def _answered(self) -> None:
        answer = await self._relayed(await self._job())
        if answer is None:
            self._progress.finish(OutcomeKind.CANCELLED, CLIENT_GONE, is_complete=False)
        elif isinstance(answer.coming, OpenedSocket):
            await self._serve(answer.coming)
        else:
            await self._caller.refuse(answer.status, answer.headers + self._own_headers(), answer.body)
            self._progress.sent_whole(len(answer.body))
            self._progress.finish(answer.outcome, answer.status, code=answer.code)

    # -- reading -------------------------------------------------------------------------------------------------

    async def _job(self) -> Job:
        plane, headers = self._plane, self._headers
        endpoint = self._endpoint()
        self._progress.call = Call(id=self._call_id, endpoint=endpoint)
        presented = self._offer.key or first_of(self._scope["query_string"], KEY_PARAMETERS)
        if presented is not None and b"authorization" not in headers:
            headers[b"authorization"] = b"Bearer " + _bare(presented).encode("latin-1", "replace")
        key = self._key = plane.callers.caller_of(headers, plane.board.snapshot, plane.clock)
        self._check_origin(key)
        if plane.gate.is_draining:
            raise ShuttingDown(DRAINING, retry_after_s=1.0)
        own_key = self._own_key = own_key_in(headers) if self._sockets.own_keys.are_taken else None
        call = self._call(endpoint, key)
        self._progress.call = call
        check_model(key, call.model)
        if own_key is None and call.query:
            named = references_of(call, {})
            call, _ = await plane.affinity.bind(call, named.path, named.others)
        _check_named(key, call)
        board, sockets = plane.board, self._sockets
        own_keys = sockets.own_keys
        pool = board.pools.pool_for(call) if own_key is None else own_keys.pool_for(board.snapshot, call, own_key)
        if call.query and not pool.is_model_kept:
            call = msgspec.structs.replace(call, query=with_model(call.query, pool.model))
        allowed = () if key is None else key.models
        return Job(call, pool, self._passed_headers(), b"", self._progress, b"", allowed)

    def _endpoint(self) -> Endpoint:
        path: str = self._scope["raw_path"].decode("latin-1")
        below = path.removeprefix(PREFIX.decode())
        endpoint = SOCKETS.get(below) if below != path else None
        if endpoint is not None:
            return endpoint
        if below != path and allowed_methods(below):
            raise InvalidCall(
                f"{path} is served over HTTP alone: send the request without an upgrade.",
                code="websocket_not_supported",
                status=426,
            )
        raise EndpointNotFound(f"No WebSocket is served at {path[:200]}: use /v1/realtime.")

    def _call(self, endpoint: Endpoint, key: ClientKey | None) -> Call:
        headers, plane = self._headers, self._plane
        query = without(self._scope["query_string"], KEY_PARAMETERS)
        named, model = headers.get(b"x-provider"), model_in(query)
        return Call(
            id=self._call_id,
            endpoint=endpoint,
            path=endpoint.path,
            query=query,
            model=model,
            is_stream=True,
            named_provider=ProviderId(named.decode("latin-1")) if named else None,
            key_id=None if key is None else key.id,
            owner=None if key is None else key.owner,
            max_wait_s=max_wait_s(headers, min(plane.default_wait_s, PATIENCE_S), plane.max_wait_s),
        )

    def _check_origin(self, key: ClientKey | None) -> None:
        """Any page may open a WebSocket to any address: where no key is needed, only pages that the operator names."""
        origin = self._headers.get(b"origin")
        if key is not None or origin is None or self._plane.cors.allows(origin):
            return
        if _is_own_page(origin.decode("latin-1"), self._headers.get(b"host", b"").decode("latin-1")):
            return
        raise NotAllowed(
            "This page may not open a session here without a client key. Operator: name it in `cors_origins`.",
            param="origin",
            code="origin_not_allowed",
        )

    def _passed_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        headers = request_headers(self._scope["headers"])
        if self._offer.beta is not None and b"openai-beta" not in self._headers:
            headers += ((b"openai-beta", self._offer.beta.encode("latin-1", "replace")),)
        if self._offer.is_realtime:
            headers += ((b"sec-websocket-protocol", REALTIME.encode()),)
        return headers

    # -- the session ---------------------------------------------------------------------------------------------

    async def _relayed(self, job: Job) -> Answer | None:
        """The answer of the loop; None when the caller hung up before."""
        relay = self._sockets.relay if self._own_key is None else self._sockets.own_keys
        relaying = asyncio.create_task(relay.relay_call(job), name="socket.relay")
        try:
            await asyncio.wait({relaying, self._caller.hang_up}, return_when=asyncio.FIRST_COMPLETED)
            if not relaying.done() and not self._caller.has_hung_up():  # it spoke before it was asked to
                await asyncio.wait({relaying})
            return await relaying if relaying.done() else None
        finally:
            if not relaying.done():
                relaying.cancel()
                await asyncio.gather(relaying, return_exceptions=True)
            if not relaying.cancelled() and relaying.exception() is None:
                coming = relaying.result().coming
                self._opened = coming if isinstance(coming, OpenedSocket) else None

    async def _serve(self, opened: OpenedSocket) -> None:
        plane, progress = self._plane, self._progress
        progress.call = msgspec.structs.replace(progress.call, is_stream=False)  # its pace is a conversation's
        subprotocol = REALTIME if self._offer.is_realtime else None
        if not await self._caller.accept(subprotocol, self._own_headers()):
            progress.finish(OutcomeKind.CANCELLED, CLIENT_GONE, is_complete=False)
            return
        session = self._session = Session(
            caller=self._caller,
            upstream=opened,
            books=plane.board if self._own_key is None else NoBooks(),
            clock=plane.clock,
            progress=progress,
            idle_s=self._sockets.idle_s,
            is_welcome=self._is_welcome,
        )
        await session.run()

    def _is_welcome(self) -> bool:
        """Whether the key that began the session is still there. Where none is needed, everybody is."""
        key, plane = self._key, self._plane
        if key is None:
            return True
        if key.expires_at is not None and plane.clock.wall_now() >= key.expires_at:
            return False
        return any(known.id == key.id for known in plane.board.snapshot.keys.values())

    def _tell(self, session: Session) -> None:
        end, usage = session.end, self._progress.usage
        get_logger().info(
            Event.SESSION_ENDED,
            call_id=self._call_id,
            account_id=self._progress.account_id,
            ended_by=None if end is None else end.by,
            close_code=None if end is None else end.code,
            messages_in=session.said.messages,
            bytes_in=session.said.bytes,
            messages_out=session.heard.messages,
            bytes_out=session.heard.bytes,
            responses=session.responses,
            input_tokens=0 if usage is None else usage.input_tokens,
            output_tokens=0 if usage is None else usage.output_tokens,
        )

    # -- ends that are none of the session's ---------------------------------------------------------------------

    def _own_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return own_headers(self._call_id, self._progress)

    async def _refuse_with(self, error: GatewayError) -> None:
        headers = (*JSON, *error_headers(error), *self._own_headers())
        await self._caller.refuse(error.status, headers, write_error(error))
        self._progress.finish(end_of(error), error.status, code=error.code)

    async def _crashed(self) -> None:
        if self._session is not None:
            await self._caller.finish(1011, "The gateway failed on this session.")
        elif not self._caller.is_accepted:
            await self._refuse_with(
                GatewayError("The gateway failed on this call. Its operator finds this id in the log.")
            )
        self._progress.finish(CallEnd.CRASHED, 500, code="internal_error", is_complete=False)

    async def _cut_short(self) -> None:
        """The drain ran out of time, or somebody ends this task."""
        if self._session is not None:
            await self._session.cut("The gateway is shutting down.")
        elif not self._caller.is_accepted:
            await self._refuse_with(ShuttingDown(DRAINING, retry_after_s=1.0))
        self._progress.finish(CallEnd.SHUTTING_DOWN, 503, code=ShuttingDown.code, is_complete=False)


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


def _check_named(key: ClientKey | None, call: Call) -> None:
    """A key that may use some models alone must say which one it uses. A call that exists already was checked then."""
    if key is not None and key.models and call.model is None and call.pinned is None:
        raise NotAllowed(
            "This client key may use some models alone: name one of them in the query (?model=…).",
            param="model",
            code="model_not_allowed",
        )
