"""Streams of typed events: the Responses API, speech, transcripts, images, runs, sessions.

Rules of this file: whole events go on as they came; every one is decoded into the few members that matter, so a half or
a broken one is never taken for a whole one. What ends a stream is in `wire/families`.

    chunk ─ whole events ─ comment           goes on
                         ├ error             the stream is over, `error` says why
                         ├ not JSON          left out; the stream is broken if it held a piece of the answer
                         └ JSON              counted, looked at, goes on; after the family's last event nothing is read

A stream that is only read (GET), or that tells of a session, reports what has happened: errors in it are no errors of
this call, and its usage was counted when it was made.
"""

from typing import Any, Final

import msgspec

from gateway.core.call import Endpoint, Schema, StreamKind
from gateway.core.errors import GatewayError
from gateway.core.masking import masked_identifiers, masked_identifiers_in_bytes
from gateway.core.outcome import ErrorBody
from gateway.wire.errors import anthropic_error_body, anthropic_type, error_in_answer, error_of, read_error
from gateway.wire.families import RESPONSES, Family, family_of
from gateway.wire.seen import Seen
from gateway.wire.sse import LongEventSplitter, read_event
from gateway.wire.surrogates import without_surrogates
from gateway.wire.usage import later, read_event_usage

MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
"""An event, or a JSON answer where a stream was expected, beyond this breaks the stream. Images come in one event."""

_MARKS_OF_CONTENT: Final = (b'"type"', b'"delta"', b'"object"')
_EMPTY: Final = frozenset({b"", b"null", b'""', b"{}"})
_NO_NAMES: Final = frozenset({None, "", "message"})
"""Names of `event:` lines that say nothing; `message` is what SSE itself calls an event without one."""
_KEEP_ALIVES: Final = frozenset({"ping", "keepalive"})
"""Types of events that say nothing: as comments, they restart no limit."""
_SESSIONS: Final = "/agents/"


class _Event(msgspec.Struct, gc=False):
    """The members of an event that matter; the others are only skipped."""

    type: Any = None
    sequence_number: Any = None
    error: Any = None


class _FirstEvent(msgspec.Struct, gc=False):
    """Members of `_Event`, and those that only the first events are asked for."""

    type: Any = None
    sequence_number: Any = None
    error: Any = None
    id: Any = None
    session_id: Any = None
    """Of agents' sessions."""
    delta: msgspec.Raw = msgspec.Raw(b"-")
    """As good as any text where there is none: the event's type decides."""
    response: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


class _Object(msgspec.Struct, frozen=True, gc=False):
    """A response inside of its event."""

    id: Any = None
    error: Any = None


class _Failed(msgspec.Struct, gc=False):
    """The event `response.failed`."""

    response: _Object = _Object()


_decode: Final = msgspec.json.Decoder(_Event).decode
_decode_first: Final = msgspec.json.Decoder(_FirstEvent).decode
_decode_object: Final = msgspec.json.Decoder(_Object).decode
_decode_failed: Final = msgspec.json.Decoder(_Failed).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class TypedReader(Seen):
    """Fits `reading.EventReader`."""

    __slots__ = (
        "_endpoint",
        "_events",
        "_failed",
        "_family",
        "_has_end",
        "_is_counted",
        "_is_report",
        "_is_responses",
        "_sequence",
        "may_be_silent",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._is_responses = endpoint.stream is StreamKind.RESPONSES
        self._is_counted = endpoint.method != "GET"
        self._is_report = endpoint.method == "GET" or endpoint.path.startswith(_SESSIONS)
        """It may hold errors, or nothing at all."""
        self.may_be_silent = endpoint.method == "GET" and not self._is_responses
        self._family: Family | None = RESPONSES if self._is_responses else None
        self._events = LongEventSplitter()
        self._has_end = False
        self._failed: bytes | None = None
        """The upstream's own word for `error`, as it may go to the caller."""
        self._sequence = -1

    @property
    def is_finished(self) -> bool:
        """The answer is whole, whatever becomes of the connection."""
        return self.is_done or (self._has_end and self._family is not None and self._family.is_single)

    def feed(self, chunk: bytes) -> bytes:
        """What to send on of `chunk` and of what waited before it; may be empty. After the end it is always empty."""
        if self._has_ended():
            return b""
        if not self.events and not self._events.size and chunk.lstrip()[:1] in {b"{", b"["}:
            self.is_json = True
        if self.is_json:
            self.is_broken = not self._events.hold(chunk, MAX_EVENT_BYTES)
            return b""
        sent = []
        for event in self._events.feed(chunk):
            sent.append(self._read(event))
            if self._has_ended():
                return b"".join(sent)
        self.is_broken = self._events.size > MAX_EVENT_BYTES
        return b"".join(sent)

    def finish(self) -> bytes | None:
        """Called at the clean end of the body: what to add; None: it was cut short. May set `error`."""
        if self.is_json:
            return self._finish_json()
        if self._has_ended():
            return b"" if self.is_done else None
        had_end = self._has_end
        rest = self._events.join().rstrip(b"\r\n")
        sent = self._read(rest + b"\n\n") if rest.strip() else b""  # both official SDKs would drop it
        if had_end:
            self.is_broken = False  # half an event behind the end costs the caller nothing
        if self.is_broken or self.error is not None or self._is_owed_more():
            return None
        family = self._family
        return sent if family is None or self.is_done else sent + family.closing

    def _is_owed_more(self) -> bool:
        """Whether an end has to come still. Of a stream of no known family only that it says something at all."""
        if self._family is None:
            return self.events == 0 and not self._is_report
        return not self._has_end

    def write_error(self, error: GatewayError | ErrorBody) -> bytes:
        """The event that ends a failed stream: the upstream's own where it said one that both SDKs raise on.

        Of Responses it is the documented form and the nested one in one (reference §5.4). Nothing follows it.
        Identifiers of accounts are masked.
        """
        if error is self.error and self._failed is not None:
            return masked_identifiers_in_bytes(self._failed)
        message = masked_identifiers(error.message) or "The upstream failed while it was answering."
        if self._endpoint.schema is Schema.ANTHROPIC:
            type_ = anthropic_type(error) if isinstance(error, GatewayError) else error.type or "api_error"
            return b"event: error\ndata: " + anthropic_error_body(message, type_, error.code) + b"\n\n"
        inner = {"type": error.type or "server_error", "code": error.code, "message": message, "param": error.param}
        event: dict[str, object] = {"type": "error"}
        if self._is_responses:
            event |= {"code": error.code, "message": message, "param": error.param}
            event["sequence_number"] = self._sequence + 1
        event["error"] = inner
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"

    def _finish_json(self) -> bytes | None:
        """A JSON body goes on as it came when it is whole and no error."""
        body = self._events.rest
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except _UNREADABLE:
            self.error = read_error(body, "text/plain")
            return None
        self.error = error_in_answer(body, self._endpoint)
        return body if self.error is None else None

    # -- one event -----------------------------------------------------------------------------------------------

    def _read(self, raw: bytes) -> bytes:
        """What to send on of one event."""
        line, _, rest = raw.partition(b"\n")
        if line.startswith(b"event: ") and rest.startswith(b"data: ") and rest.find(b"\n") == len(rest) - 2:
            return self._read_data(raw, rest[6:-2], line[7:].decode("latin-1").rstrip("\r"))
        if rest == b"\n" and line.startswith(b"data: "):
            return self._read_data(raw, line[6:], None)
        event = read_event(raw)
        if event.is_comment:
            return raw
        if event.data is None:
            return self._leave_out(b"")  # a name alone stops both official SDKs with an exception
        return self._read_data(raw, event.data, event.name)

    def _read_data(self, raw: bytes, data: bytes, name: str | None) -> bytes:
        if data.startswith(b"[DONE]"):
            return self._read_done(raw)
        try:
            event = _decode(data) if self.has_content else _decode_first(data)
        except msgspec.ValidationError:
            event = _Event()  # JSON, but no object
        except _UNREADABLE:
            readable = without_surrogates(data)
            return self._leave_out(data) if readable == data else self._read_data(raw, readable, name)
        type_ = event.type if name in _NO_NAMES else name
        type_ = type_ if isinstance(type_, str) else ""
        if self._is_error(type_, event.error):
            return self._read_failure(raw, data, type_)
        if type_ in _KEEP_ALIVES:
            return raw
        self.events += 1
        if type(event.sequence_number) is int:
            self._sequence = event.sequence_number
        if isinstance(event, _FirstEvent):
            self._wait_for_content(event, type_)
        if self._is_counted:
            self.usage = later(self.usage, read_event_usage(data))
        family = self._family
        if family is not None and (type_ in family.ends or type_ == "error"):  # that one only in a report
            self._has_end = True
            self.is_done = family.is_last
        return raw

    def _wait_for_content(self, event: _FirstEvent, type_: str) -> None:
        if self._family is None:
            self._family = family_of(type_)
        if self.object_id is None:
            self.object_id = _id_of(event)
        held = () if self._family is None else self._family.held
        self.has_content = type_ not in held and bytes(event.delta) not in _EMPTY

    def _read_done(self, raw: bytes) -> bytes:
        """`[DONE]`: assistants end with it, others may. Before the end of an answer it is none."""
        if self._is_owed_more():
            self.is_broken = True
            return b""
        self.is_done = True
        return raw

    def _is_error(self, type_: str, error: object) -> bool:
        if self._is_report:
            return False
        return type_ in {"error", "response.failed"} or (type_ == "" and bool(error))

    def _read_failure(self, raw: bytes, data: bytes, type_: str) -> bytes:
        """An error, in whichever of its forms; `response.failed` goes to the caller as it came."""
        self.usage = later(self.usage, read_event_usage(data))
        if type_ == "response.failed":
            self.error = error_of({"error": _failed_in(data)})
            self._failed = raw
            return b""
        try:
            value = msgspec.json.decode(without_surrogates(data))
        except msgspec.DecodeError:
            value = {}  # it holds a number that Python cannot hold
        nested = isinstance(value, dict) and bool(value.get("error"))
        if isinstance(value, dict) and not nested:
            value.pop("type", None)  # the event's, not the error's
        self.error = error_of(value)
        if nested and not self._is_responses:
            self._failed = raw
        return b""

    def _leave_out(self, data: bytes) -> bytes:
        self.left_out += 1
        self.is_broken = any(mark in data for mark in _MARKS_OF_CONTENT)
        return b""


def _id_of(event: _FirstEvent) -> str | None:
    if isinstance(event.id, str):
        return event.id
    for inner in (bytes(event.response), bytes(event.message)):
        try:
            found = _decode_object(inner).id if inner.startswith(b"{") else None
        except _UNREADABLE:
            continue
        if isinstance(found, str):
            return found
    return event.session_id if isinstance(event.session_id, str) else None


def _failed_in(data: bytes) -> object:
    try:
        return _decode_failed(data).response.error
    except _UNREADABLE:
        return None
