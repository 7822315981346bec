"""Bodies that say one thing twice: `{"file_id": "a", "file_id": "b"}`. We read the last, some servers the first.

Rules of this file: what no decoder shows is counted in the bytes; a body without a name of ours twice costs one search.
"""

import json
import re
from collections.abc import Collection, Iterable
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
        if b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None:
            _check_all(body)
        elif (written := len(self._written.findall(body))) and written > self._count(value):
            _check_all(body)  # but for a name at the end of another: `"my \"id": 1`

    def _count(self, value: object) -> int:
        count, left = 0, [value]
        names = self._names
        while left:
            one = left.pop()
            if isinstance(one, dict):
                count += len(names & one.keys())
                left += [member for member in one.values() if isinstance(member, dict | list)]
            elif isinstance(one, list):
                left += [member for member in one if isinstance(member, dict | list)]
        return count


def _check_all(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_single)
    except (ValueError, RecursionError):
        return  # the strict decoder has judged it, or the upstream will


def _single(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _refused()
    return members


def _refused() -> InvalidCall:
    return InvalidCall(
        "The body has a member twice in one object, and servers differ in which of the two they read. Send one.",
        code="duplicate_member",
    )
