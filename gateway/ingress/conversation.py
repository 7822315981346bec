"""Responses over a WebSocket: each `response.create` is a call, made and relayed as over HTTP (docs/realtime.md).

    message ─▶ may it? ─▶ an error event
                 ├─▶ the first: any account, by its model and ids; whose answer begins is the conversation's home
                 └─▶ every further one: home, or an error event; never another account

Rules of this file: nothing goes upstream that was not looked into; within a lane one response follows the other; a
refusal has the form of the API, an error event, and the connection stays.
"""

import asyncio
from typing import Final

import msgspec

from gateway.core.call import Usage
from gateway.core.errors import GatewayError, InvalidCall, LimitReached, ShuttingDown, UpstreamFailed
from gateway.core.ids import CallId, Instant
from gateway.core.outcome import Fault, OutcomeKind
from gateway.ingress.handshake import Handshake, SocketPlane
from gateway.ingress.plane import end_of
from gateway.ingress.turn import Home, Turn
from gateway.relay.answer import Answer, ComingBody
from gateway.relay.job import Job
from gateway.relay.lane import Follower, Lane, LaneStream
from gateway.relay.metering import CLIENT_GONE, Progress
from gateway.relay.shared_line import NOT_SUPPORTED, SharedLine
from gateway.telemetry.events import CallEnd, Event
from gateway.telemetry.log import get_logger
from gateway.wire.realtime import added
from gateway.wire.response_events import (
    ASKS,
    as_message,
    check_lane,
    check_type,
    is_error,
    passed_error,
    read_head,
    write_error_message,
    write_refused,
)
from gateway.wire.sockets import Closed, Message
from gateway.wire.sse import EventSplitter
from gateway.wire.usage import later, read_event_usage

MOST_TURNS: Final = 64
"""Responses that one connection may have asked for and not got. OpenAI works on 16 at once."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of their messages."""
QUEUE: Final = 8
"""Messages that wait for a slow caller; then the upstream is read no further."""
UNASKED_S: Final = 60.0
"""So long callers of a provider without this are told so by their handshake, by which most go on over HTTP."""
MOST_LANES: Final = 64
"""Whose last call is remembered, for responses that follow it unasked."""


class Conversation:
    """Fits `session.UpstreamSide`. One per caller's connection."""

    def __init__(self, sockets: SocketPlane, handshake: Handshake, progress: Progress) -> None:
        """`progress`: the session's own."""
        self._sockets = sockets
        self._plane = sockets.plane
        self._handshake = handshake
        self._progress = progress
        self._line = SharedLine(sockets.ways.sockets, on_stray=self._stray, on_successor=self._succeeded)
        self._home: Home | None = None
        self._opening = asyncio.Lock()
        """Held by the turn that looks for a home."""
        self._out: asyncio.Queue[Message | Closed] = asyncio.Queue(QUEUE)
        self._turns: dict[asyncio.Task[None], int] = {}
        """Under way, or behind another one of their lane; with the bytes of their messages."""
        self._ways: dict[asyncio.Task[None], Lane | Follower] = {}
        """Of turns that have begun."""
        self._early: list[Message] = []
        """Strays from before the conversation had a home."""
        self._lanes: dict[str | None, asyncio.Task[None]] = {}
        """The last turn of each lane."""
        self._last: dict[str | None, Job] = {}
        self._ending: asyncio.Task[None] | None = None
        self._count = 0
        self.responses = 0
        self.usage: Usage | None = None

    # -- as the upstream's side of a session ---------------------------------------------------------------------

    @property
    def may_end(self) -> bool:
        return self._plane.gate.is_draining and not self._turns and self._out.empty()

    async def receive(self) -> Message | Closed:
        return await self._out.get()

    async def send(self, message: Message) -> bool:
        raw = message if isinstance(message, bytes) else message.encode()
        head = read_head(raw)
        try:
            if head.type == ASKS:
                check_lane(head.stream_id)
                self._begin(raw, head.lane)
            else:
                await self._pass(message, raw)
        except GatewayError as error:
            await self._out.put(write_error_message(error, head.lane))
        return True

    def note(self, message: Message, now: Instant) -> None:
        """Each turn has counted what is its."""

    def lost(self, closed: Closed, now: Instant) -> None:
        """Turns that were under way have blamed the account; a connection that rested may end."""

    async def finish(self, code: int, reason: str) -> None:
        await self._line.finish(code, reason)
        await self._stop()

    async def close(self) -> None:
        self._line.leave()
        await self._stop()
        self._last.clear()  # each knows the line

    async def _stop(self) -> None:
        tasks = [*self._turns, *(() if self._ending is None else (self._ending,))]
        self._ending = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- messages of the caller ----------------------------------------------------------------------------------

    def _begin(self, body: bytes, lane: str | None) -> None:
        """A response is asked for: its turn comes when those before it in its lane have ended."""
        if len(self._turns) >= MOST_TURNS or sum(self._turns.values()) + len(body) > MOST_BYTES:
            raise LimitReached(
                f"Too many responses are asked for on this connection: {MOST_TURNS} at once, of "
                f"{MOST_BYTES // 1024 // 1024} MiB in all. Wait until one has ended.",
                code="too_many_responses",
            )
        self._start(lane, len(body), body=body)

    async def _pass(self, message: Message, raw: bytes) -> None:
        """Anything else, `response.steer` among it: to the conversation's home."""
        await self._next_turn().check(raw, self._line, self._home)
        check_type(raw)
        if self._home is None:
            raise InvalidCall(
                f"Begin with a message of the type `{ASKS}`: it chooses who serves this connection.",
                param="type",
                code="invalid_value",
            )
        await self._line.send(message)

    def _next_turn(self) -> Turn:
        self._count += 1
        return Turn(self._plane, self._handshake, CallId(f"{self._progress.call.id}.{self._count}"))

    # -- messages of the upstream that belong to no turn ---------------------------------------------------------

    async def _stray(self, message: Message) -> None:
        """It goes on behind what the upstream said before it."""
        for stream in [way.stream for way in self._ways.values() if way.stream is not None]:
            if stream.has_ended:
                await stream.released.wait()
        if self._home is None:
            self._early += [message] if len(self._early) < QUEUE else []
        else:
            await self._out.put(_passed(message))

    def _succeeded(self, stream: LaneStream) -> None:
        """A response follows another one unasked: what was steered in between has become its input."""
        self._start(stream.lane, 0, follows=stream)

    # -- turns ---------------------------------------------------------------------------------------------------

    def _start(self, lane: str | None, size: int, *, body: bytes = b"", follows: LaneStream | None = None) -> None:
        before = None if follows is not None else self._lanes.get(lane)
        task = asyncio.create_task(self._run(lane, before, body, follows), name="conversation.turn")
        self._turns[task] = size
        self._lanes[lane] = task
        task.add_done_callback(lambda done: self._ended(done, lane))

    def _ended(self, task: "asyncio.Task[None]", lane: str | None) -> None:
        self._turns.pop(task, None)
        self._ways.pop(task, None)
        if self._lanes.get(lane) is task:
            del self._lanes[lane]

    async def _run(
        self, lane: str | None, before: "asyncio.Task[None] | None", body: bytes, follows: LaneStream | None
    ) -> None:
        """One response, whatever happens."""
        if before is not None:
            await asyncio.wait({before})
        turn = self._next_turn()
        progress = turn.progress
        self._plane.meter.call_started()
        try:
            if follows is None:
                await self._serve(turn, lane, body)
            else:
                await self._follow(turn, follows)
        except GatewayError as error:
            await self._out.put(write_error_message(error, lane))
            progress.finish(end_of(error), error.status, code=error.code)
        except asyncio.CancelledError:
            self._cut_short(progress)
            raise
        except Exception as error:  # noqa: BLE001  # the ingress boundary: a bug of ours costs this message alone
            get_logger().exception(Event.CALL_CRASHED, call_id=turn.call_id, error=type(error).__name__)
            crash = GatewayError("The gateway failed on this call. Its operator finds this id in the log.")
            await self._out.put(write_error_message(crash, lane))
            progress.finish(CallEnd.CRASHED, 500, code=crash.code, is_complete=False)
        finally:
            self.usage = added(self.usage, progress.usage)

    async def _serve(self, turn: Turn, lane: str | None, body: bytes) -> None:
        way = self._line.lane(lane)
        self._note(way)
        if self._home is not None:
            answer = await self._answered(turn, way, body)
        else:
            async with self._opening:
                answer = await self._opened(turn, way, body)
        await self._tell(answer, way, turn.progress)

    async def _opened(self, turn: Turn, way: Lane, body: bytes) -> Answer:
        """The answer to a first message. Whose it is has the conversation."""
        self._early.clear()
        try:
            answer = await self._answered(turn, way, body)
            if answer.coming is not None and self._home is None:
                self._settle(turn.progress)
        finally:
            if self._home is None:
                self._line.drop()
        for message in self._early:
            await self._out.put(_passed(message))
        return answer

    def _note(self, way: Lane | Follower) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a turn runs in its own
        self._ways[task] = way

    async def _answered(self, turn: Turn, way: Lane, body: bytes) -> Answer:
        if self._home is not None and self._line.closed.done():
            raise UpstreamFailed("The upstream has ended this connection. Open a new one.")
        job = await turn.job(body, self._line, way, self._home)
        self._last.pop(way.lane, None)
        self._last[way.lane] = msgspec.structs.replace(job, body=b"", written=b"")
        if len(self._last) > MOST_LANES:
            del self._last[next(iter(self._last))]
        return await self._relayed(job)

    async def _relayed(self, job: Job) -> Answer:
        plane = self._plane
        return await (plane.stateful if self._handshake.own_key is None else plane.own_keys).relay_call(job)

    def _settle(self, progress: Progress) -> None:
        provider_id, session = progress.provider_id, self._progress
        assert provider_id is not None  # noqa: S101  # an attempt has succeeded
        self._home = Home(provider_id, progress.account_id)
        session.provider_id, session.account_id = provider_id, progress.account_id
        self._line.keep()
        self._ending = asyncio.create_task(self._until_closed(), name="conversation.end")

    async def _until_closed(self) -> None:
        """The upstream ends the connection: its last words first."""
        closed = await self._line.closed
        while self._turns:
            await asyncio.wait(self._turns)
        await self._out.put(closed)

    async def _follow(self, turn: Turn, stream: LaneStream) -> None:
        """A response that began already: counted, and its ids learned, as of any call."""
        last = self._last.get(stream.lane)
        if last is None:
            turn.progress.call = msgspec.structs.replace(turn.progress.call, key_id=self._progress.call.key_id)
            await self._pass_on(stream, turn.progress)
            return
        call = turn.progress.call = msgspec.structs.replace(last.call, id=turn.call_id, max_wait_s=0.0)
        way = Follower(stream)
        self._note(way)
        job = msgspec.structs.replace(last, call=call, progress=turn.progress, way=way, began=None)
        try:
            answer = await self._relayed(self._at_home(job))
        except GatewayError:  # the account is at its limits, or gone: the upstream has let it pass all the same
            await self._pass_on(stream, turn.progress)
        else:
            await self._tell(answer, way, turn.progress)

    def _at_home(self, job: Job) -> Job:
        """A job that may be of the time before there was a home."""
        if self._home is None or self._home.account_id is None:
            return job
        call = msgspec.structs.replace(job.call, pinned=frozenset({self._home.account_id}))
        return msgspec.structs.replace(job, call=call, pool=self._plane.board.pools.pool_for(call))

    # -- to the caller -------------------------------------------------------------------------------------------

    async def _tell(self, answer: Answer, way: Lane | Follower, progress: Progress) -> None:
        coming = answer.coming
        if coming is None:
            self._note_refusal(answer, progress)
            await self._out.put(write_refused(answer.status, answer.headers, answer.body, way.lane))
            progress.sent_whole(len(answer.body))
            progress.finish(answer.outcome, answer.status, code=answer.code)
            return
        try:
            await self._stream(coming, way)
        except asyncio.CancelledError:
            self._cut_short(progress)
            raise
        finally:
            await coming.close()
        self.responses += 1

    def _note_refusal(self, answer: Answer, progress: Progress) -> None:
        """A provider without WebSockets. Not by what a caller may have caused: its own key, or a query of its own."""
        asked, provider_id = self._handshake, progress.provider_id
        if answer.code == NOT_SUPPORTED and provider_id is not None and asked.own_key is None and not asked.query:
            self._sockets.without[provider_id] = Instant(self._plane.clock.now() + UNASKED_S)

    async def _stream(self, coming: ComingBody, way: Lane | Follower) -> None:
        splitter = EventSplitter()
        while piece := await coming.next_piece():
            for event in splitter.feed(piece):
                message = way.said(event)
                if message is not None:
                    await self._out.put(message)

    async def _pass_on(self, stream: LaneStream, progress: Progress) -> None:
        """Without the relay: what it used is counted."""
        while (event := await stream.next_chunk()) and isinstance(event, bytes):
            progress.usage = later(progress.usage, read_event_usage(event.removeprefix(b"data: ")))
            await self._out.put(as_message(event) or "")
        stream.close()
        is_whole = not isinstance(event, Fault)
        progress.finish(OutcomeKind.OK if is_whole else CallEnd.BROKEN, 200, is_complete=is_whole)

    def _cut_short(self, progress: Progress) -> None:
        if self._plane.gate.is_draining:
            progress.finish(CallEnd.SHUTTING_DOWN, 503, code=ShuttingDown.code, is_complete=False)
        else:
            progress.finish(OutcomeKind.CANCELLED, CLIENT_GONE, is_complete=False)


def _passed(message: Message) -> Message:
    raw = message if isinstance(message, bytes) else message.encode()
    return passed_error(raw) if is_error(raw) else message
