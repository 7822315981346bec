"""One response on a line that is shared: towards the relay an upstream, and an answer of its."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Headers, UpstreamRequest
from gateway.relay.ports import UpstreamAnswer
from gateway.wire.response_events import (
    as_event,
    as_message,
    failure_in,
    is_error,
    passed_error,
    read_refusal,
    write_broken,
)

QUEUE: Final = 8
"""Messages that wait for their reader; then the connection is read no further."""
EVENTS: Final[Headers] = ((b"content-type", b"text/event-stream"),)
PATIENCE_S: Final = 600.0
STALL: Final = Fault(FaultKind.STALL, "no event within the stall limit", is_body_sent=True)
HEADERS_TIMEOUT: Final = Fault(FaultKind.HEADERS_TIMEOUT, "no event came in time", is_body_sent=True)


class Lane:
    """Fits `ports.Upstream`: the way of one call."""

    def __init__(self, ask: "Ask", lane: str | None) -> None:
        self._ask = ask
        self.lane = lane
        self.stream: LaneStream | None = None
        """Of its latest attempt, from the moment in which that was sent."""

    async def attempt(self, request: UpstreamRequest) -> UpstreamAnswer | Fault:
        return await self._ask(request, self)

    def said(self, event: bytes) -> str | None:
        """The message in an event of its answer; None for a comment."""
        return None if self.stream is None else self.stream.said(event)


class Follower:
    """Fits `ports.Upstream`: the way of a call whose answer has begun already."""

    def __init__(self, stream: "LaneStream") -> None:
        self.stream = stream
        self.lane = stream.lane

    async def attempt(self, request: UpstreamRequest) -> UpstreamAnswer | Fault:  # noqa: ARG002  # nobody is asked
        """Once: nobody can ask for it again, so how it failed is what its caller reads."""
        return Refused(400, (), failure_in(self.stream.last)) if self.stream.last else self.stream

    def said(self, event: bytes) -> str | None:
        return self.stream.said(event)


class Refused:
    """Fits `ports.UpstreamAnswer`: an error that tells its status."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:  # noqa: ARG002  # it is all here
        return self._body

    async def read_all(self, max_bytes: int) -> bytes | Fault:  # noqa: ARG002  # a message was bounded
        return self._body

    def close(self) -> None:
        """It has no connection of its own."""


class LaneStream:
    """Fits `ports.UpstreamAnswer`: the messages of one response, as a stream of events."""

    status = 200
    headers = EVENTS

    def __init__(self, lane: str | None, *, give_up: Callable[[], None], stall_s: float = PATIENCE_S) -> None:
        """`give_up`: what to do when nobody waits for its end."""
        self.lane = lane
        self._give_up = give_up
        self._stall_s = stall_s
        self._inbox: deque[tuple[bytes, bool]] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._fault: Fault | None = None
        self._is_over = False
        """Its end was read."""
        self.has_ended = False
        """Its end has come."""
        self.released = asyncio.Event()
        """Nothing of it is on its way to the caller any more, or will be."""
        self.last = b""
        """Its last message as it came, once that was read; b"" before."""

    # -- the line's end of it ------------------------------------------------------------------------------------

    async def put(self, message: bytes, *, is_last: bool) -> None:
        """Waits while its reader is slow."""
        while len(self._inbox) >= QUEUE:
            self._room.clear()
            await self._room.wait()
        self.has_ended = is_last
        self._inbox.append((message, is_last))
        self._news.set()

    def break_off(self, fault: Fault) -> None:
        """Nothing more comes. What came before is still read."""
        self._fault = fault
        self.has_ended = True
        self._news.set()

    # -- as an answer --------------------------------------------------------------------------------------------

    async def begun(self, timeout_s: float) -> UpstreamAnswer | Fault:
        """Once the upstream has said anything: itself, or the refusal that it said."""
        try:
            fault = await self._came(timeout_s)
        except BaseException:
            self.close()
            raise
        if fault is not None:
            self.close()
            return HEADERS_TIMEOUT if fault is STALL else fault
        refusal = read_refusal(self._inbox[0][0])
        if refusal is None:
            return self
        self.released.set()  # the caller may never hear of it
        return Refused(refusal.status, refusal.headers, refusal.body)

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:
        if self._is_over:
            return b""
        fault = await self._came(self._stall_s if timeout_s is None else timeout_s)
        if fault is not None:
            return fault
        message, self._is_over = self._inbox.popleft()
        self._room.set()
        if self._is_over:
            self.last = message
        return as_event(message)

    async def read_all(self, max_bytes: int) -> bytes | Fault:  # noqa: ARG002  # each message was bounded
        """Nobody reads a stream so."""
        return Fault(FaultKind.GARBAGE, "a stream where a body was expected")

    def close(self) -> None:
        self.released.set()
        if not self._is_over:
            self._is_over = True
            self._give_up()

    def said(self, event: bytes) -> str | None:
        """The message in an event that was read from it; None for a comment. An error is the upstream's own, if any."""
        if not event.startswith(b"event: "):  # its messages have no such line: the stream's reader has written it
            return as_message(event)
        return passed_error(self.last) if is_error(self.last) else write_broken(event, self.lane)

    async def _came(self, timeout_s: float) -> Fault | None:
        """None once there is a message to read."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._inbox:
                    if self._fault is not None:
                        return self._fault
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return STALL
        return None


Ask = Callable[[UpstreamRequest, Lane], Awaitable[UpstreamAnswer | Fault]]
