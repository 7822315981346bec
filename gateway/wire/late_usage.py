"""Usage in objects that are read after they were made: responses in the background, batches, runs, jobs.

Rules of this file: an object tells all it used once it is over (reference §6.1). What belongs to a part of it alone, a
run's steps, an eval's output items, a batch's lines where the batch tells, is in that already.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.core.call import Usage
from gateway.wire.jsonl import LineSplitter
from gateway.wire.lenient import UNREADABLE
from gateway.wire.realtime import added
from gateway.wire.usage import usage_of

RUN_ENDS: Final = ("completed", "incomplete", "failed", "cancelled", "expired")
"""Statuses of an assistant's run in which nothing more is used; its events are named so, too."""
_ENDS: Final[Mapping[str, frozenset[str]]] = {
    "response": frozenset({"completed", "incomplete", "failed", "cancelled"}),
    "batch": frozenset({"completed", "expired", "cancelled", "failed"}),
    "thread.run": frozenset(RUN_ENDS),
    "eval.run": frozenset({"completed", "failed", "canceled", "cancelled"}),
    "fine_tuning.job": frozenset({"succeeded", "failed", "cancelled"}),
    "message_batch": frozenset({"ended"}),
}
"""`object`, or Anthropic's `type` → the same."""
_NOTHING: Final = Usage()


class LateObject(msgspec.Struct, frozen=True):
    """A response in the background, a batch, a run or a job, as an answer or an event shows it."""

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


class _Result(msgspec.Struct, gc=False):
    """Of a batch of Claude's messages."""

    message: _Body


class _Line(msgspec.Struct, gc=False):
    response: _Response | None = None
    result: _Result | None = None


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
    kind = value.get("object", value.get("type"))
    ends = _ENDS.get(kind) if isinstance(kind, str) else None
    if kind is None or ends is None or (kind == "response" and value.get("background") is not True):
        return None
    file, model = value.get("output_file_id"), value.get("model")
    usage = _READERS.get(kind, _told)(value)
    return LateObject(
        id=value["id"],
        is_over=value.get("status", value.get("processing_status")) in ends,
        usage=None if usage == _NOTHING else usage,
        model=model if isinstance(model, str) else None,
        output_file_id=file if isinstance(file, str) else None,
    )


def _told(value: Mapping[str, Any]) -> Usage | None:
    return usage_of(value.get("usage"))


def _of_models(value: Mapping[str, Any]) -> Usage | None:
    """Of an eval's run, which tells it for each model that was asked, graders too."""
    usage, told = None, value.get("per_model_usage")
    for one in told if isinstance(told, list) else ():
        if isinstance(one, dict):
            cached = {"cached_tokens": one.get("cached_tokens")}
            usage = added(usage, usage_of(one | {"prompt_tokens_details": cached}))
    return usage


def _trained(value: Mapping[str, Any]) -> Usage | None:
    tokens = value.get("trained_tokens")
    return Usage(trained_tokens=tokens) if type(tokens) is int and tokens > 0 else None


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Usage | None]]] = {
    "eval.run": _of_models,
    "fine_tuning.job": _trained,
}


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
            read = _decode_line(line) if line else _Line()
        except UNREADABLE:  # a request that failed, or no line of a batch
            return
        if read.response is not None:
            self.usage = added(self.usage, usage_of(read.response.body.usage))
        elif read.result is not None:
            self.usage = added(self.usage, usage_of(read.result.message.usage))
