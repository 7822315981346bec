"""Names of models that do not stand at the top of a JSON body: where, which, and the bytes with other names there.

A place is the path of a member: `("session", "model")`, `EACH` in it every value of a list. Of a key that stands twice
both are places, for nobody knows which one an upstream reads. All other bytes stay as they were written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.core.ids import ModelName
from gateway.wire.lenient import UNREADABLE, decode_leniently
from gateway.wire.members import read_members, read_values
from gateway.wire.multipart import Edit, Form
from gateway.wire.refusals import two_models
from gateway.wire.surrogates import without_surrogates

Place = tuple[str, ...]
Names = Mapping[ModelName, ModelName]
"""What a caller calls a model → what its upstream does."""
EACH: Final = ""
"""No member of ours is called so."""
_BLANKS: Final = b" \t\n\r"
_NAME: Final = re.compile(r"[^\[\]]+")


def models_at(fields: Mapping[str, Any], places: Sequence[Place]) -> tuple[ModelName, ...]:
    """The models that a decoded body names there, each once, in the order of the places."""
    found = (_value_at(fields, place) for place in places)
    return tuple(dict.fromkeys(ModelName(name) for name in found if isinstance(name, str) and name.strip()))


def renamed_at(body: bytes, places: Sequence[Place], names: Names) -> bytes:
    """`body`, valid JSON, with another name at each of the places that holds one of `names`."""
    written, at = list[bytes](), 0
    for start, end in sorted(span for place in places for span in spans_at(body, place)):
        name = names.get(msgspec.json.decode(without_surrogates(body[start:end]), type=ModelName))
        if name is not None:
            written += (body[at:start], msgspec.json.encode(name))
            at = end
    return b"".join((*written, body[at:]))


def spans_at(body: bytes, place: Place) -> Iterator[tuple[int, int]]:
    """Where the texts of that path begin and end, with their quotes; nothing where it leads to anything else."""
    below = place[1:]
    for at, end in _found_at(body, place[0]):
        if below:
            yield from ((at + start, at + end) for start, end in spans_at(body[at:end], below))
        elif body.startswith(b'"', at):
            yield at, end


def _found_at(body: bytes, wanted: str) -> Iterator[tuple[int, int]]:
    begin = body.lstrip(_BLANKS)[:1]
    if begin == b"[" and wanted == EACH:
        yield from read_values(body)
    elif begin == b"{" and wanted != EACH:
        yield from ((member.start, member.end) for member in read_members(body) if member.key == wanted)


def form_fields(form: Form, places: Sequence[Place]) -> dict[str, Any]:
    """What the fields of a form hold at those places, as if it were JSON; nothing where a text is none.

    Raises InvalidCall where two fields of one name differ: nobody knows which one an upstream reads.
    """
    found: dict[str, Any] = {}
    for part in form.parts:
        inner = _names_in(part.name)
        if part.value is None or not inner or not any(place[: len(inner)] == inner for place in places):
            continue
        holder = found
        for name in inner[:-1]:
            held = holder.setdefault(name, {})
            holder = held if isinstance(held, dict) else {}
        value = part.value.decode("utf-8", "replace") if inner in places else _json_in(part.value)
        if holder.setdefault(inner[-1], value) != value:
            raise two_models("form")
    return found


def form_edits(form: Form, places: Sequence[Place], names: Names) -> tuple[Edit, ...]:
    """What puts `names` at those places of a form."""
    edits: list[Edit] = []
    for part in form.parts:
        if part.value is None:
            continue
        inner = _names_in(part.name)
        if inner in places:
            new = names.get(ModelName(part.value.decode("utf-8", "replace")), "").encode() or part.value
        else:
            below = [place[len(inner) :] for place in places if inner and place[: len(inner)] == inner]
            new = renamed_at(part.value, below, names) if _json_in(part.value) else part.value
        if new != part.value:
            edits.append(Edit(part.start, part.end, form.as_written(new)))
    return tuple(edits)


def _json_in(text: bytes) -> Any:  # noqa: ANN401  # it may be any JSON value
    """None: it is no JSON."""
    try:
        return decode_leniently(text)
    except UNREADABLE:
        return None


def _names_in(field: str) -> Place:
    """`session[audio][input]` → its names."""
    return tuple(_NAME.findall(field))


def _value_at(fields: object, place: Place) -> object:
    for name in place:
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields
