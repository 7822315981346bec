"""A restarted message in the place of one that broke: as `wire/splice`, for the events of Anthropic's Messages.

    MessageSplicer.feed: the second answer's events ─▶ b"" while they repeat what was sent, then the rest; None: no

Rules of this file: only blocks of plain text are put together; where a block begins and ends must be the same, and
texts are compared decoded, character by character. What holds more (tools, thoughts, citations) is never put together.
The caller has the first answer's beginning, and with it the id: nothing behind it names one. The usage at the end is
that of the whole second answer, which is the one that the caller read.
"""

from copy import deepcopy
from typing import Any, Final

import msgspec

from gateway.wire.sent import UNREADABLE, CannotJoin, Parts
from gateway.wire.sse import EventSplitter, read_event

_TEXT: Final = "text"
"""Both the kind of what is said, and the type of the blocks that are put together."""
_DELTA: Final = "content_block_delta"


class _Block(msgspec.Struct, frozen=True, gc=False):
    """At its start."""

    type: str = ""
    text: str = ""
    citations: Any = None


class _Delta(msgspec.Struct, frozen=True, gc=False):
    """Of a block or of the message."""

    type: str = ""
    text: str = ""
    stop_reason: Any = None
    stop_sequence: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    index: int = 0
    content_block: _Block = _Block()
    delta: _Delta = _Delta()


_decode: Final = msgspec.json.Decoder(_Event).decode


class ToldMessage:
    """Fits `sent.Told`."""

    __slots__ = ("_parts", "characters")

    def __init__(self) -> None:
        self._parts = Parts()
        self.characters = 0

    def read(self, pieces: list[bytes]) -> None:
        for raw in EventSplitter().feed(b"".join(pieces)):
            data = read_event(raw).data
            for kind, text in () if data is None else _pieces(_decode(data)):
                self._parts.add(kind, text)
                self.characters += len(text)
        self._parts.join()

    def splicer(self) -> "MessageSplicer":
        return MessageSplicer(deepcopy(self._parts))


class MessageSplicer:
    """Fits `sent.Continued`."""

    __slots__ = ("_told",)

    def __init__(self, told: Parts) -> None:
        self._told = told

    def feed(self, piece: bytes) -> bytes | None:
        try:
            return b"".join([self._rest_of(raw) for raw in EventSplitter().feed(piece)])
        except UNREADABLE:
            return None

    def renumbered(self, event: bytes) -> bytes:
        """As it is: these events have no numbers."""
        return event

    def _rest_of(self, raw: bytes) -> bytes:
        if not self._told.owes:
            return raw  # blocks were counted alike, so its indexes are the first answer's
        data = read_event(raw).data
        if data is None:
            return b""
        event = _decode(data)
        rest = ""
        for kind, text in _pieces(event):
            rest = self._told.repeat(kind, text)  # of what is no text nothing is left: it is the same, or it raises
        return _text_event(event.index, rest) if rest else b""


def _pieces(event: _Event) -> tuple[tuple[str, str], ...]:
    """What an event says: texts, and what else must be the same, by its type. Raises for what is never put together."""
    match event.type:
        case "message_start" | "message_stop":
            return ((event.type, "."),)
        case "content_block_start" if event.content_block.type == _TEXT and not event.content_block.citations:
            begun, text = (event.type, f"{event.index}."), event.content_block.text
            return (begun, (_TEXT, text)) if text else (begun,)
        case "content_block_delta" if event.delta.type == "text_delta":
            return ((_TEXT, event.delta.text),) if event.delta.text else ()
        case "content_block_stop":
            return ((event.type, f"{event.index}."),)
        case "message_delta":
            end = (event.delta.stop_reason, event.delta.stop_sequence)
            return ((event.type, msgspec.json.encode(end).decode()),)
        case "ping":
            return ()
        case _:
            raise CannotJoin


def _text_event(index: int, text: str) -> bytes:
    delta = {"type": _DELTA, "index": index, "delta": {"type": "text_delta", "text": text}}
    return b"event: %b\ndata: %b\n\n" % (_DELTA.encode(), msgspec.json.encode(delta))
