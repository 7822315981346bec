"""`SharedLine`: a connection to an upstream that many responses share: Responses over a WebSocket (reference §7.3).

    a call ─▶ Lane.attempt ─▶ dials, unless the line is kept ─▶ sends ─▶ the first message ─▶ a refusal, with its status
                                                                                     └─▶ a stream of events
    messages of the upstream ─▶ of which lane? ─▶ its stream | nobody's: on as they came

Rules of this file: towards the relay a response is what it is over HTTP, so one loop, one classification and one reader
serve both. Until the line is kept each attempt dials anew, for another account may be meant; from then on it stays. A
stream that is given up before its end takes the connection along: what still came would be taken for the next one's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Headers, UpstreamRequest
from gateway.relay.lane import Lane, LaneStream, Refused
from gateway.relay.ports import Upstream, UpstreamAnswer, UpstreamSocket
from gateway.wire.errors import error_body, read_error
from gateway.wire.response_events import (
    CREATED,
    ENDS,
    ERROR,
    STEERED,
    UNSTEERED,
    Head,
    Made,
    read_head,
    read_made,
    read_steered,
)
from gateway.wire.sockets import Closed, Message

UNSERVED: Final = frozenset({404, 405, 426, 501})
"""Statuses of an upgrade's refusal that say nothing of an account: no model was named yet."""
NOT_SUPPORTED: Final = "websocket_not_supported"
NOT_SERVED: Final = Refused(
    426,
    ((b"content-type", b"application/json"),),
    error_body(
        "The provider of this model does not serve responses over WebSocket: call POST /v1/responses with `stream`.",
        "invalid_request_error",
        None,
        NOT_SUPPORTED,
    ),
)
MAX_REFUSAL_BYTES: Final = 1024 * 1024
MOST_MADE: Final = 1024
"""Ids of responses that are remembered for as long as the line stands: upstreams keep one for each lane."""
_GONE: Final = Fault(FaultKind.RESET, "the connection of the session has ended")
_NOT_ASKED: Final = frozenset({b"content-type", b"accept"})
"""Of a body that the upgrade has not."""


class SharedLine:
    """One per caller's connection. `finish` or `cut` it at the end."""

    def __init__(
        self,
        engine: Upstream,
        *,
        on_stray: Callable[[Message], Awaitable[None]],
        on_successor: Callable[[LaneStream], None],
    ) -> None:
        """`on_stray`: a message of no lane's response. `on_successor`: a response began that nobody asked for here."""
        self._engine = engine
        self._on_stray = on_stray
        self._on_successor = on_successor
        self._socket: UpstreamSocket | None = None
        self._listening: asyncio.Task[None] | None = None
        self._streams: dict[str | None, LaneStream] = {}
        self._behind: dict[str | None, LaneStream] = {}
        """Asked for already, and to come after one that follows by itself in their lane."""
        self._made: dict[str, None] = {}
        self._steered: dict[str, str] = {}
        """What was steered in → into which response: another one follows that by itself."""
        self.is_kept = False
        self.closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        """How the connection ended, once it is kept or was to be."""

    def lane(self, lane: str | None) -> Lane:
        """Makes attempts of one call."""
        return Lane(self.ask, lane)

    def has_made(self, id_: str) -> bool:
        """A response of this very connection: the upstream has it here, stored or not."""
        return id_ in self._made

    # -- its life ------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """The account is chosen: no attempt dials any more."""
        self.is_kept = True

    def drop(self) -> None:
        """Of a line that is not kept: nobody was chosen."""
        self.cut()
        self.closed = asyncio.get_running_loop().create_future()

    async def send(self, message: Message) -> bool:
        """What is no call. False: nobody hears it."""
        return self._socket is not None and await self._socket.send(message)

    async def finish(self, code: int, reason: str) -> None:
        """Says why, and ends the connection."""
        socket, self._socket = self._socket, None
        self._stop()
        if socket is not None:
            await socket.finish(code, reason)
            socket.close()

    def cut(self) -> None:
        """Ends it at once. Idempotent. Streams that are under way break."""
        socket, self._socket = self._socket, None
        self._stop()
        if socket is not None:
            socket.close()
        self._break_off(_GONE)
        if not self.closed.done():
            self.closed.set_result(Closed())

    def leave(self) -> None:
        """Cuts it for good, and lets go of who heard its messages: each would keep the other alive. Idempotent."""
        self.cut()
        self._on_stray, self._on_successor = _unheard, _unfollowed

    def _break_off(self, fault: Fault) -> None:
        for stream in (*self._streams.values(), *self._behind.values()):
            stream.break_off(fault)
        self._streams.clear()
        self._behind.clear()

    def _stop(self) -> None:
        if self._listening is not None and self._listening is not asyncio.current_task():
            self._listening.cancel()
        self._listening = None

    # -- asking --------------------------------------------------------------------------------------------------

    async def ask(self, request: UpstreamRequest, way: Lane) -> UpstreamAnswer | Fault:
        """Sends `request`'s body as a message, and gives what the upstream says to it."""
        opened = await self._opened(request)
        if not isinstance(opened, UpstreamSocket):
            return opened
        while (other := self._streams.get(way.lane)) is not None:  # one that followed unasked
            await other.released.wait()
        assert isinstance(request.body, bytes)  # noqa: S101  # a message was in memory
        stream = LaneStream(way.lane, stall_s=request.limits.stall_s, give_up=self.cut)
        self._streams[way.lane] = way.stream = stream
        if not await opened.send(request.body.decode()):
            self.cut()
            return _GONE
        return await stream.begun(request.limits.headers_s)

    async def _opened(self, request: UpstreamRequest) -> UpstreamSocket | UpstreamAnswer | Fault:
        if self.is_kept:
            return self._socket or _GONE
        self.drop()
        answer = await self._engine.attempt(_upgrade(request))
        if isinstance(answer, UpstreamSocket):
            self._socket = answer
            self._listening = asyncio.create_task(self._listen(answer), name="line.listen")
        elif not isinstance(answer, Fault):
            return await _refused(answer)
        return answer

    # -- listening -----------------------------------------------------------------------------------------------

    async def _listen(self, socket: UpstreamSocket) -> None:
        while True:
            message = await socket.receive()
            if isinstance(message, Closed):
                break
            raw = message if isinstance(message, bytes) else message.encode()
            head = read_head(raw)
            stream = self._begun(head.lane, read_made(raw)) if head.type == CREATED else self._stream_of(head)
            if head.type == STEERED or head.type in UNSTEERED:
                self._note_steered(head.type, read_steered(raw))
            if stream is None:
                await self._on_stray(message)
                continue
            is_last = head.type in ENDS
            if is_last:
                self._leave(stream)
            await stream.put(raw, is_last=is_last)
        self._end(message)

    def _stream_of(self, head: Head) -> LaneStream | None:
        stream = self._streams.get(head.lane)
        if stream is None and head.type == ERROR and head.lane is None and len(self._streams) == 1:
            return next(iter(self._streams.values()))  # nobody else can be meant
        return stream

    def _begun(self, lane: str | None, made: Made) -> LaneStream | None:
        """Whose the response is that begins now: asked for in its lane, unless it follows by itself."""
        if made.id is not None:
            self._made[made.id] = None
            if len(self._made) > MOST_MADE:
                del self._made[next(iter(self._made))]
        asked, before = self._streams.get(lane), made.previous_response_id
        follows = before is not None and before in self._steered.values()
        if not self.is_kept or (asked is not None and not follows):
            return asked
        self._steered = {id_: response for id_, response in self._steered.items() if response != before}
        if asked is not None:
            self._behind[lane] = asked
        stream = self._streams[lane] = LaneStream(lane, give_up=self.cut)
        self._on_successor(stream)
        return stream

    def _leave(self, ended: LaneStream) -> None:
        """Its lane is the next one's."""
        self._streams = {lane: stream for lane, stream in self._streams.items() if stream is not ended}
        if ended.lane not in self._streams and ended.lane in self._behind:
            self._streams[ended.lane] = self._behind.pop(ended.lane)

    def _note_steered(self, type_: str, steered: Made) -> None:
        if steered.id is None or steered.previous_response_id is None:
            return
        if type_ in UNSTEERED:
            self._steered.pop(steered.id, None)
        elif len(self._steered) < MOST_MADE:
            self._steered[steered.id] = steered.previous_response_id

    def _end(self, closed: Closed) -> None:
        if not self.closed.done():
            self.closed.set_result(closed)
        fault = closed.fault or Fault(FaultKind.RESET, f"the connection was closed with {closed.code}")
        self._break_off(fault)
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def _unheard(_message: Message) -> None:
    """Nobody is there any more."""


def _unfollowed(_stream: LaneStream) -> None:
    """As above."""


def _upgrade(request: UpstreamRequest) -> UpstreamRequest:
    headers: Headers = tuple(header for header in request.headers if header[0] not in _NOT_ASKED)
    return msgspec.structs.replace(request, method=b"GET", headers=headers, body=b"")


async def _refused(answer: UpstreamAnswer) -> Refused | Fault:
    """A refusal of an upgrade. One by which no account is meant is the provider's: nobody there serves this."""
    body = await answer.read_all(MAX_REFUSAL_BYTES)
    answer.close()
    if isinstance(body, Fault):
        return body
    content_type = next((value.decode("latin-1") for name, value in answer.headers if name == b"content-type"), "")
    is_page = answer.status == 403 and not read_error(body, content_type).is_readable
    if answer.status < 400 or answer.status in UNSERVED or is_page:
        return NOT_SERVED
    return Refused(answer.status, answer.headers, body)
