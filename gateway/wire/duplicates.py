"""Bodies that say one thing twice: `{"file_id": "a", "file_id": "b"}`. We read the last, some servers the first.

Rules of this file: only what may hold an id matters; other members may stand twice, as their callers wrote them.
"""

import json
import re
from collections.abc import Collection
from typing import Any, Final

from gateway.core.errors import InvalidCall

_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")
"""In a key it hides the name from a search."""


class Keys:
    """Names of members that may not stand twice in one object, nor in a part of the body that another replaces."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._written = re.compile(rb'"(?:' + "|".join(sorted(names)).encode() + rb')"[ \t\n\r]*+:')

    def check(self, body: bytes, value: object) -> None:
        """Raises InvalidCall. `value` is the decoded body: of duplicates it has the last."""
        try:
            json.loads(body, object_pairs_hook=_single, parse_int=float, strict=False)
        except _TwiceError:
            hides = _ESCAPED_LETTER.search(body) is not None
            if hides or len(self._written.findall(body)) > self._count(value):
                raise _refused() from None
        except RecursionError as error:
            raise InvalidCall("The body is nested too deeply.", code="invalid_json") from error
        except ValueError:
            return  # no JSON: whoever decodes it judges it

    def _count(self, value: object) -> int:
        """How often the names stand in what is left of the body."""
        count, left = 0, [value]
        while left:
            one = left.pop()
            if isinstance(one, dict):
                count += len(self._names & one.keys())
                left += one.values()
            elif isinstance(one, list):
                left += one
        return count


class _TwiceError(Exception):
    """Some member stands twice in its object."""


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The decoder's own speed in one call for each object: to count in the bytes costs three times as much."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _TwiceError
    return members


def _refused() -> InvalidCall:
    return InvalidCall(
        "The body has a member twice in one object, and servers differ in which of the two they read. Send one.",
        code="duplicate_member",
    )
