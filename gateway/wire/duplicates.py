"""Bodies that say one thing twice: `{"file_id": "a", "file_id": "b"}`. We read the last, some servers the first.

Rules of this file: only what may hold an id matters; other members may stand twice, as their callers wrote them, and so
may all of a body that names no object whichever of the two is read.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway.core.errors import InvalidCall

_TYPE, _MODEL, _ID = range(1, 4)
"""What a member may say: of which kind the ids beside it are; whose model it is, or what a file is to be; an id."""
_WEIGHTS: Final = MappingProxyType({"type": _TYPE, "model": _MODEL, "purpose": _MODEL})
"""Any other name is an id's."""


class Keys:
    """Names of members that may not stand twice in one object, nor in a part of the body that another replaces."""

    def __init__(self, names: Collection[str], opaque: Collection[str] = ()) -> None:
        """`opaque`: members in which callers have names of their own."""
        self._weights = {name: _WEIGHTS.get(name, _ID) for name in names}
        self._opaque = frozenset(opaque)

    def check(self, body: bytes) -> None:
        """Raises InvalidCall."""
        try:
            said = self._closer_look(body) if _has_twice(body) else None
        except RecursionError as error:
            raise InvalidCall("The body is nested too deeply.", code="invalid_json") from error
        except ValueError:
            return  # no JSON: whoever decodes it judges it
        if said is not None and (said.twice > _TYPE or (said.twice == _TYPE and said.most == _ID)):
            raise InvalidCall(
                "The body has a member twice in one object, and servers differ in which of them they read. Send one.",
                code="duplicate_member",
            )

    def _closer_look(self, body: bytes) -> "_Said":
        return _said_in(_decode(body, self._read))

    def _read(self, pairs: list[tuple[str, Any]]) -> "_Said":
        names = [name for name, _ in pairs]
        again = {name for name, times in Counter(names).items() if times > 1} if len(set(names)) < len(names) else ()
        most = twice = 0
        for name, value in pairs:
            below = _NOTHING if name in self._opaque else _said_in(value)
            weight = max(self._weights.get(name, 0), below.most)
            most = max(most, weight)
            twice = max(twice, below.twice, weight if name in again else 0)
        return _Said(most, twice)


class _Said(NamedTuple):
    """Of one value: the weightiest member that is in it, and that stands twice or in what another replaces."""

    most: int
    twice: int


_NOTHING: Final = _Said(0, 0)


def _said_in(value: object) -> _Said:
    """Of a list what is said in any of its values."""
    if type(value) is _Said:
        return value
    if type(value) is not list:
        return _NOTHING
    inner = [_said_in(one) for one in value if type(one) is _Said or type(one) is list]
    return _Said(max(said.most for said in inner), max(said.twice for said in inner)) if inner else _NOTHING


class _TwiceError(Exception):
    """Some member stands twice in its object."""


def _has_twice(body: bytes) -> bool:
    """Whether any member does. The decoder's own speed in one call for each object: nearly all bodies end here."""
    try:
        _decode(body, _single)
    except _TwiceError:
        return True
    return False


def _single(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _TwiceError


def _decode(body: bytes, read: Callable[[list[tuple[str, Any]]], object]) -> object:
    """Numbers say nothing here, and `bool` makes nothing of them: nine times as fast as floats are made."""
    return json.loads(body, object_pairs_hook=read, parse_int=bool, parse_float=bool, strict=False)
