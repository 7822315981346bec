"""A stream of Messages → a stream of chat chunks, event by event, cut anywhere.

    message_start ─ the role                     content_block_start, of a tool ─ a tool call's id and name
    content_block_delta ─ a piece of text, of a thought (`reasoning_content`, `thinking_blocks`), of a call's arguments
    message_delta ─ the end of the choice        message_stop ─ the usage, `[DONE]`
    ping ─ a comment                             all else: `MessageReader`

Rules of this file: the usage always goes out, for it is the reader behind this that knows whether the caller asked for
it.
"""

from types import MappingProxyType
from typing import Any, Final

import msgspec

from gateway.wire.openai_anthropic.messages import Delta, Event, MessageReader, Start, Words
from gateway.wire.openai_anthropic.response import Block, finish_reason, read_usage
from gateway.wire.openai_anthropic.thoughts import MEMBER, REDACTED, THINKING, Thoughts
from gateway.wire.sse import DONE, KEEP_ALIVE

_encode: Final = msgspec.json.Encoder().encode


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

    __slots__ = ("_calls", "_created", "_has_text", "_is_told", "_names", "_reader", "_thoughts", "_usage")

    def __init__(self, *, created: int) -> None:
        """`created`: epoch seconds."""
        self._created = created
        self._names = self._named(Start())
        """The beginning of every chunk."""
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, _ToolCall] = {}
        self._thoughts = Thoughts()
        self._has_text = False
        self._is_told = False
        """The end of the choice went out, the usage behind it not yet."""
        self._reader = MessageReader(_WORDS)

    def feed(self, chunk: bytes) -> bytes:
        """The chat chunks that `chunk` completes; may be empty."""
        return self._reader.feed(chunk, self)

    @property
    def is_broken(self) -> bool:
        """An event was lost that held a piece of the answer: what was translated so far is all that is whole."""
        return self._reader.is_broken

    def finish(self) -> bytes:
        """What the last event says that lacked its blank line, or the usage where the stream ended without its stop."""
        was_told = self._is_told
        sent = self._reader.finish(self)
        if was_told:
            self._reader.is_broken = False  # half an event behind the end of the answer costs the caller nothing
        return sent + self._usage_chunk() if self._is_told else sent

    # -- events --------------------------------------------------------------------------------------------------

    def start(self, event: Event) -> bytes:
        message = event.message or Start()
        self._names = self._named(message)
        self._usage = message.usage or {}
        return self._chunk({"role": "assistant", "content": ""})

    def begin_block(self, event: Event) -> bytes:
        """Texts and thoughts begin empty as a rule, but need not."""
        block = event.content_block or Block()
        if block.type == "tool_use":
            call = self._calls[event.index] = _ToolCall(len(self._calls), block.input)
            function = {"name": block.name, "arguments": ""}
            started = {"index": call.number, "id": block.id, "type": "function", "function": function}
            return self._chunk({"tool_calls": [started]})
        if block.type == REDACTED and isinstance(block.data, str) and block.data:
            return self._thought(event.index, REDACTED, data=block.data)
        if block.type == THINKING and block.thinking:
            return self._thought(event.index, THINKING, thinking=block.thinking)
        return self._text(block.text) if block.type == "text" and block.text else b""

    def add_piece(self, event: Event) -> bytes:
        """Citations have no form in a chat chunk."""
        delta = event.delta or Delta()
        call = self._calls.get(event.index)
        if delta.text:
            return self._text(delta.text)
        if delta.thinking:
            return self._thought(event.index, THINKING, thinking=delta.thinking)
        if isinstance(delta.signature, str) and delta.signature:
            return self._thought(event.index, THINKING, signature=delta.signature)
        return self._arguments(call, delta.partial_json) if delta.partial_json and call is not None else b""

    def end_block(self, event: Event) -> bytes:
        """A tool without input never says so: callers who read the arguments as JSON need an object all the same."""
        call = self._calls.get(event.index)
        if call is None or call.has_arguments:
            return b""
        return self._arguments(call, _encode(call.input or {}).decode())

    def end(self, event: Event) -> bytes:
        self._usage |= {name: value for name, value in (event.usage or {}).items() if value is not None}
        delta = event.delta or Delta()
        if delta.stop_reason is None:
            return b""
        self._is_told = True
        said = {}
        if delta.stop_reason == "refusal" and delta.stop_details is not None and delta.stop_details.explanation:
            said = {"refusal": delta.stop_details.explanation}
        return self._chunk(said, finish_reason(delta.stop_reason))

    def stop(self, event: Event) -> bytes:  # noqa: ARG002  # one of the table's
        return self._usage_chunk() + DONE

    def keep_alive(self, event: Event) -> bytes:  # noqa: ARG002  # the same
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

    def _named(self, message: Start) -> bytes:
        names = {"id": message.id, "object": "chat.completion.chunk", "created": self._created, "model": message.model}
        return b"data: " + _encode(names)[:-1] + b","

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = b'"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'
        return self._names + choice % (_encode(delta), _encode(finish))

    def _usage_chunk(self) -> bytes:
        self._is_told = False
        return self._names + b'"choices":[],"usage":%s}\n\n' % _encode(read_usage(self._usage))


_WORDS: Final[Words[ChatTranslator]] = MappingProxyType(
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
