"""Usage in objects that are read after they were made: responses in the background, batches, their output's lines."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.call import Usage
from gateway.wire.jsonl import LineSplitter
from gateway.wire.lenient import UNREADABLE
from gateway.wire.realtime import added
from gateway.wire.usage import usage_of

_ENDS: Final[Mapping[str, frozenset[str]]] = {
    "response": frozenset({"completed", "incomplete", "failed", "cancelled"}),
    "batch": frozenset({"completed", "expired", "cancelled", "failed"}),
}
"""`object` → statuses in which nothing more is used."""
_NOTHING: Final = Usage()


class LateObject(msgspec.Struct, frozen=True):
    """A response in the background, or a batch, as an answer or an event shows it."""

    id: str
    is_over: bool
    usage: Usage | None = None
    """None: it does not tell. Batches of some vendors never do."""
    model: str | None = None
    output_file_id: str | None = None
    """Of a batch: the file whose lines tell it, too."""


class _Body(msgspec.Struct, gc=False):
    usage: Any = None


class _Response(msgspec.Struct, gc=False):
    body: _Body


class _Line(msgspec.Struct, gc=False):
    response: _Response


_decode_line: Final = msgspec.json.Decoder(_Line).decode


def read_late_object(body: bytes) -> LateObject | None:
    """The object of an answer, or of an event's `response`; None for everything whose usage came with its call."""
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    if isinstance(value, dict) and isinstance(value.get("response"), dict):
        value = value["response"]
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return None
    kind = value.get("object")
    ends = _ENDS.get(kind) if isinstance(kind, str) else None
    if ends is None or (kind == "response" and value.get("background") is not True):
        return None
    usage, file, model = usage_of(value.get("usage")), value.get("output_file_id"), value.get("model")
    return LateObject(
        id=value["id"],
        is_over=value.get("status") in ends,
        usage=None if usage == _NOTHING else usage,
        model=model if isinstance(model, str) else None,
        output_file_id=file if isinstance(file, str) else None,
    )


class LinesUsage:
    """Fed a batch's output (JSONL) piece by piece: what all its answers used together. Holds one line at a time."""

    def __init__(self) -> None:
        self._splitter = LineSplitter()
        self.usage: Usage | None = None

    def feed(self, piece: bytes) -> None:
        for line in self._splitter.feed(piece):
            self._add(line)

    def finish(self) -> None:
        """The last line needs no line end."""
        self._add(self._splitter.finish())

    def _add(self, line: bytes | None) -> None:
        try:
            usage = usage_of(_decode_line(line).response.body.usage) if line else None
        except UNREADABLE:  # a request that failed, or no line of a batch
            return
        self.usage = added(self.usage, usage)
