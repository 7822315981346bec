"""Forms (`multipart/form-data`, RFC 7578) as they pass by: where their parts lie, and the values of the small ones.

    preamble ─ delimiter ─┬ head ─ content ─ delimiter ─┬ …
                          └ `--`: the end               └ the end

Rules of this file: files are never held; what is held is bounded, whatever comes; the same parts are found however the
bytes are cut. What is no form is no error here: the upstream judges it.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple
from urllib.parse import quote_plus

from gateway.core.errors import InvalidCall
from gateway.core.ids import ModelName
from gateway.wire.lenient import begins_as_json
from gateway.wire.part_head import read_part_head

MAX_HEAD_BYTES: Final = 16_384
"""Of one part's headers. Beyond it nothing more is read of the form."""
MAX_VALUE_BYTES: Final = 65_536
"""A longer value is not kept: it is no name and no id."""
MAX_KEPT_BYTES: Final = 1_048_576
"""Of all values together."""
MAX_PARTS: Final = 10_000

_MULTIPART: Final = re.compile(rb"(?i)multipart/form-data[ \t]*;")
_BOUNDARY: Final = re.compile(rb'(?i);[ \t]*boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))')
_ONCE: Final = ("file", "purpose")
"""Fields of which servers may take the first or the last, and what they say must be looked into."""
_PADDING: Final = b" \t"
_LONGEST_PADDING: Final = 256


class Part(NamedTuple):
    """One part. Offsets are of the whole body, unpacked."""

    name: str
    is_file: bool
    start: int
    """Of its content."""
    end: int
    """Just after its content."""
    value: bytes | None
    """The content; None for files, and for what is too long to be kept."""


class Edit(NamedTuple):
    """Bytes `start` to `end` of a body are replaced."""

    start: int
    end: int
    new: bytes


class Form(NamedTuple):
    """What was found in a form."""

    boundary: bytes
    """Empty: its fields are urlencoded (`wire/urlencoded`)."""
    parts: tuple[Part, ...]
    first_at: int
    """Where the first delimiter begins; -1: there is none, so this is no form."""
    is_whole: bool
    """Its closing delimiter came."""
    is_clear: bool = True
    """Every server finds these fields in it, and no others: it is whole, all of it was read, no head is ambiguous."""

    def text(self, name: str) -> str | None:
        """The last value of that name, as upstreams read it; None when there is none."""
        for part in reversed(self.parts):
            if part.name == name and part.value is not None:
                return part.value.decode("utf-8", "replace")
        return None

    def as_written(self, value: bytes) -> bytes:
        """A value as it stands in such a form."""
        return value if self.boundary else quote_plus(value).encode()


def read_boundary(content_type: bytes) -> bytes | None:
    """The boundary that a `content-type` names; None when it is no form, or names none."""
    if _MULTIPART.match(content_type) is None:
        return None
    found = _BOUNDARY.search(content_type)
    return None if found is None else found[1] or found[2]


def model_edits(form: Form, model: ModelName) -> tuple[Edit, ...]:
    """What makes the form name `model`: its `model` fields replaced, or a field added where there is none."""
    value = form.as_written(model.encode())
    edits = tuple(Edit(part.start, part.end, value) for part in form.parts if part.name == "model" and not part.is_file)
    if edits or form.first_at < 0:
        return edits
    if not form.boundary:
        return (Edit(form.first_at, form.first_at, b"model=" + value + b"&"),)
    head = b"--" + form.boundary + b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    return (Edit(form.first_at, form.first_at, head + value + b"\r\n"),)


def check_clear(form: Form) -> None:
    """Raises InvalidCall for a form in which another server could find other fields than we do."""
    names = [part.name for part in form.parts]
    twice = next((name for name in _ONCE if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidCall(f"The form has two fields `{twice}`. Send one.", param=twice, code="invalid_multipart")
    if not form.is_clear:
        raise InvalidCall(
            f"The form is not clear: it has no end, more than {MAX_PARTS} parts, more than {MAX_KEPT_BYTES} bytes of "
            f"text, or a field that has no name, is longer than {MAX_VALUE_BYTES} bytes, or may be read differently "
            "by servers. Let the HTTP client write it, and name its type if it is no form.",
            code="invalid_multipart",
        )


class _State(Enum):
    CONTENT = auto()
    """Or the preamble, whose content nobody wants."""
    DELIMITER = auto()
    """Behind the boundary: a part begins, or the form ends, or it was none."""
    HEAD = auto()
    OVER = auto()
    """The form is whole, or is not read any further."""


class FormReader:
    """Fed the body piece by piece; `form` says what was found so far."""

    def __init__(self, boundary: bytes) -> None:
        self._boundary = boundary
        self._delimiter = b"\r\n--" + boundary
        self._state = _State.CONTENT
        self._held = b"\r\n"
        """Bytes that may not have been judged yet. The first delimiter needs no line end before it: here it is."""
        self._next = 0
        """Index among those held: all before it were judged."""
        self._held_at = -2
        """Offset in the body of the first byte that is held."""
        self._parts: list[Part] = []
        self._first_at = -1
        self._is_whole = False
        self._is_clear = True
        self._kept_bytes = 0
        self._name: str | None = None
        """Of the part whose content passes; None: the preamble, or a part that nobody asks for."""
        self._is_file = False
        self._start = 0
        """Offset at which its content begins."""
        self._value: list[bytes] | None = None
        self._value_bytes = 0

    @property
    def form(self) -> Form:
        is_clear = self._is_clear and self._is_whole
        return Form(self._boundary, tuple(self._parts), self._first_at, self._is_whole, is_clear)

    def feed(self, piece: bytes) -> None:
        if self._state is _State.OVER:
            return
        self._held += piece
        while self._step():
            pass
        self._held_at += self._next
        self._held = self._held[self._next :]
        self._next = 0

    def _step(self) -> bool:
        """False: more bytes are needed, or none are wanted."""
        match self._state:
            case _State.CONTENT:
                return self._pass_content()
            case _State.DELIMITER:
                return self._judge_delimiter()
            case _State.HEAD:
                return self._read_head()
            case _State.OVER:
                self._next = len(self._held)
                return False

    def _pass_content(self) -> bool:
        found = self._held.find(self._delimiter, self._next)
        if found < 0:
            self._pass_to(max(len(self._held) - len(self._delimiter) + 1, self._next))
            return False
        self._pass_to(found)
        self._state = _State.DELIMITER
        return True

    def _judge_delimiter(self) -> bool:
        """What follows the boundary says whether it is one: `--`, or blanks and a line end."""
        behind = self._next + len(self._delimiter)
        rest = self._held[behind : behind + _LONGEST_PADDING + 2]
        line_end = rest.lstrip(_PADDING)
        if rest.startswith(b"--"):
            self._end_part()
            self._is_whole = True
            self._state = _State.OVER
        elif line_end.startswith(b"\r\n"):
            self._end_part()
            self._next = behind + len(rest) - len(line_end)
            self._state = _State.HEAD
        elif rest in {b"", b"-"} or (line_end in {b"", b"\r"} and len(rest) <= _LONGEST_PADDING):
            return False
        else:  # a longer word that begins as the boundary does
            self._pass_to(self._next + 1)
            self._state = _State.CONTENT
        return True

    def _read_head(self) -> bool:
        """Begins with the line end behind the delimiter, so that a head without a line is one, too."""
        end = self._held.find(b"\r\n\r\n", self._next)
        length = (end if end >= 0 else len(self._held)) - self._next
        if length > MAX_HEAD_BYTES or len(self._parts) >= MAX_PARTS or self._kept_bytes > MAX_KEPT_BYTES:
            self._state = _State.OVER
            return True
        if end < 0:
            return False
        self._begin_part(self._held[self._next : end])
        self._next = end + 2  # an empty content's delimiter may share the line end with the head
        self._start = self._held_at + end + 4
        self._state = _State.CONTENT
        return True

    def _begin_part(self, head: bytes) -> None:
        self._name, self._is_file, self._value, self._value_bytes = None, False, None, 0
        said = read_part_head(head)
        self._is_clear = self._is_clear and said.is_clear
        if said.name is None:
            return
        self._name, self._is_file = said.name.decode("utf-8", "replace"), said.is_file
        self._kept_bytes += len(said.name)
        if not self._is_file:
            self._value = []

    def _end_part(self) -> None:
        """The content ended at `_next`."""
        at = self._held_at + self._next
        if self._first_at < 0:
            self._first_at = at + 2
        if self._name is not None:
            value = None if self._value is None else b"".join(self._value)
            self._parts.append(Part(self._name, self._is_file, self._start, max(at, self._start), value))
            self._kept_bytes += len(value or b"")
        self._name = self._value = None

    def _pass_to(self, index: int) -> None:
        """Content up to `index` was judged: kept where somebody may ask for it."""
        if self._value is not None:
            begins = max(self._start - self._held_at, self._next)
            if index > begins:
                self._value.append(self._held[begins:index])
                self._value_bytes += index - begins
                if self._value_bytes > MAX_VALUE_BYTES or self._kept_bytes + self._value_bytes > MAX_KEPT_BYTES:
                    is_text = begins_as_json(b"".join(self._value)[:MAX_VALUE_BYTES]) is False and self._name != "model"
                    self._is_clear = self._is_clear and is_text  # which names nothing, however long it is
                    self._value = None
        self._next = index
