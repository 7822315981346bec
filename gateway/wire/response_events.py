"""Responses over a WebSocket: the messages of both sides, and how they stand in a stream of events (reference §7.3).

    caller:   {"type": "response.create", "stream_id"?, <the body of POST /responses>}, others
    upstream: {"type": "response.…", "stream_id"?, …} as over HTTP, {"type": "error", "status"?, "stream_id"?, "error"}

Messages with one `stream_id` make a lane, those without one another. An error tells in its own members what a refusal
over HTTP tells by its status and headers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.core.call import BodyKind, Endpoint
from gateway.core.errors import GatewayError, InvalidCall, UpstreamFailed, UpstreamTimedOut
from gateway.core.masking import masked_identifiers_in_bytes
from gateway.wire.endpoints import find
from gateway.wire.errors import error_headers
from gateway.wire.families import RESPONSES
from gateway.wire.members import read_members
from gateway.wire.refusals import too_long, wrong_type
from gateway.wire.sse import read_event
from gateway.wire.surrogates import without_surrogates

RESPONSES_SOCKET: Final = Endpoint(name="responses.socket", method="GET", path="/responses", body=BodyKind.NONE)
"""The handshake. What is asked through it are calls of the row of `POST /responses`."""
_CREATE: Final = find("POST", RESPONSES_SOCKET.path)
assert _CREATE is not None  # noqa: S101  # a row of the table
CREATE: Final = _CREATE

LONGEST_LANE: Final = 256
"""Characters."""
ASKS: Final = "response.create"
CREATED: Final = "response.created"
ERROR: Final = "error"
STEERED: Final = "response.steer.accepted"
UNSTEERED: Final = frozenset({"response.steer.pending", "response.steer.failed"})
"""What was accepted waits for the caller, or came to nothing: no response follows by itself."""
ENDS: Final = RESPONSES.ends | {ERROR}
"""Events after which nothing of that response comes any more."""
DELAYS: Final = frozenset({"retry-after", "retry-after-ms", "x-should-retry"})
"""Headers of an error that a caller may read: limits and identity of the account are nobody's business."""
_HEAD: Final = b"data: "
_MORE: Final = b"\ndata: "
_END: Final = b"\n\n"

Headers = tuple[tuple[bytes, bytes], ...]


class Head(msgspec.Struct, frozen=True, gc=False):
    """What decides where a message goes."""

    type: Any = None
    stream_id: Any = None

    @property
    def lane(self) -> str | None:
        """None: the one without a name, or what names none."""
        lane = self.stream_id
        return lane if isinstance(lane, str) and len(lane) <= LONGEST_LANE else None


class Refusal(msgspec.Struct, frozen=True):
    """An error event, as it would have come over HTTP."""

    status: int
    headers: Headers
    body: bytes


class Made(msgspec.Struct, frozen=True, gc=False):
    """A response that begins, or what was steered into one."""

    id: str | None = None
    previous_response_id: str | None = None
    """From which it goes on; into which it was steered."""


class _Created(msgspec.Struct, gc=False):
    response: Made = Made()


class _Steered(msgspec.Struct, gc=False):
    steer: Made = Made()


_decode_head: Final = msgspec.json.Decoder(Head).decode
_decode_created: Final = msgspec.json.Decoder(_Created).decode
_decode_steered: Final = msgspec.json.Decoder(_Steered).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NOTHING: Final = Head()


def read_head(message: bytes) -> Head:
    """Of either side's message. Empty for what is no JSON object."""
    for text in (message, without_surrogates(message)):
        try:
            return _decode_head(text)
        except _UNREADABLE:
            continue
    return _NOTHING


def check_type(message: bytes) -> None:
    """Raises InvalidCall for a message, valid JSON, that some server may take for one of another type."""
    if sum(member.key == "type" for member in read_members(message)) > 1:
        raise InvalidCall("The message has the member `type` twice. Send one.", param="type", code="duplicate_member")


def check_lane(stream_id: object) -> None:
    """Raises InvalidCall for what names no lane."""
    if stream_id is not None and not isinstance(stream_id, str):
        raise wrong_type("stream_id", "a string", stream_id)
    if stream_id is not None and len(stream_id) > LONGEST_LANE:
        raise too_long("stream_id", "string", high=LONGEST_LANE, length=len(stream_id))


def is_error(message: bytes) -> bool:
    type_: object = read_head(message).type
    return type_ == ERROR


def read_made(message: bytes) -> Made:
    """The response that `response.created` shows; without an id where it shows none."""
    try:
        return _decode_created(message).response
    except _UNREADABLE:
        return Made()


def read_steered(message: bytes) -> Made:
    """What an event about steering is about."""
    try:
        return _decode_steered(message).steer
    except _UNREADABLE:
        return Made()


def read_refusal(message: bytes) -> Refusal | None:
    """An error event that tells its status; None for every other message."""
    event = _decoded(message)
    status, error = event.get("status"), event.get("error")
    if event.get("type") != ERROR or type(status) is not int or not isinstance(error, dict):
        return None
    if not 400 <= status <= 599:
        return None
    return Refusal(status, _headers_of(error.pop("headers", None)), msgspec.json.encode({"error": error}))


def failure_in(message: bytes) -> bytes:
    """The error body of an event that tells that a response failed."""
    event = _decoded(message)
    response = event.get("response")
    error = event.get("error") or (response.get("error") if isinstance(response, dict) else None)
    usual = {"message": "The response failed.", "type": "server_error", "code": None, "param": None}
    return msgspec.json.encode({"error": usual | error if isinstance(error, dict) else usual})


# -- as a stream of events ---------------------------------------------------------------------------------------


def as_event(message: bytes) -> bytes:
    """The event that `as_message` makes the same message of. A CR, which no JSON text holds, would end a line."""
    if b"\r" in message:
        message = message.replace(b"\r", b" ")
    return _HEAD + message.replace(b"\n", _MORE) + _END


def as_message(event: bytes) -> str | None:
    """The message in one event; None for a comment."""
    if event.startswith(_HEAD):
        return event[len(_HEAD) : -len(_END)].replace(_MORE, b"\n").decode(errors="replace")
    data = read_event(event).data
    return None if data is None else data.decode(errors="replace")


# -- errors, as messages -----------------------------------------------------------------------------------------


def write_error_message(error: GatewayError, lane: str | None) -> str:
    """Our own."""
    said = {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
    return _written(error.status, said, error_headers(error), lane)


def write_refused(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, lane: str | None) -> str:
    """An upstream's refusal: `body` is its error body, identifiers masked."""
    error = _decoded(body).get("error")
    if not isinstance(error, dict):
        error = {"type": "invalid_request_error" if status < 500 else "server_error", "code": None, "param": None}
        error["message"] = error.get("message") or f"The upstream refused with status {status}."
    return _written(status, error, headers, lane)


def write_broken(event: bytes, lane: str | None) -> str:
    """The event that ends a broken stream, which is ours, with what its form has over a WebSocket."""
    said = _decoded(read_event(event).data or b"")
    is_late = isinstance(said.get("error"), dict) and said["error"].get("code") == UpstreamTimedOut.code
    said["status"] = (UpstreamTimedOut if is_late else UpstreamFailed).status
    return _encoded(said if lane is None else said | {"stream_id": lane})


def passed_error(message: bytes) -> str:
    """An upstream's error event as a caller may read it."""
    event = _decoded(message)
    error = event.get("error")
    if isinstance(error, dict) and isinstance(error.get("headers"), dict):
        error["headers"] = {name: value for name, value in error["headers"].items() if name.lower() in DELAYS}
        message = msgspec.json.encode(event)
    return masked_identifiers_in_bytes(message).decode(errors="replace")


def _written(status: int, error: Mapping[str, Any], headers: Sequence[tuple[bytes, bytes]], lane: str | None) -> str:
    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    delays = {name: value for name, value in told.items() if name in DELAYS}
    event: dict[str, Any] = {
        "type": ERROR,
        "status": status,
        "error": {**error, "headers": delays} if delays else error,
    }
    return _encoded(event if lane is None else event | {"stream_id": lane})


def _encoded(event: Mapping[str, Any]) -> str:
    return msgspec.json.encode(event).decode()


def _decoded(message: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(message)
    except _UNREADABLE:
        return {}
    return value if isinstance(value, dict) else {}


def _headers_of(headers: object) -> Headers:
    """Of an error: names and values that a header could have."""
    given = headers.items() if isinstance(headers, dict) else ()
    return tuple(
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in given
        if isinstance(name, str) and isinstance(value, str)
    )
