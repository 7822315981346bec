"""An answer of Messages → a response: its output items, its state, and what it repeats of the request.

    text ─▶ a message      thinking ─▶ a reasoning item      tool_use ─▶ a function call

Blocks that only Anthropic has have no form here. The ids follow from the message's, so that both ways of telling an
answer, whole and as a stream, name the same.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from gateway.wire.openai_anthropic.response import Block, Message, read_usage
from gateway.wire.openai_anthropic.thoughts import TYPES as THOUGHTS
from gateway.wire.responses_anthropic.items import sealed_thought

Item = dict[str, Any]

INCOMPLETE: Final = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
"""`stop_reason` → `incomplete_details.reason`; any other is the end of a whole answer."""

_REPEATED: Final[Mapping[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and says where the request did not."""

_SPARE_DEPTH: Final = 100
"""Of what the interpreter can write: the response, its event and whoever calls are around it."""

_decode: Final = msgspec.json.Decoder(Message).decode
_decode_asked: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Head(msgspec.Struct, frozen=True):
    """What an answer says of itself whatever becomes of it."""

    id: str
    """The message's, without its prefix: that of the response and of its items is made of it."""
    model: str
    created: int
    """Epoch seconds."""
    asked: Mapping[str, Any]

    def response(self, status: str, output: list[Item], **told: object) -> Item:
        return {
            "id": f"resp_{self.id}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": output,
            "previous_response_id": None,
            "store": False,
            "usage": None,
            **self.asked,
            **told,
        }

    def ended(self, output: list[Item], stop_reason: str | None, usage: Mapping[str, Any]) -> Item:
        """The response at its end."""
        reason = INCOMPLETE.get(stop_reason or "")
        status = "completed" if reason is None else "incomplete"
        details = None if reason is None else {"reason": reason}
        return self.response(status, output, incomplete_details=details, usage=_usage(usage))


def head_of(id_: str, model: str, *, created: int, asked: bytes) -> Head:
    """`asked`: the caller's body."""
    return Head(id_.removeprefix("msg_"), model, created, _repeated(asked))


def _repeated(asked: bytes) -> Mapping[str, Any]:
    """What of the request the response repeats. Nothing of one that is nested so deeply that it cannot be written."""
    try:
        fields = _decode_asked(asked)
        said = {name: fields[name] for name in _REPEATED if fields.get(name) is not None}
        nested: object = said
        for _ in range(_SPARE_DEPTH):
            nested = [nested]
        msgspec.json.encode(nested)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _REPEATED
    return {**_REPEATED, **said}


def read_answer(body: bytes, *, created: int, asked: bytes) -> bytes | None:
    """The response that says the same. `created`: epoch seconds. None when `body` is no answer of Messages."""
    try:
        message = _decode(body)
        head = head_of(message.id, message.model, created=created, asked=asked)
        explanation = message.stop_details.explanation if message.stop_details else None
        output = items_of(head, message.content, message.stop_reason, explanation)
        return msgspec.json.encode(head.ended(output, message.stop_reason, message.usage))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def items_of(head: Head, blocks: Iterable[Block], stop_reason: str | None, explanation: str | None) -> list[Item]:
    output: list[Item] = []
    for block in blocks:
        item = item_of(head, block, len(output))
        if item is not None:
            output.append(item)
    if stop_reason == "refusal" and explanation:
        output.append(refused(head, explanation, len(output)))
    if output and stop_reason in INCOMPLETE and "status" in output[-1]:
        output[-1]["status"] = "incomplete"
    return output


def item_of(head: Head, block: Block, place: int) -> Item | None:
    """A whole block as the output item at that place; None: it has no form here."""
    if block.type == "text":
        return message_item(head, place, [text_part(block.text)], "completed")
    if block.type in THOUGHTS:
        summary = [{"type": "summary_text", "text": block.thinking}] if block.thinking else []
        return reasoning_item(head, place, summary, sealed_thought(msgspec.structs.asdict(block)))
    if block.type == "tool_use":
        arguments = msgspec.json.encode(block.input if block.input is not None else {}).decode()
        return call_item(head, place, block, arguments, "completed")
    return None


def message_item(head: Head, place: int, content: list[Item], status: str) -> Item:
    return {
        "id": f"msg_{head.id}_{place}", "type": "message", "status": status, "role": "assistant", "content": content
    }  # fmt: skip


def text_part(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refused(head: Head, explanation: str, place: int) -> Item:
    return message_item(head, place, [{"type": "refusal", "refusal": explanation}], "completed")


def reasoning_item(head: Head, place: int, summary: list[Item], sealed: str | None) -> Item:
    return {"id": f"rs_{head.id}_{place}", "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def call_item(head: Head, place: int, block: Block, arguments: str, status: str) -> Item:
    return {
        "id": f"fc_{head.id}_{place}", "type": "function_call", "status": status,
        "arguments": arguments, "call_id": block.id, "name": block.name,
    }  # fmt: skip


def _usage(usage: Mapping[str, Any]) -> Item:
    """As the Responses API counts; the counts are those of a chat."""
    told = read_usage(usage)
    return {
        "input_tokens": told["prompt_tokens"],
        "input_tokens_details": told["prompt_tokens_details"],
        "output_tokens": told["completion_tokens"],
        "output_tokens_details": told["completion_tokens_details"],
        "total_tokens": told["total_tokens"],
    }
