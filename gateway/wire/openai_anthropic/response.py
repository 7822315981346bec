"""A whole answer of Messages → a chat completion; and what an error of Messages says → OpenAI's error body.

An answer has one choice: texts joined, `thinking` as `reasoning_content` and, signed, in `thinking_blocks`, each
`tool_use` as a tool call. Blocks that only Anthropic has (its own tools' calls and results, citations) have no form in
a chat completion.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from gateway.core.masking import masked_identifiers
from gateway.core.outcome import ErrorBody
from gateway.wire.errors import error_body
from gateway.wire.openai_anthropic.thoughts import MEMBER, TYPES, written_thought

FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`stop_reason` → `finish_reason`; one of tomorrow is a `stop`."""

ERROR_TYPES: Final = {
    "not_found_error": "invalid_request_error",
    "request_too_large": "invalid_request_error",
    "conflict_error": "invalid_request_error",
    "api_error": "server_error",
    "timeout_error": "server_error",
    "overloaded_error": "service_unavailable_error",
}
"""Anthropic's → OpenAI's; others are called the same, or known to nobody else."""
ERROR_CODES: Final = {
    "rate_limit_error": "rate_limit_exceeded",
    "overloaded_error": "server_is_overloaded",
    "request_too_large": "request_too_large",
}
_TOO_LONG: Final = "prompt is too long"
_NO_MODEL: Final = "model:"


class Block(msgspec.Struct, gc=False):
    """A block of an answer, whole or at its start."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: Any = None
    """Vendors who speak Messages as well sign with nothing, or null."""
    data: Any = None
    """Of a thought that is told to nobody; other blocks have something else there."""
    id: str = ""
    name: str = ""
    input: Any = None


class StopDetails(msgspec.Struct, gc=False):
    explanation: str | None = None


class Message(msgspec.Struct):
    """A whole answer."""

    content: list[Block]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: dict[str, Any] = {}


_decode: Final = msgspec.json.Decoder(Message).decode


def read_answer(body: bytes, *, created: int) -> bytes | None:
    """The chat completion that says the same. `created`: epoch seconds. None when `body` is no answer of Messages."""
    try:
        return _translated(_decode(body), created)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _translated(message: Message, created: int) -> bytes:
    choice = {
        "index": 0,
        "message": _message(message),
        "logprobs": None,
        "finish_reason": finish_reason(message.stop_reason),
    }
    return msgspec.json.encode(
        {
            "id": message.id,
            "object": "chat.completion",
            "created": created,
            "model": message.model,
            "choices": [choice],
            "usage": read_usage(message.usage),
        }
    )


def finish_reason(stop_reason: str | None) -> str:
    return FINISH_REASONS.get(stop_reason or "", "stop")


def read_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's `usage`. Anthropic counts what came from its cache, and what was written there, beside the input."""
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    put_in, put_out = _count(usage, "input_tokens") + read + written, _count(usage, "output_tokens")
    details = usage.get("output_tokens_details")
    thought = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    return {
        "prompt_tokens": put_in,
        "completion_tokens": put_out,
        "total_tokens": put_in + put_out,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def write_error(error: ErrorBody, *, status: int) -> bytes:
    """OpenAI's error body. Identifiers of accounts are masked."""
    message = masked_identifiers(error.message) or "The upstream failed, and said nothing that could be passed on."
    type_ = error.type or "server_error"
    return error_body(message, ERROR_TYPES.get(type_, type_), error.param, _code(error, status))


def _code(error: ErrorBody, status: int) -> str | None:
    if error.code is not None:
        return error.code
    message = error.message.lower()
    if _TOO_LONG in message[:200]:
        return "context_length_exceeded"
    if status == 404 and message.startswith(_NO_MODEL):
        return "model_not_found"
    return ERROR_CODES.get(error.type or "")


def _message(message: Message) -> dict[str, Any]:
    texts = [block.text for block in message.content if block.type == "text"]
    thoughts = [block.thinking for block in message.content if block.type == "thinking"]
    calls = list(_tool_calls(message.content))
    refusal = message.stop_details.explanation if message.stop_details else None
    made: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    made["refusal"] = refusal if message.stop_reason == "refusal" else None
    if any(thoughts):
        made["reasoning_content"] = "".join(thoughts)
    if signed := list(_signed(message.content)):
        made[MEMBER] = signed
    if calls:
        made["tool_calls"] = calls
    return made


def _signed(blocks: Iterable[Block]) -> Iterable[dict[str, Any]]:
    """The thoughts, each with how many of the message's other parts stood before it: texts are one part."""
    has_text, calls = False, 0
    for block in blocks:
        if block.type in TYPES:
            thought = written_thought(msgspec.structs.asdict(block), after=has_text + calls)
            if thought is not None:
                yield thought
        has_text = has_text or bool(block.text)
        calls += block.type == "tool_use"


def _tool_calls(blocks: Iterable[Block]) -> Iterable[dict[str, Any]]:
    for block in blocks:
        if block.type == "tool_use":
            arguments = msgspec.json.encode(block.input if block.input is not None else {}).decode()
            yield {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _count(usage: Mapping[str, Any], name: str) -> int:
    count = usage.get(name)
    return count if type(count) is int and count > 0 else 0
