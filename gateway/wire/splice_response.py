"""A restarted response in the place of one that broke: as `wire/splice`, for the typed events of the Responses API.

    SentResponse.add: every piece that went to the caller     the stream breaks ─▶ SentResponse.splicer()
    ResponseSplicer.feed: the second answer's events ─▶ b"" while they repeat what was sent, then the rest; None: no

Rules of this file: only a plain answer is put together, one message with one text; events of other kinds come in the
same order in both, and the texts are compared decoded, character by character. What holds more (reasoning, tool calls,
logprobs) is never put together. The rest carries the first answer's ids, time and model, and its numbers go on.
"""

from typing import Any, Final

import msgspec

from gateway.wire.splice import MAX_TEXT, READ_EVERY_BYTES
from gateway.wire.sse import EventSplitter, read_event

_DELTA: Final = "response.output_text.delta"
_ANNOUNCED: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_PLAIN: Final = _ANNOUNCED | {
    _DELTA,
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
}
"""Types of events that may have been sent."""
_SILENT: Final = frozenset({"keepalive"})
_FACTS: Final = ("created_at", "model")
"""Members of a response that say which answer it is, beside its id."""


class _Event(msgspec.Struct, gc=False):
    type: str
    sequence_number: int = 0
    output_index: int = 0
    content_index: int = 0
    delta: str = ""
    text: str | None = None
    logprobs: Any = None
    item: Any = None
    part: Any = None
    response: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode


class _CannotJoin(Exception):
    """The second answer is another one, or holds what is never put together."""


_UNREADABLE: Final = (_CannotJoin, msgspec.DecodeError, UnicodeDecodeError)


class _Told:
    """What a plain answer has told: its kinds of events but for the deltas, its text, and its names."""

    __slots__ = ("facts", "item_id", "kinds", "response_id", "sequence", "text")

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.text: list[str] = []
        self.response_id = ""
        self.item_id = ""
        self.facts: dict[str, Any] = {}
        self.sequence = -1

    def read(self, event: _Event) -> None:
        """One more event. Raises when the answer is no plain one."""
        _check(event)
        self.sequence = event.sequence_number
        if event.type == _DELTA:
            self.text.append(event.delta)
            return
        self.kinds.append(event.type)
        if isinstance(event.response, dict) and not self.response_id:
            self.response_id = _text(event.response.get("id"))
            self.facts = {name: event.response[name] for name in _FACTS if name in event.response}
        if isinstance(event.item, dict):
            self.item_id = _text(event.item.get("id"))


class SentResponse:
    """What of one response went to the caller. A piece costs an append; pieces are read when needed, or too many."""

    __slots__ = ("_bytes", "_characters", "_is_lost", "_pieces", "_told")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._characters = 0
        self._told = _Told()
        self._is_lost = False
        """It holds what cannot be put together, or too much: nothing is kept any more."""

    def add(self, piece: bytes) -> None:
        """Whole events."""
        if self._is_lost:
            return
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes >= READ_EVERY_BYTES:
            self._read()

    def splicer(self) -> "ResponseSplicer | None":
        """For one restarted answer; None when what was sent cannot be continued. Call it once."""
        self._read()
        return None if self._is_lost else ResponseSplicer(self._told)

    def _read(self) -> None:
        pieces, self._pieces, self._bytes = self._pieces, [], 0
        told = self._told
        try:
            for data in _data_in(b"".join(pieces)):
                told.read(_decode(data))
        except _UNREADABLE:
            self._is_lost = True
        told.text[:] = ["".join(told.text)]
        self._is_lost |= len(told.text[0]) > MAX_TEXT


class ResponseSplicer:
    """Takes a second response's events, gives what of them continues the first. For one answer only."""

    __slots__ = ("_first", "_is_joined", "_left", "_names", "_second", "_sequence", "_step")

    def __init__(self, first: _Told) -> None:
        self._first = first
        self._second = _Told()
        self._left = "".join(first.text)
        """Text that the second answer has not repeated yet."""
        self._step = 0
        """Events beside the deltas that it has repeated."""
        self._is_joined = False
        self._names: dict[str, str] = {}
        """The second answer's ids, and the first's in their place."""
        self._sequence = first.sequence
        """Of the last event that the caller has."""

    def feed(self, piece: bytes) -> bytes | None:
        """What to send on of whole events. None: the answers differ, and nothing more may be fed."""
        try:
            return b"".join([self._rest_of(data) for data in _data_in(piece)])
        except _UNREADABLE:
            return None

    def renumbered(self, event: bytes) -> bytes:
        """An error event of the second answer, with the number that follows what the caller has."""
        value = msgspec.json.decode(next(iter(_data_in(event))))
        return self._written(value)

    def _rest_of(self, data: bytes) -> bytes:
        if self._is_joined:
            return self._continued(data)
        event = _decode(data)
        if event.type in _SILENT:
            return b""
        if self._step == len(self._first.kinds) and not self._left:
            self._join()
            return self._continued(data)
        self._second.read(event)
        if event.type != _DELTA:
            self._repeat(event)
            return b""
        repeated = event.delta[: len(self._left)]
        if not self._left.startswith(repeated):
            raise _CannotJoin
        self._left = self._left[len(repeated) :]
        rest = event.delta[len(repeated) :]
        if not rest:
            return b""
        if self._step < len(self._first.kinds):
            raise _CannotJoin  # the first had ended its text by then
        self._join()
        return self._written(self._renamed(msgspec.json.decode(data)) | {"delta": rest})

    def _repeat(self, event: _Event) -> None:
        """An event that announces or ends something: the first answer said it too, at this place."""
        has_ended = event.text is not None
        if self._step == len(self._first.kinds) or self._first.kinds[self._step] != event.type:
            raise _CannotJoin
        if has_ended and self._left:
            raise _CannotJoin  # it ended before it had said all
        self._step += 1

    def _join(self) -> None:
        first, second = self._first, self._second
        self._is_joined = True
        self._names = {second.response_id: first.response_id, second.item_id: first.item_id}
        self._names.pop("", None)

    def _continued(self, data: bytes) -> bytes:
        value = msgspec.json.decode(data)
        if not isinstance(value, dict):
            raise _CannotJoin
        if isinstance(value.get("response"), dict):
            value["response"] |= self._first.facts
        return self._written(self._renamed(value))

    def _renamed(self, value: Any) -> Any:  # noqa: ANN401  # any JSON value
        """`value` with the first answer's ids."""
        if isinstance(value, str):
            return self._names.get(value, value)
        if isinstance(value, dict):
            return {name: self._renamed(item) for name, item in value.items()}
        return [self._renamed(item) for item in value] if isinstance(value, list) else value

    def _written(self, value: dict[str, Any]) -> bytes:
        self._sequence += 1
        if "sequence_number" in value:
            value["sequence_number"] = self._sequence
        return b"event: %b\ndata: %b\n\n" % (_text(value.get("type")).encode(), msgspec.json.encode(value))


def _check(event: _Event) -> None:
    """Raises unless the event belongs to one message with one text."""
    is_message = event.item is None or (isinstance(event.item, dict) and event.item.get("type") == "message")
    is_text = event.part is None or (isinstance(event.part, dict) and event.part.get("type") == "output_text")
    if event.type not in _PLAIN or not is_message or not is_text or event.logprobs:
        raise _CannotJoin
    if event.output_index or event.content_index:
        raise _CannotJoin


def _data_in(piece: bytes) -> list[bytes]:
    """The data of the events in a piece; comments are left out."""
    found = [read_event(raw).data for raw in EventSplitter().feed(piece)]
    return [data for data in found if data is not None]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
