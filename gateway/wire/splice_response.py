"""A restarted response in the place of one that broke: as `wire/splice`, for the typed events of the Responses API.

Rules of this file: only a plain answer is put together, one message with one text; events of other kinds come in the
same order in both, and the texts are compared decoded, character by character. What holds more (reasoning, tool calls,
logprobs) is never put together. The rest carries the first answer's ids, time and model, and its numbers go on.
"""

from typing import Any, Final

import msgspec

from gateway.wire.sent import UNREADABLE, CannotJoin
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


class ToldResponse:
    """Fits `sent.Told`, of a plain answer: its kinds of events but for the deltas, its text, and its names."""

    __slots__ = ("characters", "facts", "item_id", "kinds", "response_id", "sequence", "text")

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.text: list[str] = []
        self.characters = 0
        self.response_id = ""
        self.item_id = ""
        self.facts: dict[str, Any] = {}
        self.sequence = -1

    def splicer(self) -> "ResponseSplicer":
        return ResponseSplicer(self)

    def read(self, pieces: list[bytes]) -> None:
        for data in _data_in(b"".join(pieces)):
            self.read_event(_decode(data))
        self.text[:] = ["".join(self.text)]

    def read_event(self, event: _Event) -> None:
        """One more event. Raises when the answer is no plain one."""
        _check(event)
        self.sequence = event.sequence_number
        if event.type == _DELTA:
            self.text.append(event.delta)
            self.characters += len(event.delta)
            return
        self.kinds.append(event.type)
        if isinstance(event.response, dict) and not self.response_id:
            self.response_id = _text(event.response.get("id"))
            self.facts = {name: event.response[name] for name in _FACTS if name in event.response}
        if isinstance(event.item, dict):
            self.item_id = _text(event.item.get("id"))


class ResponseSplicer:
    """Fits `sent.Continued`."""

    __slots__ = ("_first", "_is_joined", "_left", "_names", "_second", "_sequence", "_step")

    def __init__(self, first: ToldResponse) -> None:
        self._first = first
        self._second = ToldResponse()
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
        try:
            return b"".join([self._rest_of(data) for data in _data_in(piece)])
        except UNREADABLE:
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
        self._second.read_event(event)
        if event.type != _DELTA:
            self._repeat(event)
            return b""
        repeated = event.delta[: len(self._left)]
        if not self._left.startswith(repeated):
            raise CannotJoin
        self._left = self._left[len(repeated) :]
        rest = event.delta[len(repeated) :]
        if not rest:
            return b""
        if self._step < len(self._first.kinds):
            raise CannotJoin  # the first had ended its text by then
        self._join()
        return self._written(self._renamed(msgspec.json.decode(data)) | {"delta": rest})

    def _repeat(self, event: _Event) -> None:
        """An event that announces or ends something: the first answer said it too, at this place."""
        has_ended = event.text is not None
        if self._step == len(self._first.kinds) or self._first.kinds[self._step] != event.type:
            raise CannotJoin
        if has_ended and self._left:
            raise CannotJoin  # it ended before it had said all
        self._step += 1

    def _join(self) -> None:
        first, second = self._first, self._second
        self._is_joined = True
        self._names = {second.response_id: first.response_id, second.item_id: first.item_id}
        self._names.pop("", None)

    def _continued(self, data: bytes) -> bytes:
        value = msgspec.json.decode(data)
        if not isinstance(value, dict):
            raise CannotJoin
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
        raise CannotJoin
    if event.output_index or event.content_index:
        raise CannotJoin


def _data_in(piece: bytes) -> list[bytes]:
    """The data of the events in a piece; comments are left out."""
    found = [read_event(raw).data for raw in EventSplitter().feed(piece)]
    return [data for data in found if data is not None]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
