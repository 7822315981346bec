"""Names of models that do not stand at the top of a JSON body: where, which, and the bytes with other names there.

A place is the path of a member: `("session", "model")`. Of a key that stands twice both are places, for nobody knows
which one an upstream reads. All other bytes stay as they were written.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.core.ids import ModelName
from gateway.wire.members import read_members

Place = tuple[str, ...]
Names = Mapping[ModelName, ModelName]
"""What a caller calls a model → what its upstream does."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


def models_at(fields: Mapping[str, Any], places: Sequence[Place]) -> tuple[ModelName, ...]:
    """The models that a decoded body names there, each once, in the order of the places."""
    found = (_value_at(fields, place) for place in places)
    return tuple(dict.fromkeys(ModelName(name) for name in found if isinstance(name, str) and name.strip()))


def renamed_at(body: bytes, places: Sequence[Place], names: Names) -> bytes:
    """`body`, valid JSON, with another name at each of the places that holds one of `names`."""
    spans = sorted(span for place in places for span in spans_at(body, place))
    for start, end in reversed(spans):
        name = names.get(msgspec.json.decode(body[start:end], type=ModelName))
        if name is not None:
            body = body[:start] + msgspec.json.encode(name) + body[end:]
    return body


def spans_at(body: bytes, place: Place) -> Iterator[tuple[int, int]]:
    """Where the texts of that path begin and end, with their quotes; nothing where it leads to anything else."""
    wanted, below = place[0], place[1:]
    for member in read_members(body) if body.lstrip(b" \t\n\r").startswith(b"{") else ():
        if member.key != wanted:
            continue
        if below:
            inner = body[member.start : member.end]
            yield from ((member.start + start, member.start + end) for start, end in spans_at(inner, below))
        elif body.startswith(b'"', member.start):
            yield member.start, member.end


def _value_at(fields: object, place: Place) -> object:
    for name in place:
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields
