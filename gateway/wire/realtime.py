"""Realtime sessions: the rows of their WebSockets, and the few events in them that matter to us.

Events are JSON objects with a `type`; most are pieces of sound. Looking for a word in their beginning costs less than
reading them, and only those that may be one of ours are read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.core.call import BodyKind, Endpoint, ModelUse, Usage
from gateway.core.hints import ABSURD_S, UNKNOWN, Quota, RateLimits
from gateway.core.outcome import ErrorBody
from gateway.wire.errors import error_of
from gateway.wire.usage import usage_of

SOCKETS: Final = {
    row.path: row
    for row in (
        Endpoint(name="realtime", method="GET", path="/realtime", body=BodyKind.NONE, model=ModelUse.OPTIONAL),
        Endpoint(
            name="realtime.translations",
            method="GET",
            path="/realtime/translations",
            body=BodyKind.NONE,
            model=ModelUse.OPTIONAL,
        ),
    )
}
"""Path below the version → row."""

_LOOKED_AT: Final = 4096
"""Characters. An event's `type` stands at its beginning, behind an `event_id` at most; what is long is sound."""


class Note(msgspec.Struct, frozen=True):
    """What an event tells us."""

    usage: Usage | None = None
    limits: RateLimits | None = None
    error: ErrorBody | None = None
    """The event `error`, or the reason why a response failed."""
    is_response: bool = False
    """A response ended."""


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    response: Any = None
    usage: Any = None
    rate_limits: Any = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode


def read_note(text: str) -> Note | None:
    """What an upstream's event tells; None for all those that tell us nothing, and for what is no event."""
    head = text[:_LOOKED_AT]
    if not any(mark in head for mark in _MARKS):
        return None
    try:
        event = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    read = _READERS.get(event.type) if isinstance(event.type, str) else None
    return None if read is None else read(event)


def added(one: Usage | None, other: Usage | None) -> Usage | None:
    """The usage of both."""
    if one is None or other is None:
        return one or other
    sums = {name: getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__}
    return Usage(**sums)


def error_of_close(reason: str) -> ErrorBody:
    """OpenAI ends a session that it refuses with `<type>.<code>`: `invalid_request_error.model_not_found`."""
    type_, _, code = reason.rpartition(".")
    if not reason or not reason.replace(".", "").replace("_", "").isalnum():
        return ErrorBody(message=reason)
    return ErrorBody(message=reason, type=type_ or None, code=code, is_readable=True)


def _done(event: _Event) -> Note:
    response = event.response
    if not isinstance(response, dict):
        return Note(is_response=True)
    details = response.get("status_details")
    error = details.get("error") if isinstance(details, dict) else None
    return Note(
        usage=usage_of(response.get("usage")),
        error=error_of({"error": error}) if isinstance(error, dict) else None,
        is_response=True,
    )


def _limits(listed: object) -> RateLimits | None:
    """`[{"name": "requests" | "tokens", "limit", "remaining", "reset_seconds"}]`."""
    if not isinstance(listed, list):
        return None
    quotas = {each.get("name"): _quota(each) for each in listed if isinstance(each, dict)}
    limits = RateLimits(quotas.get("requests", UNKNOWN), quotas.get("tokens", UNKNOWN))
    return None if limits == RateLimits() else limits


def _quota(told: dict[str, Any]) -> Quota:
    limit, remaining, reset_s = told.get("limit"), told.get("remaining"), told.get("reset_seconds")
    return Quota(
        limit if type(limit) is int and limit >= 0 else None,
        remaining if type(remaining) is int and remaining >= 0 else None,
        float(reset_s) if isinstance(reset_s, (int, float)) and 0 <= reset_s <= ABSURD_S else None,
    )


_READERS: Final[Mapping[str, Callable[[_Event], Note]]] = {
    "response.done": _done,
    "rate_limits.updated": lambda event: Note(limits=_limits(event.rate_limits)),
    "conversation.item.input_audio_transcription.completed": lambda event: Note(usage=usage_of(event.usage)),
    "error": lambda event: Note(error=error_of({"error": event.error})),
}
_MARKS: Final = tuple(f'"{name}"' for name in _READERS)
