"""What an answer says that it consumed, whatever its form.

Token counts have two spellings (reference §6.1): chat, completions and embeddings say `prompt_tokens` and
`completion_tokens`, all younger endpoints `input_tokens` and `output_tokens`. Details are parts of their total. Any
field may be absent, null or of another type: what cannot be read counts as 0.

Rules of this file: what a call consumed is counted once, by the POST that made the answer; reading a stored object, or
changing one by its id, shows the same usage again. What comes later than its call is in `wire/late_usage`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from gateway.core.call import Endpoint, Usage

_UNCOUNTED: Final = frozenset({"moderations"})
"""Endpoints whose answers cost nothing."""
_MEDIA: Final = ("/images/", "/audio/")
"""Paths of endpoints whose answers are counted in other things than tokens, too."""
SPEECH: Final = "/audio/speech"
_STEP: Final = "thread.run.step"
"""An object whose usage is a part of its run's, which comes after it."""

_Count = Annotated[int, msgspec.Meta(ge=0)] | None


class _Details(msgspec.Struct, gc=False):
    """Parts of the input or of the output."""

    cached_tokens: _Count = None
    cache_write_tokens: _Count = None
    reasoning_tokens: _Count = None
    thinking_tokens: _Count = None
    """Anthropic's name."""
    audio_tokens: _Count = None
    image_tokens: _Count = None


class _Said(msgspec.Struct, gc=False):
    """A `usage` object, by all the names its parts have."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    input_tokens: _Count = None
    output_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    """Transcriptions and realtime."""
    output_token_details: _Details | None = None
    prompt_cache_hit_tokens: _Count = None
    """DeepSeek."""
    cache_read_input_tokens: _Count = None
    """Anthropic, whose `input_tokens` are without it and the next one."""
    cache_creation_input_tokens: _Count = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


class _Answer(msgspec.Struct, gc=False):
    """The member of an answer that is looked at; the others are only skipped."""

    usage: _Said | None = None


class _AnyAnswer(msgspec.Struct, gc=False):
    """The same where it is of some other type than it should be."""

    usage: Any = None


class _Media(msgspec.Struct, gc=False):
    """The same of pictures and transcripts."""

    data: list[msgspec.Raw] | None = None
    duration: Any = None


class _Event(msgspec.Struct, gc=False):
    """An event, which says its usage itself or in what it tells of."""

    object: Any = None
    usage: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    """Responses and realtime."""
    message: msgspec.Raw = msgspec.Raw()
    """Anthropic's first event."""


class _Asked(msgspec.Struct, gc=False):
    input: Any = None


_decode: Final = msgspec.json.Decoder(_Answer).decode
_decode_any: Final = msgspec.json.Decoder(_AnyAnswer).decode
_decode_media: Final = msgspec.json.Decoder(_Media).decode
_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_asked: Final = msgspec.json.Decoder(_Asked).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NO_DETAILS: Final = _Details()


def read_usage(body: bytes, endpoint: Endpoint) -> Usage | None:
    """Usage of a whole JSON answer; None when it holds none, or is no JSON object."""
    path = endpoint.path
    if endpoint.method != "POST" or "{" in path or endpoint.name in _UNCOUNTED:
        return None
    usage = _usage_in(body)
    return _with_media(body, usage) if path.startswith(_MEDIA) else usage


def read_event_usage(data: bytes) -> Usage | None:
    """Usage in the data of a typed event: its own, its response's, or its message's; None when it holds none."""
    if b'"usage"' not in data:
        return None
    try:
        event = _decode_event(data)
    except _UNREADABLE:
        return None
    if event.object == _STEP:
        return None
    own = bytes(event.usage)
    inner = bytes(event.response) or bytes(event.message)
    return _usage_in(data) if own not in {b"", b"null"} or not inner else _usage_in(inner)


def read_asked_usage(body: bytes, endpoint: Endpoint) -> Usage | None:
    """What the request says where the answer cannot: the characters of a text to be spoken. None: nothing."""
    if endpoint.path != SPEECH:
        return None
    try:
        text = _decode_asked(body).input
    except _UNREADABLE:
        return None
    return Usage(characters=len(text)) if isinstance(text, str) else None


def later(before: Usage | None, now: Usage | None) -> Usage | None:
    """What holds once a stream has said both: Anthropic's tells the input first, the output at its end."""
    if before is None or now is None:
        return now or before
    said = {name: count for name, count in msgspec.structs.asdict(now).items() if count}
    return msgspec.structs.replace(before, **said)


def usage_of(usage: object) -> Usage | None:
    """The value of a decoded `usage` member; None when it is no object."""
    if not isinstance(usage, dict):
        return None
    try:
        return _of(msgspec.convert(usage, _Said))
    except msgspec.ValidationError:
        return _of(msgspec.convert(_readable(usage), _Said))


def _usage_in(body: bytes) -> Usage | None:
    try:
        usage = _decode(body).usage
    except msgspec.ValidationError:
        return _odd_usage_in(body)
    except _UNREADABLE:
        return None
    return None if usage is None else _of(usage)


def _odd_usage_in(body: bytes) -> Usage | None:
    try:
        return usage_of(_decode_any(body).usage)
    except _UNREADABLE:
        return None


def _of(said: _Said) -> Usage:
    put_in = said.prompt_tokens_details or said.input_tokens_details or said.input_token_details or _NO_DETAILS
    put_out = said.completion_tokens_details or said.output_tokens_details or said.output_token_details or _NO_DETAILS
    input_tokens = said.prompt_tokens or said.input_tokens or 0
    output_tokens = said.completion_tokens or said.output_tokens or 0
    cached_tokens = put_in.cached_tokens or said.prompt_cache_hit_tokens or 0
    cache_write_tokens = put_in.cache_write_tokens or 0
    reasoning_tokens = put_out.reasoning_tokens or put_out.thinking_tokens or 0
    beyond = (said.total_tokens or 0) - input_tokens - output_tokens
    if beyond > 0:  # Gemini and xAI leave what was thought out of the output, and charge for it
        output_tokens += beyond
        reasoning_tokens = max(reasoning_tokens, beyond)
    if said.prompt_tokens is None:
        read, written = said.cache_read_input_tokens or 0, said.cache_creation_input_tokens or 0
        input_tokens += read + written
        cached_tokens, cache_write_tokens = cached_tokens or read, cache_write_tokens or written
    return Usage(
        input_tokens,
        output_tokens,
        cached_tokens,
        reasoning_tokens,
        cache_write_tokens,
        put_in.audio_tokens or 0,
        put_in.image_tokens or 0,
        put_out.audio_tokens or 0,
        put_out.image_tokens or 0,
        said.seconds or 0.0,
    )


def _with_media(body: bytes, usage: Usage | None) -> Usage | None:
    """Pictures are counted where the answer tells no tokens, and where it does; audio by its length."""
    try:
        answer = _decode_media(body)
    except _UNREADABLE:
        return usage
    images = len(answer.data or ())
    seconds = 0.0 if usage is not None else _seconds(answer.duration)
    if not images and not seconds:
        return usage
    return msgspec.structs.replace(usage or Usage(seconds=seconds), images=images)


_COUNTS: Final = frozenset(field for field in _Said.__struct_fields__ if field.endswith("_tokens"))


def _readable(usage: Mapping[str, Any]) -> dict[str, Any]:
    """`usage` without what has a wrong type."""
    kept: dict[str, Any] = {name: _count(usage.get(name)) for name in _COUNTS}
    for name in _Said.__struct_fields__:
        details = usage.get(name)
        if isinstance(details, dict):
            kept[name] = {part: _count(details.get(part)) for part in _Details.__struct_fields__}
    return kept | {"seconds": _seconds(usage.get("seconds"))}


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _seconds(value: object) -> float:
    """Seconds, which some write as a text."""
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:
            return 0.0
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9 else 0.0
