"""`ScriptedUpstream`: an `relay.ports.Upstream` whose answers are written down. No socket; time is the FakeClock's."""

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Headers, UpstreamRequest
from tests.fakes.clock import FakeClock

JSON_HEADERS: Headers = ((b"content-type", b"application/json"),)
EVENT_HEADERS: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)


class Pause(msgspec.Struct, frozen=True):
    """Nothing comes for so long, by the FakeClock."""

    seconds: float


class Until(msgspec.Struct, frozen=True):
    """Nothing comes before the event is set."""

    event: asyncio.Event


Piece = bytes | Fault | Pause | Until


class Reply(msgspec.Struct, frozen=True):
    """One answer: a head after `wait_s`, then the pieces, then a clean end."""

    status: int = 200
    headers: Headers = JSON_HEADERS
    pieces: tuple[Piece, ...] = ()
    wait_s: float = 0.0
    until: asyncio.Event | None = None
    """Hold the head back until then."""


Script = Reply | Fault


class ScriptedAnswer:
    """Fits `relay.ports.UpstreamAnswer`."""

    def __init__(self, reply: Reply, clock: FakeClock, stall_s: float) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._pieces = deque(reply.pieces)
        self._clock = clock
        self._stall_s = stall_s
        self.is_ended = False
        """Read to its clean end: the connection may be used again."""
        self.is_closed = False
        self.closings = 0

    @property
    def is_cut(self) -> bool:
        return self.is_closed and not self.is_ended

    async def next_chunk(self, timeout_s: float | None = None) -> bytes | Fault:
        assert not self.is_closed, "read after close"
        left_s = self._stall_s if timeout_s is None else timeout_s
        while self._pieces:
            match self._pieces[0]:
                case Pause(seconds):
                    began = self._clock.now()
                    if seconds > left_s:
                        self._pieces[0] = Pause(seconds - left_s)
                        await self._clock.sleep(left_s)
                        return Fault(FaultKind.STALL, "silence", is_body_sent=True)
                    await self._clock.sleep(seconds)
                    left_s -= self._clock.now() - began
                case Until(event):
                    await event.wait()
                case piece:
                    self._pieces.popleft()
                    return piece
            self._pieces.popleft()
        self.is_ended = True
        return b""

    async def read_all(self, max_bytes: int) -> bytes | Fault:
        parts = []
        while True:
            chunk = await self.next_chunk()
            if isinstance(chunk, Fault):
                return chunk
            if not chunk:
                break
            parts.append(chunk)
        whole = b"".join(parts)
        return whole if len(whole) <= max_bytes else Fault(FaultKind.GARBAGE, "too long", is_body_sent=True)

    def close(self) -> None:
        self.is_closed = True
        self.closings += 1


class Attempted(msgspec.Struct):
    """What the upstream saw of one attempt."""

    key: str
    request: UpstreamRequest
    at: float
    answer: ScriptedAnswer | None = None
    """None: no head came."""


class ScriptedUpstream:
    """Answers by the account's key. A script's last answer repeats for ever."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._scripts: dict[str, deque[Script]] = {}
        self.attempts: list[Attempted] = []
        self.running = 0
        """Attempts whose head has not come."""
        self.most_running = 0

    def on(self, key: str, *script: Script) -> None:
        """From now on the account with this key answers so; the key "" is whoever presents none: a token endpoint."""
        self._scripts[key] = deque(script)

    @property
    def keys(self) -> list[str]:
        """Which accounts were asked, in order."""
        return [attempted.key for attempted in self.attempts]

    @property
    def answers(self) -> Iterable[ScriptedAnswer]:
        return [attempted.answer for attempted in self.attempts if attempted.answer is not None]

    async def attempt(self, request: UpstreamRequest) -> ScriptedAnswer | Fault:
        key = dict(request.headers).get(b"authorization", b"").removeprefix(b"Bearer ").decode()
        script = self._scripts[key]
        step = script.popleft() if len(script) > 1 else script[0]
        attempted = Attempted(key, request, self._clock.now())
        self.attempts.append(attempted)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if isinstance(step, Fault):
                return step
            fault = await self._wait_for_head(step, request.limits.headers_s)
        finally:
            self.running -= 1
        if fault is not None:
            return fault
        attempted.answer = ScriptedAnswer(step, self._clock, request.limits.stall_s)
        return attempted.answer

    async def _wait_for_head(self, reply: Reply, headers_s: float) -> Fault | None:
        if reply.wait_s > headers_s:
            await self._clock.sleep(headers_s)
            return Fault(FaultKind.HEADERS_TIMEOUT, "no head", is_body_sent=True)
        if reply.wait_s:
            await self._clock.sleep(reply.wait_s)
        if reply.until is not None:
            await reply.until.wait()
        return None
