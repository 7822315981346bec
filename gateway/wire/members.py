"""Where the members of a JSON object stand in its bytes, so that one can be replaced and all else stay as it is.

Rules of this file: what comes in is valid JSON (it was decoded before); nothing is decoded but keys with escapes.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from gateway.wire.surrogates import without_surrogates

_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_KEY: Final = re.compile(rb"[ \t\n\r,]*+(" + _STRING + rb")[ \t\n\r]*+:[ \t\n\r]*+")
_GAP: Final = re.compile(rb"[ \t\n\r,]*+")
_SIMPLE: Final = re.compile(_STRING + rb"|[^ \t\n\r,\]}]++")
_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]])")
"""The next bracket that is not in a string."""
_MODEL_KEY: Final = re.compile(rb'"model"')
_MODEL_MEMBER: Final = re.compile(rb'"model"[ \t\n\r]*+:[ \t\n\r]*+(' + _STRING + rb")")
_ESCAPED_LETTER: Final = re.compile(rb"\\u00")
"""Any ASCII letter can be written so, in keys too: `"\\u006dodel"`."""


class Member(NamedTuple):
    """Offsets of one member. `key` is its text, decoded."""

    key: str
    key_start: int
    start: int
    """Where the value starts."""
    end: int
    """Just after the value."""


def read_members(body: bytes) -> list[Member]:
    """Members of the object that `body` is, in order, duplicate keys and all."""
    at = body.index(b"{") + 1
    members: list[Member] = []
    while (match := _KEY.match(body, at)) is not None:
        start = match.end()
        at = _end_of_value(body, start)
        members.append(Member(_key_text(match[1]), match.start(1), start, at))
    return members


def read_values(body: bytes) -> Iterator[tuple[int, int]]:
    """Where the values of the list that `body` is begin and end."""
    at = body.index(b"[") + 1
    while True:
        start = _GAP.match(body, at).end()  # type: ignore[union-attr]  # it may be empty
        if body.startswith(b"]", start):
            return
        at = _end_of_value(body, start)
        yield start, at


def only_model(body: bytes) -> tuple[int, int] | None:
    """Where the text of the member `model` stands, quotes and all, in JSON that has such a member in a known place.

    None: there may be others, and only a closer look tells them apart. Else its key can only be written plainly, and
    one such key in all is that one.
    """
    if _ESCAPED_LETTER.search(body) is not None:
        return None
    found = _MODEL_KEY.finditer(body)
    first = next(found, None)
    member = None if first is None or next(found, None) is not None else _MODEL_MEMBER.match(body, first.start())
    return None if member is None else member.span(1)


def without_member(body: bytes, members: list[Member], place: int) -> bytes:
    """The object without `members[place]` and without the comma that this leaves over."""
    if place > 0:
        start, end = members[place - 1].end, members[place].end
    elif len(members) > 1:
        start, end = members[0].key_start, members[1].key_start
    else:
        start, end = members[0].key_start, members[0].end
    return body[:start] + body[end:]


def _key_text(key: bytes) -> str:
    if b"\\" in key:
        return msgspec.json.decode(without_surrogates(key), type=str)
    return key[1:-1].decode()


def _end_of_value(body: bytes, start: int) -> int:
    if body[start] not in b"{[":
        return _SIMPLE.match(body, start).end()  # type: ignore[union-attr]  # every other JSON value matches
    depth = 0
    for match in _BRACKET.finditer(body, start):
        depth += 1 if match[1] in b"{[" else -1
        if depth == 0:
            return match.end()
    raise ValueError("not JSON: a bracket is left open")
