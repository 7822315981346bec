"""uvicorn's HTTP/1.1 protocol with fewer system calls: what is written in one turn of the loop goes out as one piece.

uvicorn writes an answer's head and its body one after the other, and each write is a system call. Held until the loop's
next turn (never longer) they are one, and the answers of one turn leave together, so that whoever reads them wakes up
once: measured, a tenth of a small call's CPU, and more of a stream's piece. Whole answers need not be taken apart into
messages either (`send_at_once`), nor does a kept connection need a timer of its own for each of its requests.
"""

import asyncio
import importlib
import re
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.core.errors import DRAINING, InvalidCall, ShuttingDown
from gateway.ingress.asgi import AT_ONCE, Scope
from gateway.providers.base import Headers
from gateway.wire.errors import write_error

SILENCE_S = 60.0
"""For a whole head, from its first byte or the connection's beginning; between two reads of a body. As nginx has it."""
HALF_S = 2.0
"""While the worker drains: for the rest of a request that has begun, from its last bytes on."""
LINGER_S = 5.0
"""How long the rest of a body is read, and dropped, behind an answer that ends the connection: were it closed at once,
the kernel would reset it, and the caller could lose the answer. As nginx has it."""
MAX_HEAD_BYTES = 65_536
"""Of a request line and its headers that come in more than one read; one read is bounded itself."""
HEAD_TOO_LARGE = write_error(
    InvalidCall("The request line and its headers are too large.", code="request_head_too_large", status=431)
)
NO_HTTP = write_error(InvalidCall("What came is not HTTP/1.1, or breaks its rules.", code="invalid_http"))
TOO_SLOW = write_error(
    InvalidCall("The request did not arrive in time: send it anew.", code="request_timeout", status=408)
)
STOPPING = write_error(ShuttingDown(DRAINING))

_STOPPING = b"503 Service Unavailable\r\nretry-after: 1"
_UPGRADE = re.compile(rb"(?i)\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)")


def without_upgrade(data: bytes) -> bytes:
    """`data`, which begins within a head, without the offer to speak HTTP/2.

    Java's own client makes it with every first request of a connection. The parser would take it for accepted and skip
    the body; RFC 9110 §7.8 lets a server pass over it.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"", head + b"\r\n").removesuffix(b"\r\n") + end + rest


def websocket_protocol(**parts: Any) -> asyncio.Protocol:  # noqa: ANN401  # uvicorn's, handed on
    """For `uvicorn.Config(ws=...)`, which calls it for each upgrade: the first one imports what all of them need."""
    protocol: asyncio.Protocol = importlib.import_module("gateway.websocket_protocol").WebSocketProtocol(**parts)
    return protocol


class CoalescingTransport:
    """Stands before a transport. Everything but writing and closing is the transport's own."""

    __slots__ = ("_is_lingering", "_is_more_coming", "_loop", "_parts", "_transport")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, is_more_coming: Callable[[], bool]
    ) -> None:
        """`is_more_coming`: whether the caller is still sending a request."""
        self._transport = transport
        self._loop = loop
        self._is_more_coming = is_more_coming
        self._parts: list[bytes] = []
        self._is_lingering = False

    def write(self, part: bytes) -> None:
        """Held until the next turn of the loop."""
        self._parts.append(part)
        if len(self._parts) == 1:
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        if self._is_lingering:
            return
        self._flush()
        if not self._transport.is_closing() and self._is_more_coming() and self._transport.can_write_eof():
            self._is_lingering = True
            self._transport.write_eof()
            self._transport.resume_reading()
            self._loop.call_later(LINGER_S, self._transport.close)
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        return self._is_lingering or self._transport.is_closing()

    def forget(self) -> None:
        """The connection is gone, or another protocol's: nobody is asked any more, and no circle keeps either alive."""
        self._is_more_coming = _nothing_comes

    def _flush(self) -> None:
        parts = self._parts
        if not parts:
            return
        self._parts = []
        if not (self._is_lingering or self._transport.is_closing()):
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the transport has
        return getattr(self._transport, name)


def _nothing_comes() -> bool:
    return False


class DeafParser:
    """Takes the place of a parser on a connection whose last request has come: what else comes is no HTTP."""

    def feed_data(self, data: bytes) -> None:
        """Drops it."""


class CoalescingProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`. Bounds the head and the wait for a request, which uvicorn does not."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn says so itself
        self._is_in_head = False
        self._is_in_body = False
        self._coalescing = CoalescingTransport(transport, self.loop, lambda: self._is_in_body)
        super().connection_made(self._coalescing)  # type: ignore[arg-type]  # fits by shape
        self._head_bytes = 0
        self._has_begun = False
        self._heard = self.loop.time()
        self._watch: asyncio.TimerHandle | None = self.loop.call_later(SILENCE_S, self._look)
        self._idle: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._is_draining = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        self._let_go()
        super().connection_lost(exc)

    def _let_go(self) -> None:
        """What points back here: a connection that is over is freed at once, not when the collector comes by."""
        self._coalescing.forget()
        for request in (self, self.cycle):
            if request is not None and request.scope is not None:
                cast("Scope", request.scope).pop(AT_ONCE, None)

    def _stop_timers(self) -> None:
        for timer in (self._watch, self._idle):
            if timer is not None:
                timer.cancel()
        self._watch = self._idle = None

    def shutdown(self) -> None:
        """The worker drains, and may say so again and again. What has come half may come whole, if it comes soon."""
        if not self._is_draining:
            self._is_draining = True
            if self._is_in_head or self._is_in_body:
                self._look()
        if not self._is_in_head:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        if b"h2c" in data and not self._is_in_body:
            data = without_upgrade(data)
        super().data_received(data)
        if self._is_in_head:  # still, after all that has come
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()
                return
        elif self._is_in_body:
            self._heard = self.loop.time()
        else:
            return
        if self._watch is None:
            self._watch = self.loop.call_later(HALF_S if self._is_draining else SILENCE_S, self._look)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        _scope_of(self)[AT_ONCE] = self.send_at_once
        self._is_in_head = self._has_begun = True
        self._head_bytes = 0
        self._heard = self.loop.time()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._is_in_body = True
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is self.scope:  # no upgrade, which asks for them again
            self.headers = []  # of trailers, which say nothing here: behind a body one could change who calls

    def on_message_complete(self) -> None:
        self._is_in_body = False
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        """A WebSocket begins with a GET (RFC 6455 §4.1); of another method the offer is passed over."""
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """Another protocol takes the connection over: no timer of ours looks at it any more."""
        self._is_in_head = self._is_in_body = False
        self._stop_timers()
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # an answer is still to come here: nobody pipelines an upgrade behind it
            return
        super().handle_websocket_upgrade()
        self._let_go()
        self.parser = None  # type: ignore[assignment]  # as uvicorn at a connection's end, of which this hears no more

    def send_at_once(self, scope: Scope, status: int, headers: Headers, body: bytes) -> bool:
        """Sends the whole answer to the request of `scope`; False: nothing was done, it must go the ordinary way.

        `headers` have their names in lower case and frame the answer already. Measured, uvicorn's own way, which looks
        at each header by itself, costs a small call a twentieth of its CPU.
        """
        cycle = self.cycle
        if cycle.scope is not scope or cycle.response_started or cycle.disconnected or not cycle.keep_alive:
            return False
        if self.flow.write_paused or scope["method"] == "HEAD":
            return False
        pairs = (*self.server_state.default_headers, *headers)
        fields = b"\r\n".join([name + b": " + value for name, value in pairs])
        if fields.count(b"\n") != len(pairs) - 1 or fields.count(b"\r") != len(pairs) - 1 or b"\0" in fields:
            return False  # a header that ends itself: uvicorn raises
        self.transport.write(b"".join((STATUS_LINE[status], fields, b"\r\n\r\n", body)))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        """As uvicorn's, but a connection has one timer for its idle times, which looks how long the last one is."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._end_idle)

    def _end_idle(self) -> None:
        self._idle = None
        if not self.cycle.response_complete or self._is_in_head or self._is_in_body:
            return  # busy; the end of that answer arms it again
        rest_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if rest_s > 0:
            self._idle = self.loop.call_later(rest_s, self._end_idle)
        else:
            self.timeout_keep_alive_handler()

    def _look(self) -> None:
        """One timer a connection, and none while nothing is awaited: a request that comes at once costs no timer."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self.transport.is_closing() or not (self._is_in_head or self._is_in_body or not self._has_begun):
            return
        silence_s = HALF_S if self._is_draining else SILENCE_S
        rest_s = self._heard + silence_s - self.loop.time()
        if rest_s <= 0 and self._is_ours_to_wait():
            rest_s = silence_s
        if rest_s > 0:
            self._watch = self.loop.call_later(rest_s, self._look)
        elif not self._has_begun:
            self.transport.close()  # not a byte came: nobody to tell
        else:
            status, body = (_STOPPING, STOPPING) if self._is_draining else (b"408 Request Timeout", TOO_SLOW)
            self._refuse(status, body)

    def _is_ours_to_wait(self) -> bool:
        """Whether it is not the caller who is late: an answer goes out, or we read no further."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        return is_answering and (self._is_in_head or self.cycle.response_started or self.flow.read_paused)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words, in a form that no SDK reads
        """What came is no HTTP, or has a URL that is longer than the parser takes.

        A request before it that came whole is answered, and then the connection ends.
        """
        cycle = self.cycle
        if cycle is not None and not (cycle.response_complete or self._is_in_body):
            cycle.keep_alive = False
            self.parser = DeafParser()  # type: ignore[assignment]  # fits by shape
            self._is_in_head = False
        elif len(getattr(self, "url", b"")) >= MAX_HEAD_BYTES:
            self._refuse_head()
        else:
            self._refuse(b"400 Bad Request", NO_HTTP)

    def _refuse_head(self) -> None:
        self._refuse(b"431 Request Header Fields Too Large", HEAD_TOO_LARGE)

    def _refuse(self, status: bytes, body: bytes) -> None:
        """Says so, unless a request of this connection is being answered, or this one was. Closes."""
        cycle = self.cycle
        is_answered = cycle is not None and (
            cycle.response_complete if self._is_in_body else not cycle.response_complete
        )
        if not is_answered:
            length = b"content-length: %d\r\n" % len(body)
            head = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\nconnection: close\r\n" + length
            self.transport.write(head + b"\r\n" + body)
        self._is_in_head = self._is_in_body = False
        self.transport.close()


def _scope_of(protocol: HttpToolsProtocol) -> Scope:
    """As a dict that may hold a key of ours."""
    return cast("Scope", protocol.scope)
