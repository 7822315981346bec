"""WebSockets under /v1: sessions, relayed both ways; an upgrade that leads to none is refused in words.

    handshake ─▶ row, key ─▶ realtime: the loop of attempts dials upstreams ─▶ refused: an HTTP answer
                        │                                                └─▶ opened: 101, and the session runs
                        └─▶ responses: 101; the first message that asks for a response chooses the account

Rules of this file: a realtime caller's upgrade is answered once an upstream has accepted.
"""

import asyncio

import msgspec

from gateway.core.call import Call
from gateway.core.errors import DRAINING, GatewayError, ShuttingDown
from gateway.core.ids import CallId
from gateway.core.outcome import OutcomeKind
from gateway.ingress.asgi import Receive, Scope, Send
from gateway.ingress.front import DataPlaneApp
from gateway.ingress.handshake import Handshake, SocketPlane, read_handshake
from gateway.ingress.plane import JSON, UNKNOWN, end_of, own_headers
from gateway.ingress.realtime import realtime_job
from gateway.ingress.socket import CallerSocket
from gateway.relay.answer import Answer
from gateway.relay.job import Job
from gateway.relay.metering import CLIENT_GONE, Progress
from gateway.relay.opened import OpenedSocket
from gateway.relay.own_keys import NoBooks
from gateway.relay.session import Session, UpstreamSide
from gateway.relay.talk import Talk
from gateway.telemetry.events import CallEnd, Event
from gateway.telemetry.log import get_logger
from gateway.wire.errors import error_headers, write_error
from gateway.wire.response_events import RESPONSES_SOCKET
from gateway.wire.sockets import REALTIME


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
        self._call_id = CallId(f"req_{plane.rng.getrandbits(128):032x}")
        self._opened: OpenedSocket | None = None
        self._side: UpstreamSide | None = None
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
            if self._side is not None:
                await self._side.close()
            if self._session is not None and self._side is not None:
                self._tell(self._session, self._side)
            self._caller.drop()
            plane.gate.leave(task)

    async def _answered(self) -> None:
        handshake = read_handshake(self._sockets, self._scope, self._progress)
        if handshake.endpoint is RESPONSES_SOCKET:
            await self._converse(handshake)
            return
        answer = await self._relayed(await realtime_job(self._sockets, handshake, self._progress), handshake)
        if answer is None:
            self._progress.finish(OutcomeKind.CANCELLED, CLIENT_GONE, is_complete=False)
        elif isinstance(answer.coming, OpenedSocket):
            books = self._plane.board if handshake.own_key is None else NoBooks()
            await self._serve(Talk(answer.coming, books=books, progress=self._progress), handshake)
        else:
            await self._caller.refuse(answer.status, answer.headers + self._own_headers(), answer.body)
            self._progress.sent_whole(len(answer.body))
            self._progress.finish(answer.outcome, answer.status, code=answer.code)

    async def _converse(self, handshake: Handshake) -> None:
        """Responses: nobody can say who serves them before the first is asked for."""
        from gateway.ingress.conversation import Conversation  # noqa: PLC0415  # most workers never need them
        from gateway.ingress.turn import check_talking  # noqa: PLC0415  # as above

        key = handshake.key
        self._progress.call = msgspec.structs.replace(self._progress.call, key_id=None if key is None else key.id)
        named = handshake.headers.get(b"x-provider")
        check_talking(self._sockets, None if named is None else named.decode("latin-1"))
        await self._serve(Conversation(self._sockets, handshake, self._progress), handshake)

    # -- the session ---------------------------------------------------------------------------------------------

    async def _relayed(self, job: Job, handshake: Handshake) -> Answer | None:
        """The answer of the loop; None when the caller hung up before."""
        ways = self._sockets.ways
        relay = ways.sessions if handshake.own_key is None else ways.own_session_keys
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

    async def _serve(self, side: UpstreamSide, handshake: Handshake) -> None:
        plane, progress = self._plane, self._progress
        self._side = side
        progress.call = msgspec.structs.replace(progress.call, is_stream=False)  # its pace is a conversation's
        subprotocol = REALTIME if handshake.offer.is_realtime else None
        if not await self._caller.accept(subprotocol, self._own_headers()):
            progress.finish(OutcomeKind.CANCELLED, CLIENT_GONE, is_complete=False)
            return
        session = self._session = Session(
            caller=self._caller,
            upstream=side,
            clock=plane.clock,
            progress=progress,
            idle_s=self._sockets.idle_s,
            is_welcome=lambda: handshake.is_welcome(plane),
        )
        await session.run()

    def _tell(self, session: Session, side: UpstreamSide) -> None:
        end, usage = session.end, side.usage
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
            responses=side.responses,
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
