"""The headers of one part of a form (RFC 7578 §4.2): how its field is called, and whether all servers see that alike.

Rules of this file: a name is found wherever one can be, for a form that nobody here answers for; what could be read as
another one elsewhere (two names, a folded line, a coding) is found, too, and said to be unclear.
"""

import re
from typing import Final, NamedTuple

_DISPOSITION: Final = re.compile(rb"(?im)^content-disposition[ \t]*:[ \t]*form-data([^\r\n]*)")
_NAME: Final = re.compile(rb'(?i);[ \t]*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_FILENAME: Final = re.compile(rb"(?i);[ \t]*filename\*?=")
_ESCAPED: Final = re.compile(rb"\\(.)")

_LINE: Final = re.compile(rb"([!#-'*+.0-9A-Z^-z|~-]+):[ \t]*([^\r\n\0]*)")
_PARAMETER: Final = re.compile(rb';[ \t]*([!#-\'*+.0-9A-Z^-z|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))[ \t]*')
_PLAIN_CODINGS: Final = frozenset({b"7bit", b"8bit", b"binary", b""})


class PartHead(NamedTuple):
    """What a part says of itself."""

    name: bytes | None
    """None: nobody could tell."""
    is_file: bool
    is_clear: bool
    """No server could take it for another field's."""


def read_part_head(head: bytes) -> PartHead:
    """`head` is all between the delimiter and the empty line, the line end before it included."""
    disposition = _DISPOSITION.search(head)
    found = None if disposition is None else _NAME.search(disposition[1])
    if disposition is None or found is None:
        return PartHead(None, is_file=False, is_clear=False)
    name = found[1] if found[1] is not None else found[2]
    is_file = _FILENAME.search(disposition[1]) is not None
    is_clear = _is_clear(head, found[0], is_file=is_file)
    return PartHead(_ESCAPED.sub(rb"\1", name).replace(b"%22", b'"'), is_file, is_clear)


def _is_clear(head: bytes, named: bytes, *, is_file: bool) -> bool:
    """`named`: the parameter that was taken for the name."""
    dispositions: list[bytes] = []
    for line in head.removeprefix(b"\r\n").split(b"\r\n"):
        header = _LINE.fullmatch(line)
        if header is None:
            return False
        name, value = header[1].lower(), header[2]
        if name == b"content-disposition":
            dispositions.append(value)
        elif name == b"content-transfer-encoding" and not is_file and value.strip().lower() not in _PLAIN_CODINGS:
            return False
    return len(dispositions) == 1 and _is_one_name(dispositions[0], named)


def _is_one_name(disposition: bytes, named: bytes) -> bool:
    kind, _, _ = disposition.partition(b";")
    at, names = len(kind), []
    while (parameter := _PARAMETER.match(disposition, at)) is not None:
        at = parameter.end()
        names.append(parameter[1].lower())
        if names[-1] == b"name" and parameter[0].strip() != named.strip():
            return False
    return at == len(disposition) and names.count(b"name") == 1 and b"name*" not in names
