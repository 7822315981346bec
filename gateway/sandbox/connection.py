"""One connection: HTTP/1.1 in by httptools, an answer's steps out.

No task and no future per request: steps are played from callbacks, so that a fault happens at its exact byte, a client
that leaves is noticed at once, and one core serves thousands of requests a second.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

import httptools

from gateway.sandbox.answer import Ending, Pause, Step, Upgrade
from gateway.sandbox.journal import Seen
from gateway.sandbox.realtime import is_upgrade
from gateway.sandbox.request import Request

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST instead of FIN
_DRAIN_S = 0.005

Respond = Callable[[Request], tuple[Seen | None, Iterator[Step]]]


class Listener:
    """What a connection tells its sandbox."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.open: set[Connection] = set()
        self.emptied = asyncio.Event()
        """Set while no connection is open."""
        self.emptied.set()
        self.on_close: Callable[[Seen], None] = _ignore
        """An answer was played to its end."""
        self.on_hang_up: Callable[[Seen], None] = _ignore
        """The client left before that."""


class Connection(asyncio.Protocol):
    """One client's connection. Requests that come early wait for their turn."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._target = bytearray()
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._waiting: deque[Request] = deque()
        self._request: Request | None = None
        """The last one that came whole."""
        self._seen: Seen | None = None
        self._steps: Iterator[Step] | None = None
        self._keeps_alive = True
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        return self._steps is None

    def abort(self) -> None:
        self._transport.abort()

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.open.add(self)
        self._listener.emptied.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self._transport.abort()  # a bug of ours, or a script that cannot be sent: loud, never a 400
            raise
        except httptools.HttpParserUpgrade:
            if self._request is None or not is_upgrade(self._request):
                self._refuse()
        except httptools.HttpParserError:
            self._refuse()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._timer is None and self._steps is not None:
            self._play()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._listener.open.discard(self)
        if not self._listener.open:
            self._listener.emptied.set()
        self._stop_timer()
        self._waiting.clear()
        seen, self._seen, self._steps = self._seen, None, None
        if seen is not None:
            self._listener.on_hang_up(seen)

    # the parser's side

    def on_message_begin(self) -> None:
        self._target = bytearray()
        self._headers = []
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers):
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._target.decode("latin-1").partition("?")
        request = self._request = Request(
            method=self._parser.get_method().decode(),
            path=path,
            query=query,
            headers=self._headers,
            body=b"".join(self._body),
            keeps_alive=self._parser.should_keep_alive(),
        )
        if is_upgrade(request):  # refused or not, no request comes behind it
            request.keeps_alive = False
        self._waiting.append(request)
        if self._steps is None:
            self._serve_next()

    # playing

    def _serve_next(self) -> None:
        if self._waiting and self._steps is None and not self._transport.is_closing():
            request = self._waiting.popleft()
            self._keeps_alive = request.keeps_alive
            self._seen, self._steps = self._listener.respond(request)
            self._play()

    def _play(self) -> None:
        """Goes on with the steps until one takes time, the client is slow, or they end."""
        self._timer = None
        while self._steps is not None and not self._is_paused:
            step = next(self._steps)
            match step:
                case bytes():
                    self._transport.write(step)
                case Pause(seconds):
                    if seconds < float("inf"):
                        self._timer = self._loop.call_later(seconds, self._play)
                    else:
                        self._steps = _silence()
                    return
                case Ending():
                    self._end(step)
                    return
                case Upgrade():
                    self._upgrade(step)
                    return

    def _end(self, ending: Ending) -> None:
        if ending is Ending.RESET and self._transport.get_write_buffer_size():
            self._steps = iter((ending,))  # a reset now would take back what was already answered
            self._timer = self._loop.call_later(_DRAIN_S, self._play)
            return
        seen, self._seen, self._steps = self._seen, None, None
        if seen is not None:
            self._listener.on_close(seen)
        match ending:
            case Ending.KEEP if self._keeps_alive:
                self._loop.call_soon(self._serve_next)
            case Ending.KEEP | Ending.CLOSE:
                self._transport.close()
            case Ending.RESET:
                self._reset()

    def _upgrade(self, upgrade: Upgrade) -> None:
        from gateway.sandbox.talking import Talking  # noqa: PLC0415  # the library behind it, for who needs it

        assert self._request is not None  # noqa: S101  # it is being answered
        talking = Talking(self._transport, upgrade.talk, self._talked)
        self._transport.set_protocol(talking)
        talking.begin(self._request, upgrade.headers)

    def _talked(self, is_closed: bool) -> None:  # what `Talking` tells
        if is_closed and self._seen is not None:
            self._listener.on_close(self._seen)
            self._seen = None
        self.connection_lost(None)

    def _reset(self) -> None:
        connected = self._transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def _refuse(self) -> None:
        self._transport.write(_BAD_REQUEST)
        self._transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _silence() -> Iterator[Step]:
    """Never reached: a connection in endless silence has no timer, and is only ever lost."""
    yield Ending.RESET


def _ignore(_seen: Seen) -> None:
    """Nobody listens."""
