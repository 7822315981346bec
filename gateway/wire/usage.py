"""What an answer says of itself: the tokens it consumed and the model that served it.

Token counts have two spellings (reference §6.1): chat, completions and embeddings say `prompt_tokens` and
`completion_tokens`, all younger endpoints `input_tokens` and `output_tokens`. Details are subsets of their total. Any
field may be absent, null or of another type: what cannot be read counts as 0.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.call import Endpoint, Usage

_UNCOUNTED: Final = frozenset({"moderations", "audio.speech"})
"""Endpoints whose answers hold no usage: free ones, and sound."""


class _Answer(msgspec.Struct, gc=False):
    """The members of an answer that are looked at; the others are only skipped."""

    usage: Any = None
    model: Any = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def read_usage(body: bytes, endpoint: Endpoint) -> Usage | None:
    """Usage of a whole JSON answer; None when it holds none, or is no JSON object."""
    if endpoint.name in _UNCOUNTED:
        return None
    answer = _read(body)
    return None if answer is None else usage_of(answer.usage)


def served_model(body: bytes) -> str | None:
    """The model that a whole JSON answer names: a dated snapshot where an alias was asked for."""
    answer = _read(body)
    return answer.model if answer is not None and isinstance(answer.model, str) else None


def usage_of(usage: object) -> Usage | None:
    """The value of a decoded `usage` member; None when it is no object."""
    if not isinstance(usage, dict):
        return None
    put_in = _details(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    put_out = _details(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    return Usage(
        input_tokens=_count(usage, "prompt_tokens", "input_tokens"),
        output_tokens=_count(usage, "completion_tokens", "output_tokens"),
        cached_tokens=_count(put_in, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens"),  # DeepSeek's name
        reasoning_tokens=_count(put_out, "reasoning_tokens"),
    )


def _read(body: bytes) -> _Answer | None:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        if isinstance(details := usage.get(name), dict):
            return details
    return {}


def _count(holder: Mapping[str, Any], *names: str) -> int:
    for name in names:
        count = holder.get(name)
        if type(count) is int and count > 0:
            return count
    return 0
