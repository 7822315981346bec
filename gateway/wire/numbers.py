"""JSON with numbers that no machine number holds (`1e400`, integers of hundreds of digits): valid, but not to msgspec.

As with `surrogates`: they are the upstream's to judge, we only need to read the members beside them.
"""

import json
from typing import Any, Final, NoReturn

import msgspec

_MANY_DIGITS: Final = 18
"""Longer integers are read as floats: none of them is a count that we look at, and Python reads long ones slowly."""


def decode_any_numbers(body: bytes) -> Any:  # noqa: ANN401  # it may be any JSON value
    """Any JSON, slowly; numbers out of range as infinity. Raises DecodeError, UnicodeDecodeError, RecursionError."""
    try:
        return json.loads(body.decode(), parse_int=_integer, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise msgspec.DecodeError(f"{error.msg[:1].lower()}{error.msg[1:]} (character {error.pos})") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MANY_DIGITS else float(digits)


def _refuse(name: str) -> NoReturn:
    raise msgspec.DecodeError(f"the number {name} is none of JSON's")
