"""JSON that upstreams take though a strict decoder does not: to read the members that matter, never to send it."""

import re
from typing import Any, Final

import msgspec

from gateway.core.errors import InvalidCall
from gateway.wire.numbers import decode_any_numbers
from gateway.wire.surrogates import without_surrogates

MAX_VALUES: Final = 2_000_000
MAX_NESTED: Final = 200_000
"""Objects and arrays. 10 million empty ones are a body of 30 MB, and 2 GB and a minute of whoever decodes them."""
_PROBED: Final = 256
"""Of each bracket, looked for one by one: with few, as beside an image, forty times as fast as counting."""
_PLACE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([{\[])|,', re.DOTALL)
"""A text, which is passed over, or what begins another value."""
_BEFORE: Final = b" \t\n\r\v\f\0\xef\xbb\xbf\xfe\xff"
"""What one decoder or another passes over before a value: blanks, byte order marks, the zeros of UTF-16."""
_NESTED: Final = frozenset({b"{", b"["})
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
"""What decoding raises for what is no JSON."""


def begins_as_json(beginning: bytes) -> bool | None:
    """Whether an object or array begins there, whatever its type says; None: nothing but blanks has come."""
    first = beginning.lstrip(_BEFORE)[:1]
    return first in _NESTED if first else None


def check_values(body: bytes) -> None:
    """Raises InvalidCall (413) for a body of more values than are decoded here."""
    if len(body) <= MAX_NESTED:
        return
    nested = _count(body, b"{") + _count(body, b"[")
    if nested <= MAX_NESTED and (len(body) <= MAX_VALUES or nested + _count(body, b",") <= MAX_VALUES):
        return
    values = nested = 0
    for place in _PLACE.finditer(body):
        if place[0][:1] != b'"':
            values += 1
            nested += place[1] is not None
            if values > MAX_VALUES or nested > MAX_NESTED:
                raise InvalidCall(
                    f"The body holds more than {MAX_VALUES} values, or {MAX_NESTED} objects and arrays. Send less.",
                    code="request_too_large",
                    status=413,
                )


def _count(body: bytes, letter: bytes) -> int:
    at = -1
    for seen in range(_PROBED):
        at = body.find(letter, at + 1)
        if at < 0:
            return seen
    return _PROBED + body.count(letter, at + 1)


def decode_leniently(body: bytes) -> Any:  # noqa: ANN401  # it may be any JSON value
    """Raises DecodeError, UnicodeDecodeError, RecursionError for what is no JSON, InvalidCall for what is too much."""
    check_values(body)
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError:  # without a type to fit, only a number out of range is one
        return decode_any_numbers(body)
    except msgspec.DecodeError:
        readable = without_surrogates(body)
        if readable == body:
            raise
    try:
        return msgspec.json.decode(readable)
    except msgspec.ValidationError:
        return decode_any_numbers(readable)
