"""JSON that upstreams take though a strict decoder does not: to read the members that matter, never to send it."""

from typing import Any

import msgspec

from gateway.wire.numbers import decode_any_numbers
from gateway.wire.surrogates import without_surrogates


def decode_leniently(body: bytes) -> Any:  # noqa: ANN401  # it may be any JSON value
    """Raises DecodeError, UnicodeDecodeError, RecursionError for what is no JSON."""
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
