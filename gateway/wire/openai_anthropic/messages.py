"""A stream of Messages, event by event, cut anywhere: what reads it for whoever tells it in other words.

chunk ─ whole events ─ comment      goes on
├ error        an error event of OpenAI's form
├ not JSON     left out; the stream is broken if it held a piece of the answer
└ JSON         what the teller makes of it; types of tomorrow are passed over, as Anthropic asks
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from gateway.wire.errors import error_of
from gateway.wire.openai_anthropic.response import Block, StopDetails, write_error
from gateway.wire.sse import Event as SseEvent
from gateway.wire.sse import EventSplitter, read_event
from gateway.wire.stream import MAX_EVENT_BYTES
from gateway.wire.surrogates import without_surrogates


class Start(msgspec.Struct, gc=False):
    id: str = ""
    model: str = ""
    usage: dict[str, Any] | None = None


class Delta(msgspec.Struct, gc=False):
    """Of a block or of the message, whichever the event is about."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: Any = None
    partial_json: str = ""
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    message: Start | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: dict[str, Any] | None = None


class _Type(msgspec.Struct, gc=False):
    type: str = ""


_decode: Final = msgspec.json.Decoder(Event).decode
_decode_type: Final = msgspec.json.Decoder(_Type).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MARKS_OF_CONTENT: Final = (b'"delta"', b'"content_block"', b'"message"')


TYPES: Final = frozenset(
    {
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop", "ping"),
    }
)

T = TypeVar("T")
Words = Mapping[str, Callable[[T, Event], bytes]]
"""Type of an event, one of `TYPES` → what a teller sends on for it."""


class MessageReader(Generic[T]):
    """Reads one stream for a teller, who is handed in each time: two that hold each other are never let go.

    `feed` what came, `finish` at its clean end.
    """

    __slots__ = ("_events", "_has_begun", "_is_foreign", "_words", "is_broken")

    def __init__(self, words: Words[T]) -> None:
        self._words = words
        self._events = EventSplitter()
        self._has_begun = False
        self._is_foreign = False
        """No events at all but a JSON body: it goes on as it is."""
        self.is_broken = False
        """An event was lost that held a piece of the answer: what was told so far is all that is whole."""

    def feed(self, chunk: bytes, teller: T) -> bytes:
        """What is sent on for the events that `chunk` completes; may be empty."""
        if not self._has_begun:
            self._has_begun = True
            self._is_foreign = chunk.lstrip()[:1] in {b"{", b"["}
        if self._is_foreign:
            return chunk
        if self.is_broken:
            return b""
        events = self._events.feed(chunk)
        if len(self._events.rest) > MAX_EVENT_BYTES:
            self._events.rest = b""
            self.is_broken = True
        return b"".join([self._read(event, teller) for event in events])

    def finish(self, teller: T) -> bytes:
        """What the last event says that lacked its blank line."""
        rest, self._events.rest = self._events.rest, b""
        return self._read(rest.rstrip(b"\r\n") + b"\n\n", teller) if rest.strip() else b""

    def _read(self, raw: bytes, teller: T) -> bytes:
        said = _said(raw)
        if said.data is None:
            return raw if said.is_comment else b""
        event = None if said.name == "error" else _decoded(said.data)
        if said.name == "error" or (event is not None and event.type == "error"):
            return _error_event(said.data)
        if event is None:
            self.is_broken = self.is_broken or _is_loss(said.data)
            return b""
        tell = self._words.get(event.type)
        return tell(teller, event) if tell is not None and not self.is_broken else b""


def _said(raw: bytes) -> SseEvent:
    """As `read_event`, without its detours for an event in the usual form."""
    line, _, rest = raw.partition(b"\n")
    if line.startswith(b"event: ") and rest.startswith(b"data: ") and rest.find(b"\n") == len(rest) - 2:
        return SseEvent(line[7:].decode("latin-1").rstrip("\r"), rest[6:-2])
    return read_event(raw)


def _decoded(data: bytes) -> Event | None:
    try:
        return _decode(data)
    except _UNREADABLE:
        pass
    try:
        return _decode(without_surrogates(data))
    except _UNREADABLE:
        return None


def _is_loss(data: bytes) -> bool:
    """Whether an event that cannot be read may have held a piece of the answer. Those of tomorrow hold none."""
    try:
        return _decode_type(data).type in TYPES
    except _UNREADABLE:
        return any(mark in data for mark in _MARKS_OF_CONTENT)


def _error_event(data: bytes) -> bytes:
    try:
        value = msgspec.json.decode(without_surrogates(data))
    except _UNREADABLE:
        value = {"message": data.decode(errors="replace")}
    return b"data: " + write_error(error_of(value), status=0) + b"\n\n"
