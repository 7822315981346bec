"""What a response would cost to read: OpenAI's `/responses/input_tokens` by way of Anthropic's `count_tokens`."""

from typing import Any, Final

import msgspec

from gateway.wire.responses_anthropic.request import write_request

_COUNTED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "mcp_servers"}
)
"""Members of a call that `count_tokens` takes: it refuses all others."""


class _Count(msgspec.Struct):
    input_tokens: int


def write_count(fields: dict[str, Any], model: str) -> bytes:
    """As `write_request`. Raises InvalidCall."""
    made = msgspec.json.decode(write_request(fields, model, is_stream=False))
    return msgspec.json.encode({name: value for name, value in made.items() if name in _COUNTED})


def read_count(body: bytes) -> bytes | None:
    """None when `body` is no count."""
    try:
        count = msgspec.json.decode(body, type=_Count).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": count})
