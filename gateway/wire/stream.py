"""Streams of chat chunks and completions: what to send on, and what has been seen.

Rules of this file: bytes go on as they came, but for an event that is left out and, where we asked for the usage
ourselves, for what that added. Every event is decoded into the few members that matter (0.4 µs), so a half or a broken
one is never taken for a whole one, and no text inside of a string is ever taken for a member.

    chunk ─ whole events ─ [DONE]            the stream is over
                         ├ comment           goes on
                         ├ error             the stream is over, `error` says why
                         ├ not JSON          left out; the stream is broken if it held a piece of the answer
                         └ JSON              counted, looked at, goes on
"""

import re
from typing import Any, Final

import msgspec

from gateway.core.call import CHUNKS, Endpoint
from gateway.core.errors import GatewayError
from gateway.core.masking import masked_identifiers
from gateway.core.outcome import ErrorBody
from gateway.wire.errors import error_body, error_of, read_error, write_error
from gateway.wire.members import read_members, without_member
from gateway.wire.seen import Seen
from gateway.wire.sse import DONE, EventSplitter, read_event, with_data
from gateway.wire.surrogates import without_surrogates
from gateway.wire.usage import usage_of

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""An event, or a JSON answer where a stream was expected, beyond this breaks the stream: memory stays flat."""

_NULL_USAGE: Final = b',"usage":null'
_MARKS_OF_CONTENT: Final = (b'"choices"', b'"delta"', b'"text"')
_EMPTY_DELTA: Final = re.compile(
    rb'null|\{(?:\s|,|"role"\s*:\s*"[^"\\]*"|"[^"\\]*"\s*:\s*(?:null|""|\[\s*\]|\{\s*\}))*+\}'
)
"""A delta in which nothing but a role is filled."""


class _Choice(msgspec.Struct, gc=False):
    """A choice once content has been seen: only its end matters."""

    index: int | None = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """The members of an event that matter; the others are only skipped."""

    choices: list[_Choice] | None = None
    usage: Any = msgspec.UNSET
    """UNSET when absent, None when null: we take nulls out again that we caused."""
    error: Any = None


class _FirstChoice(_Choice, gc=False):
    """A choice while content is waited for."""

    delta: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()


class _FirstChunk(msgspec.Struct, gc=False):
    """Members of `_Chunk`, and those that only the first events are asked for."""

    choices: list[_FirstChoice] | None = None
    usage: Any = msgspec.UNSET
    error: Any = None
    id: Any = None


_decode: Final = msgspec.json.Decoder(_Chunk).decode
_decode_first: Final = msgspec.json.Decoder(_FirstChunk).decode


class StreamReader(Seen):
    """Reads one upstream stream. `feed` gives what to send on; the attributes say what has been seen so far."""

    __slots__ = ("_events", "_finished", "_hides_usage", "_seen", "chunks")

    may_be_silent = False

    def __init__(self, endpoint: Endpoint, *, hides_usage: bool) -> None:
        """`hides_usage`: we asked for the usage, not the caller, so it is taken out again."""
        assert endpoint.stream in CHUNKS, endpoint.name  # noqa: S101  # its answers are no such events
        super().__init__()
        self._hides_usage = hides_usage
        self._events = EventSplitter()
        self._seen: set[int | None] = set()
        self._finished: set[int | None] = set()
        self.chunks = 0

    @property
    def is_finished(self) -> bool:
        """Every choice that was seen has its `finish_reason`."""
        return bool(self._seen) and self._seen == self._finished

    def feed(self, chunk: bytes) -> bytes:
        """What to send on of `chunk` and of what waited before it; may be empty. After the end it is always empty."""
        if self._has_ended():
            return b""
        self.chunks += 1
        if self.chunks == 1 and chunk.lstrip()[:1] in {b"{", b"["}:
            self.is_json = True
        if self.is_json:
            self.is_broken = not self._events.hold(chunk, MAX_EVENT_BYTES)
            return b""
        events = self._events.feed(chunk)
        if not events:
            self.is_broken = len(self._events.rest) > MAX_EVENT_BYTES
            return b""
        if len(events) == 1:
            return self._read(events[0])
        sent = []
        for event in events:
            sent.append(self._read(event))
            if self._has_ended():
                break
        return b"".join(sent)

    def finish(self) -> bytes | None:
        """Called at the clean end of the body: what to add (nothing, or a missing `[DONE]`); None: it was cut short.

        Sets `error` where the body was a JSON error, or where an error event lacked its blank line.
        """
        if self.is_json:
            self.error = read_error(self._events.rest, "application/json")
        if self._has_ended():
            return b"" if self.is_done else None
        sent = self._read_rest() if self._events.rest.strip() else b""
        if self._has_ended():
            return sent if self.is_done else None
        return sent + DONE if self.is_finished else None

    def write_error(self, error: GatewayError | ErrorBody) -> bytes:
        """The event that ends the stream when it failed."""
        return write_error_event(error)

    def _read_rest(self) -> bytes:
        """The last event without its blank line: both official SDKs would drop it. Half an event is left out."""
        was_finished = self.is_finished
        sent = self._read(self._events.rest.rstrip(b"\r\n") + b"\n\n")
        if was_finished:
            self.is_broken = False  # half a usage event costs the caller nothing
        return sent

    def _read(self, raw: bytes) -> bytes:
        """What to send on of one event."""
        if raw.startswith(b"data: {"):
            if raw.find(b"\n") == len(raw) - 2:
                return self._read_json(raw, raw[6:-2], None)
            if raw.find(b"\r") == len(raw) - 4 and raw.find(b"\n") == len(raw) - 3:
                return self._read_json(raw, raw[6:-4], None)
        event = read_event(raw)
        data = event.data
        if event.is_comment:
            return raw
        if data is None:
            return self._leave_out(b"", None)  # `event: ping` alone stops both official SDKs with an exception
        if data.startswith(b"[DONE]"):
            self.is_done = True
            return raw
        return self._read_json(raw, data, event.name)

    def _read_json(self, raw: bytes, data: bytes, name: str | None) -> bytes:
        try:
            chunk = _decode(data) if self.has_content else _decode_first(data)
        except msgspec.ValidationError:
            return self._read_odd(raw, data, name)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            readable = without_surrogates(data)
            return self._leave_out(data, name) if readable == data else self._read_json(raw, readable, name)
        if chunk.choices is None or chunk.error or name == "error":
            return self._read_odd(raw, data, name)
        self.events += 1
        for choice in chunk.choices:
            self._seen.add(choice.index)
            if choice.finish_reason is not None:
                self._finished.add(choice.index)
        if isinstance(chunk, _FirstChunk):
            self._wait_for_content(chunk)
        if chunk.usage is msgspec.UNSET:
            return raw
        return self._read_usage(raw, chunk)

    def _wait_for_content(self, chunk: _FirstChunk) -> None:
        if isinstance(chunk.id, str):
            self.object_id = self.object_id or chunk.id
        self.has_content = any(map(_holds_content, chunk.choices or ()))

    def _read_usage(self, raw: bytes, chunk: _Chunk | _FirstChunk) -> bytes:
        usage = usage_of(chunk.usage)
        if usage is not None:
            self.usage = usage
            return b"" if self._hides_usage and not chunk.choices else raw
        if chunk.usage is None and self._hides_usage:
            return _without_null_usage(raw)
        return raw

    def _read_odd(self, raw: bytes, data: bytes, name: str | None) -> bytes:
        """An event that is JSON but no chunk: an error of some shape, or something that is none of our business."""
        try:
            value = msgspec.json.decode(without_surrogates(data))
        except msgspec.ValidationError:
            value = {}  # it is JSON, but holds a number that only Python cannot hold
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._leave_out(data, name)
        if name == "error" or _is_error(value):
            self.error = error_of(value)
            return b""
        if not isinstance(value, dict):
            return self._leave_out(data, name)
        self.events += 1
        self.usage = usage_of(value.get("usage")) or self.usage
        return raw

    def _leave_out(self, data: bytes, name: str | None) -> bytes:
        if name == "error":
            self.error = read_error(data, "text/plain")
        else:
            self.left_out += 1
            self.is_broken = any(mark in data for mark in _MARKS_OF_CONTENT)
        return b""


def write_error_event(error: GatewayError | ErrorBody) -> bytes:
    """The event that ends a failed stream of chat chunks or completions: both official SDKs raise on it.

    Nothing follows it, no `[DONE]` either (reference §5.4). Identifiers of accounts are masked.
    """
    if isinstance(error, GatewayError):
        return b"data: " + write_error(error) + b"\n\n"
    message = masked_identifiers(error.message) or "The upstream failed while it was answering."
    return b"data: " + error_body(message, error.type or "server_error", error.param, error.code) + b"\n\n"


def _holds_content(choice: _FirstChoice) -> bool:
    """Whether there is anything in a choice but a role: an end without content counts, for nothing will follow."""
    if choice.finish_reason is not None or bytes(choice.text) not in {b"", b"null", b'""'}:
        return True
    delta = bytes(choice.delta)
    return bool(delta) and _EMPTY_DELTA.fullmatch(delta) is None


def _without_null_usage(raw: bytes) -> bytes:
    """The event without the outermost `"usage": null`."""
    place = raw.rfind(_NULL_USAGE)
    if place >= 0 and raw.count(b"}", place) == 1 and raw.find(b"]", place) < 0:
        # One brace is left to close, so it stands in the outermost object; behind a comma it is no half of a text.
        return raw[:place] + raw[place + len(_NULL_USAGE) :]
    data = read_event(raw).data or b""
    members = read_members(data)
    last = max(place for place, member in enumerate(members) if member.key == "usage")  # the one that was decoded
    return with_data(raw, data, without_member(data, members, last))


def _is_error(value: object) -> bool:
    if isinstance(value, list):
        return error_of(value).is_readable
    if not isinstance(value, dict):
        return False
    return bool(value.get("error")) or value.get("object") == "error" or value.get("type") == "error"
