"""Bodies that say one thing twice: `{"file_id": "a", "file_id": "b"}`. We read the last, some servers the first.

Rules of this file: only what may hold an id matters; other members may stand twice, as their callers wrote them, and so
may all of a body that names no object whichever of the two is read.
"""

import json
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from gateway.core.errors import InvalidCall

TELLING: Final = frozenset({"type"})
"""Members that tell of which kind the ids beside them are: without any id they may stand twice."""
ALWAYS_ONCE: Final = frozenset({"model", "purpose"})
"""Members that matter without an id: whose model it is, what a file is to be."""


class Keys:
    """Names of members that may not stand twice in one object, nor in a part of the body that another replaces."""

    def __init__(self, names: Collection[str], opaque: Collection[str] = ()) -> None:
        """`opaque`: members in which callers have names of their own."""
        self._names = frozenset(names)
        self._opaque = frozenset(opaque)

    def check(self, body: bytes) -> None:
        """Raises InvalidCall."""
        try:
            said = self._closer_look(body) if _has_twice(body) else None
        except RecursionError as error:
            raise InvalidCall("The body is nested too deeply.", code="invalid_json") from error
        except ValueError:
            return  # no JSON: whoever decodes it judges it
        if said is not None and said.is_twice and said.has_ids:
            raise InvalidCall(
                "The body has a member twice in one object, and servers differ in which of them they read. Send one.",
                code="duplicate_member",
            )

    def _closer_look(self, body: bytes) -> "_Said":
        return _said_in(json.loads(body, object_pairs_hook=self._read, parse_int=float, strict=False))

    def _read(self, pairs: list[tuple[str, Any]]) -> "_Said":
        names = [name for name, _ in pairs]
        again = {name for name, times in Counter(names).items() if times > 1} if len(set(names)) < len(names) else ()
        said = _Said()
        for name, value in pairs:
            below = _NOTHING if name in self._opaque else _said_in(value)
            is_named, is_again = name in self._names, name in again
            said.has_names |= is_named or below.has_names
            said.is_twice |= below.is_twice or (is_again and (is_named or below.has_names))
            said.has_ids |= below.has_ids or (is_named and (is_again if name in ALWAYS_ONCE else name not in TELLING))
        return said


class _Said:
    """What matters of one value."""

    __slots__ = ("has_ids", "has_names", "is_twice")

    def __init__(self) -> None:
        self.has_names = False
        """A member of those names is in it."""
        self.has_ids = False
        """One that may name an object, or matters without."""
        self.is_twice = False
        """One stands twice, or in what another replaces."""


_NOTHING: Final = _Said()


def _said_in(value: object) -> _Said:
    """Of a list what is said in any of its values."""
    if isinstance(value, _Said):
        return value
    if not isinstance(value, list):
        return _NOTHING
    said = _Said()
    for one in [one for one in value if type(one) is _Said or type(one) is list]:
        inner = _said_in(one)
        said.has_names |= inner.has_names
        said.has_ids |= inner.has_ids
        said.is_twice |= inner.is_twice
    return said


class _TwiceError(Exception):
    """Some member stands twice in its object."""


def _has_twice(body: bytes) -> bool:
    """Whether any member does. The decoder's own speed in one call for each object: nearly all bodies end here."""
    try:
        json.loads(body, object_pairs_hook=_single, parse_int=float, strict=False)
    except _TwiceError:
        return True
    return False


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _TwiceError
    return members
