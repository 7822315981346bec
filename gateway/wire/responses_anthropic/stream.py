"""A stream of Messages → the typed events of a response, event by event, cut anywhere.

    message_start ─ response.created, response.in_progress
    content_block_start ─ the item as it begins     …_delta ─ a piece of it     …_stop ─ its text once more, then it
    message_delta ─ (kept)                          message_stop ─ response.completed or response.incomplete
    ping ─ a comment                                all else: `openai_anthropic/messages`

Rules of this file: the last event repeats the whole answer, so all of it is kept until then; an item that was not ended
does not stand in it, and the reader behind this ends a stream without that event as broken.
"""

from types import MappingProxyType
from typing import Any, Final

import msgspec

from gateway.wire.openai_anthropic.messages import Delta, Event, MessageReader, Start, Words
from gateway.wire.openai_anthropic.response import Block
from gateway.wire.openai_anthropic.thoughts import TYPES as THOUGHTS
from gateway.wire.responses_anthropic import response as written
from gateway.wire.responses_anthropic.response import Head, Item, head_of
from gateway.wire.sse import KEEP_ALIVE

MAX_CHARACTERS: Final = 16 * 1024 * 1024
"""Of an answer: a longer one, which no model gives, breaks the stream, so that memory stays bounded."""

_encode: Final = msgspec.json.Encoder().encode


class _Open:
    """A block under way, and the item that it becomes."""

    __slots__ = ("block", "has_part", "id", "pieces", "place")

    def __init__(self, block: Block, place: int, id_: str) -> None:
        self.block = block
        self.place = place
        self.id = id_
        self.pieces: list[str] = []
        self.has_part = False
        """The part of a summary was announced."""


class ResponseTranslator:
    """Translates one stream. `feed` what came, `finish` at its clean end."""

    __slots__ = (
        "_asked", "_created", "_explanation", "_head", "_held", "_number", "_open", "_output", "_reader",
        "_stop_reason", "_usage",
    )  # fmt: skip

    def __init__(self, *, created: int, asked: bytes) -> None:
        """`created`: epoch seconds. `asked`: the caller's body."""
        self._created = created
        self._asked = asked
        self._head = head_of("", "", created=created, asked=b"{}")
        self._number = 0
        self._held = 0
        """Characters of all pieces."""
        self._output: list[Item] = []
        """Items that have ended."""
        self._open: dict[int, _Open] = {}
        self._usage: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._explanation: str | None = None
        self._reader = MessageReader(_WORDS)

    @property
    def is_broken(self) -> bool:
        return self._reader.is_broken

    def feed(self, chunk: bytes) -> bytes:
        """The events that `chunk` completes; may be empty."""
        return self._reader.feed(chunk, self)

    def finish(self) -> bytes:
        """What the last event says that lacked its blank line."""
        return self._reader.finish(self)

    # -- events --------------------------------------------------------------------------------------------------

    def start(self, event: Event) -> bytes:
        message = event.message or Start()
        self._head = head_of(message.id, message.model, created=self._created, asked=self._asked)
        self._usage = message.usage or {}
        begun = self._head.response("in_progress", [])
        return self._said("response.created", response=begun) + self._said("response.in_progress", response=begun)

    def begin_block(self, event: Event) -> bytes:
        block = event.content_block or Block()
        place = len(self._output) + len(self._open)
        item = _begun(self._head, block, place)
        if item is None:
            return b""
        found = self._open[event.index] = _Open(block, place, item["id"])
        sent = self._said("response.output_item.added", output_index=place, item=item)
        if block.type == "text":
            sent += self._of_text("response.content_part.added", found, part=written.text_part(""))
        held = block.text or block.thinking
        return sent + (self._piece(found, held) if held else b"")

    def add_piece(self, event: Event) -> bytes:
        delta, found = event.delta or Delta(), self._open.get(event.index)
        if found is None:
            return b""
        if isinstance(delta.signature, str):
            begun = found.block.signature
            found.block.signature = (begun if isinstance(begun, str) else "") + delta.signature
        piece = delta.text or delta.thinking or delta.partial_json
        return self._piece(found, piece) if piece else b""

    def end_block(self, event: Event) -> bytes:
        found = self._open.pop(event.index, None)
        if found is None:
            return b""
        block, told = found.block, "".join(found.pieces)
        sent = b""
        if block.type == "text":
            block.text = told
            sent = self._of_text("response.output_text.done", found, text=told, logprobs=[])
            sent += self._of_text("response.content_part.done", found, part=written.text_part(told))
        elif block.type in THOUGHTS:
            block.thinking = told
            sent = self._end_summary(found, told)
        item = written.item_of(self._head, block, found.place) or {}
        if block.type == "tool_use":
            item["arguments"] = told or item["arguments"]
            sent = self._end_arguments(found, item)
        self._output.append(item)
        return sent + self._said("response.output_item.done", output_index=found.place, item=item)

    def end(self, event: Event) -> bytes:
        self._usage |= {name: value for name, value in (event.usage or {}).items() if value is not None}
        delta = event.delta or Delta()
        self._stop_reason = delta.stop_reason or self._stop_reason
        if delta.stop_details is not None:
            self._explanation = delta.stop_details.explanation
        return b""

    def stop(self, event: Event) -> bytes:  # noqa: ARG002  # one of the table's
        sent = b""
        if self._stop_reason == "refusal" and self._explanation:
            sent = self._refuse(self._explanation)
        if self._output and self._stop_reason in written.INCOMPLETE and "status" in self._output[-1]:
            self._output[-1]["status"] = "incomplete"
        response = self._head.ended(self._output, self._stop_reason, self._usage)
        return sent + self._said(f"response.{response['status']}", response=response)

    def keep_alive(self, event: Event) -> bytes:  # noqa: ARG002  # the same
        return KEEP_ALIVE

    # -- pieces --------------------------------------------------------------------------------------------------

    def _piece(self, found: _Open, piece: str) -> bytes:
        self._held += len(piece)
        if self._held > MAX_CHARACTERS:
            self._reader.is_broken = True
            return b""
        found.pieces.append(piece)
        if found.block.type == "text":
            return self._of_text("response.output_text.delta", found, delta=piece, logprobs=[])
        if found.block.type == "tool_use":
            return self._of_item("response.function_call_arguments.delta", found, delta=piece)
        begun = b""
        if not found.has_part:
            found.has_part = True
            begun = self._of_summary("response.reasoning_summary_part.added", found, part=_summary(""))
        return begun + self._of_summary("response.reasoning_summary_text.delta", found, delta=piece)

    def _end_summary(self, found: _Open, told: str) -> bytes:
        if not found.has_part:
            return b""
        done = self._of_summary("response.reasoning_summary_text.done", found, text=told)
        return done + self._of_summary("response.reasoning_summary_part.done", found, part=_summary(told))

    def _end_arguments(self, found: _Open, item: Item) -> bytes:
        """A tool whose input came at once, or without any, has said nothing of it yet."""
        arguments = item["arguments"]
        sent = b"" if found.pieces else self._piece(found, arguments)
        name = item["name"]
        return sent + self._of_item("response.function_call_arguments.done", found, arguments=arguments, name=name)

    def _refuse(self, explanation: str) -> bytes:
        item = written.refused(self._head, explanation, len(self._output))
        found = _Open(Block(), len(self._output), item["id"])
        self._output.append(item)
        part, empty = item["content"][0], {"type": "refusal", "refusal": ""}
        begun = item | {"status": "in_progress", "content": []}
        return b"".join(
            (
                self._said("response.output_item.added", output_index=found.place, item=begun),
                self._of_text("response.content_part.added", found, part=empty),
                self._of_text("response.refusal.delta", found, delta=explanation),
                self._of_text("response.refusal.done", found, refusal=explanation),
                self._of_text("response.content_part.done", found, part=part),
                self._said("response.output_item.done", output_index=found.place, item=item),
            )
        )

    def _of_item(self, type_: str, found: _Open, **members: object) -> bytes:
        return self._said(type_, item_id=found.id, output_index=found.place, **members)

    def _of_text(self, type_: str, found: _Open, **members: object) -> bytes:
        return self._of_item(type_, found, content_index=0, **members)

    def _of_summary(self, type_: str, found: _Open, **members: object) -> bytes:
        return self._of_item(type_, found, summary_index=0, **members)

    def _said(self, type_: str, **members: object) -> bytes:
        data = {"type": type_, "sequence_number": self._number, **members}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (type_.encode(), _encode(data))


def _begun(head: Head, block: Block, place: int) -> Item | None:
    """The item of a block that begins; None: it has no form here."""
    if block.type == "text":
        return written.message_item(head, place, [], "in_progress")
    if block.type in THOUGHTS:
        return written.reasoning_item(head, place, [], None)
    return written.call_item(head, place, block, "", "in_progress") if block.type == "tool_use" else None


def _summary(text: str) -> Item:
    return {"type": "summary_text", "text": text}


_WORDS: Final[Words[ResponseTranslator]] = MappingProxyType(
    {
        "message_start": ResponseTranslator.start,
        "content_block_start": ResponseTranslator.begin_block,
        "content_block_delta": ResponseTranslator.add_piece,
        "content_block_stop": ResponseTranslator.end_block,
        "message_delta": ResponseTranslator.end,
        "message_stop": ResponseTranslator.stop,
        "ping": ResponseTranslator.keep_alive,
    }
)
