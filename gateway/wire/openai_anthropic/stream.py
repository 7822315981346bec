"""A stream of Messages → a stream of chat chunks, event by event, cut anywhere.

    message_start ─ the role                     content_block_start, of a tool ─ a tool call's id and name
    content_block_delta ─ a piece of text, of a thought (`reasoning_content`, `thinking_blocks`), of a call's arguments
    message_delta ─ the end of the choice        message_stop ─ the usage, `[DONE]`
    ping ─ a comment                             error ─ an error event of OpenAI's form

Rules of this file: an event that cannot be read ends the translation where it held a piece of the answer; the usage
always goes out, for it is the reader behind this that knows whether the caller asked for it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from gateway.wire.errors import error_of
from gateway.wire.openai_anthropic.response import Block, StopDetails, finish_reason, read_usage, write_error
from gateway.wire.openai_anthropic.thoughts import MEMBER, REDACTED, THINKING, Thoughts
from gateway.wire.sse import DONE, KEEP_ALIVE, Event, EventSplitter, read_event
from gateway.wire.stream import MAX_EVENT_BYTES
from gateway.wire.surrogates import without_surrogates


class _Start(msgspec.Struct, gc=False):
    id: str = ""
    model: str = ""
    usage: dict[str, Any] | None = None


class _Delta(msgspec.Struct, gc=False):
    """Of a block or of the message, whichever the event is about."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    message: _Start | None = None
    content_block: Block | None = None
    delta: _Delta | None = None
    usage: dict[str, Any] | None = None


class _Type(msgspec.Struct, gc=False):
    type: str = ""


_decode: Final = msgspec.json.Decoder(_Event).decode
_decode_type: Final = msgspec.json.Decoder(_Type).decode
_encode: Final = msgspec.json.Encoder().encode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MARKS_OF_CONTENT: Final = (b'"delta"', b'"content_block"', b'"message"')


class _ToolCall:
    """A tool call under way."""

    __slots__ = ("has_arguments", "input", "number")

    def __init__(self, number: int, given: object) -> None:
        self.number = number
        """Among the tool calls of the answer, from 0."""
        self.input = given
        self.has_arguments = False


class ChatTranslator:
    """Translates one stream. `feed` what came, `finish` at its clean end."""

    __slots__ = (
        "_calls",
        "_created",
        "_events",
        "_has_begun",
        "_has_text",
        "_is_foreign",
        "_is_told",
        "_names",
        "_thoughts",
        "_usage",
        "is_broken",
    )

    def __init__(self, *, created: int) -> None:
        """`created`: epoch seconds."""
        self._created = created
        self._events = EventSplitter()
        self._has_begun = False
        self._is_foreign = False
        """No events at all but a JSON body: it goes on as it is."""
        self._names = self._named(_Start())
        """The beginning of every chunk."""
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, _ToolCall] = {}
        self._thoughts = Thoughts()
        self._has_text = False
        self._is_told = False
        """The end of the choice went out, the usage behind it not yet."""
        self.is_broken = False
        """An event was lost that held a piece of the answer: what was translated so far is all that is whole."""

    def feed(self, chunk: bytes) -> bytes:
        """The chat chunks that `chunk` completes; may be empty."""
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
        return b"".join(map(self._read, events))

    def finish(self) -> bytes:
        """What the last event says that lacked its blank line, or the usage where the stream ended without its stop."""
        rest, self._events.rest = self._events.rest, b""
        was_told = self._is_told
        sent = self._read(rest.rstrip(b"\r\n") + b"\n\n") if rest.strip() else b""
        if was_told:
            self.is_broken = False  # half an event behind the end of the answer costs the caller nothing
        return sent + self._usage_chunk() if self._is_told else sent

    def _read(self, raw: bytes) -> bytes:
        said = _said(raw)
        if said.data is None:
            return raw if said.is_comment else b""
        event = None if said.name == "error" else _decoded(said.data)
        if said.name == "error" or (event is not None and event.type == "error"):
            return _error_event(said.data)
        if event is None:
            self.is_broken = self.is_broken or _is_loss(said.data)
            return b""
        translate = _TRANSLATIONS.get(event.type)  # Anthropic asks its clients to pass over what they do not know
        return translate(self, event) if translate is not None and not self.is_broken else b""

    # -- events --------------------------------------------------------------------------------------------------

    def start(self, event: _Event) -> bytes:
        message = event.message or _Start()
        self._names = self._named(message)
        self._usage = message.usage or {}
        return self._chunk({"role": "assistant", "content": ""})

    def begin_block(self, event: _Event) -> bytes:
        """Texts and thoughts begin empty as a rule, but need not."""
        block = event.content_block or Block()
        if block.type == "tool_use":
            call = self._calls[event.index] = _ToolCall(len(self._calls), block.input)
            function = {"name": block.name, "arguments": ""}
            started = {"index": call.number, "id": block.id, "type": "function", "function": function}
            return self._chunk({"tool_calls": [started]})
        if block.type == REDACTED and block.data:
            return self._thought(event.index, REDACTED, data=block.data)
        if block.type == THINKING and block.thinking:
            return self._thought(event.index, THINKING, thinking=block.thinking)
        return self._text(block.text) if block.type == "text" and block.text else b""

    def add_piece(self, event: _Event) -> bytes:
        """Citations have no form in a chat chunk."""
        delta = event.delta or _Delta()
        call = self._calls.get(event.index)
        if delta.text:
            return self._text(delta.text)
        if delta.thinking:
            return self._thought(event.index, THINKING, thinking=delta.thinking)
        if delta.signature:
            return self._thought(event.index, THINKING, signature=delta.signature)
        return self._arguments(call, delta.partial_json) if delta.partial_json and call is not None else b""

    def end_block(self, event: _Event) -> bytes:
        """A tool without input never says so: callers who read the arguments as JSON need an object all the same."""
        call = self._calls.get(event.index)
        if call is None or call.has_arguments:
            return b""
        return self._arguments(call, _encode(call.input or {}).decode())

    def end(self, event: _Event) -> bytes:
        self._usage |= {name: value for name, value in (event.usage or {}).items() if value is not None}
        delta = event.delta or _Delta()
        if delta.stop_reason is None:
            return b""
        self._is_told = True
        said = {}
        if delta.stop_reason == "refusal" and delta.stop_details is not None and delta.stop_details.explanation:
            said = {"refusal": delta.stop_details.explanation}
        return self._chunk(said, finish_reason(delta.stop_reason))

    def stop(self, event: _Event) -> bytes:  # noqa: ARG002  # one of the table's
        return self._usage_chunk() + DONE

    def keep_alive(self, event: _Event) -> bytes:  # noqa: ARG002  # the same
        return KEEP_ALIVE

    def _text(self, piece: str) -> bytes:
        self._has_text = True
        return self._chunk({"content": piece})

    def _thought(self, block: int, type_: str, **members: str) -> bytes:
        delta: dict[str, Any] = {} if "thinking" not in members else {"reasoning_content": members["thinking"]}
        after = self._has_text + len(self._calls)
        return self._chunk(delta | {MEMBER: self._thoughts.piece(block, type_, after=after, **members)})

    def _arguments(self, call: _ToolCall, piece: str) -> bytes:
        call.has_arguments = True
        return self._chunk({"tool_calls": [{"index": call.number, "function": {"arguments": piece}}]})

    # -- chunks --------------------------------------------------------------------------------------------------

    def _named(self, message: _Start) -> bytes:
        names = {"id": message.id, "object": "chat.completion.chunk", "created": self._created, "model": message.model}
        return b"data: " + _encode(names)[:-1] + b","

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = b'"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'
        return self._names + choice % (_encode(delta), _encode(finish))

    def _usage_chunk(self) -> bytes:
        self._is_told = False
        return self._names + b'"choices":[],"usage":%s}\n\n' % _encode(read_usage(self._usage))


_TRANSLATIONS: Final[Mapping[str, Callable[[ChatTranslator, _Event], bytes]]] = MappingProxyType(
    {
        "message_start": ChatTranslator.start,
        "content_block_start": ChatTranslator.begin_block,
        "content_block_delta": ChatTranslator.add_piece,
        "content_block_stop": ChatTranslator.end_block,
        "message_delta": ChatTranslator.end,
        "message_stop": ChatTranslator.stop,
        "ping": ChatTranslator.keep_alive,
    }
)


def _said(raw: bytes) -> Event:
    """As `read_event`, without its detours for an event in the usual form."""
    line, _, rest = raw.partition(b"\n")
    if line.startswith(b"event: ") and rest.startswith(b"data: ") and rest.find(b"\n") == len(rest) - 2:
        return Event(line[7:].decode("latin-1").rstrip("\r"), rest[6:-2])
    return read_event(raw)


def _decoded(data: bytes) -> _Event | None:
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
        return _decode_type(data).type in _TRANSLATIONS
    except _UNREADABLE:
        return any(mark in data for mark in _MARKS_OF_CONTENT)


def _error_event(data: bytes) -> bytes:
    try:
        value = msgspec.json.decode(without_surrogates(data))
    except _UNREADABLE:
        value = {"message": data.decode(errors="replace")}
    return b"data: " + write_error(error_of(value), status=0) + b"\n\n"
