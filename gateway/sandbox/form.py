"""Multipart forms, whole: the fields and files of a request."""

import re

import msgspec

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))')
_NAME = re.compile(r'\bname="([^"]*)"')
_FILENAME = re.compile(r'filename="([^"]*)"')


class Part(msgspec.Struct, frozen=True):
    """One field."""

    name: str
    value: bytes
    filename: str | None = None


def read_form(content_type: str, body: bytes) -> list[Part] | None:
    """Parts in their order; None when the body is no whole form of that boundary."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    boundary = b"--" + (found[1] or found[2]).encode("latin-1")
    pieces = (b"\r\n" + body).split(b"\r\n" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        return None
    return [part for piece in pieces[1:-1] if (part := _part(piece)) is not None]


def _part(piece: bytes) -> Part | None:
    head, _, value = piece.partition(b"\r\n\r\n")
    text = head.decode("utf-8", "replace")
    name = _NAME.search(text)
    if name is None:
        return None
    filename = _FILENAME.search(text)
    return Part(name[1], value, filename[1] if filename else None)


def fields_of(parts: list[Part]) -> dict[str, object]:
    """Texts by name; `name[]` gives a list, `name[sub]` an object. Files are left out."""
    fields: dict[str, object] = {}
    for part in parts:
        if part.filename is not None:
            continue
        name, _, below = part.name.partition("[")
        text = part.value.decode("utf-8", "replace")
        if not below:
            fields[name] = text
        elif below == "]":
            held = fields.setdefault(name, [])
            if isinstance(held, list):
                held.append(text)
        else:
            within = fields.setdefault(name, {})
            if isinstance(within, dict):
                within[below.rstrip("]")] = text
    return fields
