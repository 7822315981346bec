"""`AnswerReader`: the answers of one connection, one after the other, from bytes as they come. No I/O.

    begin() → feed(data)* → is_head_whole: status, headers → pieces → is_whole, or fault
              end(error)    the connection ended: a clean end only where the framing says so

Rules of this file: a body that was cut never looks whole; what is not clearly one answer breaks the connection (both
`transfer-encoding` and `content-length`, repeated lengths, bare LF, bytes behind the end), as it could be smuggling.
Callbacks run once for every header and piece of every call: keep them bare.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.core.outcome import Fault
from gateway.providers.base import Headers
from gateway.upstream import faults

MAX_HEAD_BYTES = 65_536
"""Of a head with the 1xx before it, and of what comes between two pieces of a body (trailers, chunk extensions)."""


class _Refusal(Exception):
    """Leaves the parser from inside a callback; `fault` or `may_reuse` already says why."""


class AnswerReader:
    __slots__ = (
        "_is_head_request",
        "_overhead",
        "_pairs",
        "_parse",
        "_parser",
        "fault",
        "headers",
        "is_head_whole",
        "is_whole",
        "may_reuse",
        "pieces",
        "received",
        "status",
    )

    def __init__(self) -> None:
        self._pairs: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        """Of the body, unread yet, transfer coding removed. The reader of the answer empties it."""
        self._parser = HttpResponseParser(self)
        self._parse = self._parser.feed_data
        self.begin(is_head=False)

    def begin(self, *, is_head: bool) -> None:
        """Makes ready for the next answer. `is_head`: the request was a HEAD, so no body follows."""
        self.status = 0
        self.headers: Headers = ()
        self.is_head_whole = False
        self.is_whole = False
        self.may_reuse = False
        """Whether another request may follow on the connection; meaningful once `is_whole`."""
        self.fault: Fault | None = None
        """Final. Pieces that came before it are still good."""
        self.received = 0
        """Bytes of the body so far."""
        self._is_head_request = is_head
        self._overhead = 0
        """Bytes fed since the answer began or its last piece came."""

    @property
    def is_untouched(self) -> bool:
        """No byte of an answer has come."""
        return not self.is_head_whole and not self._overhead

    def feed(self, data: bytes) -> None:
        self._overhead += len(data)
        received = self.received
        try:
            self._parse(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._break(error)
        if self.received != received:
            self._overhead = 0
        elif self._overhead > MAX_HEAD_BYTES and not self.is_whole and self.fault is None:
            self.fault = _too_long()
        if self._is_head_request and self.is_head_whole:
            self._end_after_head()

    def end(self, error: BaseException | None) -> None:
        """The connection ended: orderly when `error` is None. Feeds nothing more."""
        if self.is_whole:
            self.may_reuse = False
        elif self.fault is not None:
            pass
        elif not self.is_head_whole:
            self.fault = faults.reset_before_head(error)
        elif error is None and not self._is_framed():
            self.is_whole = True
        else:
            self.fault = faults.reset_in_body(self.received, self._announced(), error)

    def retire(self) -> None:
        """Parts from the parser, which holds our callbacks: else each connection were a cycle for the collector."""
        del self._parse, self._parser

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise _Refusal

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        status: int = self._parser.get_status_code()
        pairs = self._pairs
        if self._overhead > MAX_HEAD_BYTES and _wire_bytes(pairs) > MAX_HEAD_BYTES:
            self.fault = _too_long()
            raise _Refusal
        if status < 200:
            self._pass_interim(status)
            return
        self.status = status
        self.headers = tuple(pairs)
        pairs.clear()
        self.may_reuse = self._parser.should_keep_alive()
        self.is_head_whole = True

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)
        self.received += len(body)

    def on_message_complete(self) -> None:
        if self.is_head_whole:
            self._pairs.clear()  # trailers are not passed on
            self.is_whole = True

    def _pass_interim(self, status: int) -> None:
        if status == 101:
            self.fault = faults.switched_protocols()
        elif status < 100 or any(name in {b"content-length", b"transfer-encoding"} for name, _ in self._pairs):
            self.fault = faults.garbage(f"an interim answer {status} with a body")
        if self.fault is not None:
            raise _Refusal
        self._pairs.clear()

    def _end_after_head(self) -> None:
        """The parser does not know of HEAD and waits for the body, so the connection is not used again."""
        self.pieces.clear()
        self.is_whole = True
        self.may_reuse = False

    def _break(self, error: Exception) -> None:
        self.may_reuse = False
        is_over = self.is_whole or (self.is_head_whole and self._is_head_request)
        if not is_over and self.fault is None:
            self.fault = faults.garbage(str(error))

    def _is_framed(self) -> bool:
        """Whether the head says where the body ends; else the end of the connection does (RFC 9112 §6.3)."""
        codings = b",".join(value for name, value in self.headers if name == b"transfer-encoding").lower()
        return codings.endswith(b"chunked") or self._announced() is not None

    def _announced(self) -> int | None:
        for name, value in self.headers:
            if name == b"content-length":
                return int(value)
        return None


def _wire_bytes(pairs: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in pairs)


def _too_long() -> Fault:
    return faults.garbage(f"a head or trailer section of more than {MAX_HEAD_BYTES} bytes")
