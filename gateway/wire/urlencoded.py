"""Forms without files (`application/x-www-form-urlencoded`, WHATWG URL §5) as they pass by: their fields, and where.

Rules of this file: what is held is bounded as in `wire/multipart`, whatever comes; the same fields are found however
the bytes are cut. Programs send anything under this type (it is curl's own for `-d`): what begins as JSON does is none.
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.wire.lenient import begins_as_json
from gateway.wire.multipart import MAX_KEPT_BYTES, MAX_PARTS, MAX_VALUE_BYTES, Form, Part

TYPE: Final = b"application/x-www-form-urlencoded"


def is_urlencoded(content_type: bytes) -> bool:
    return content_type.lower().startswith(TYPE)


class UrlencodedReader:
    """Fed the body piece by piece; `form` is what was found once all of it has come."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        """Of the field that passes."""
        self._held_bytes = 0
        self._is_long = False
        """It is longer than any that is kept."""
        self._start = 0
        self._parts: list[Part] = []
        self._kept_bytes = 0
        self._is_clear = True
        """No field was passed over."""
        self._is_form: bool | None = None
        """None: nothing but blanks has come yet."""

    @property
    def form(self) -> Form | None:
        """None: the body is no form."""
        if not self._is_form:
            return None
        if self._held_bytes:
            self._end_field()
        return Form(b"", tuple(self._parts), first_at=0, is_whole=True, is_clear=self._is_clear)

    def feed(self, piece: bytes) -> None:
        if self._is_form is None and (is_json := begins_as_json(piece)) is not None:
            self._is_form = not is_json
        if self._is_form is False:
            return
        *fields, rest = piece.split(b"&")
        for field in fields:
            self._hold(field)
            self._end_field()
            self._start += 1
        self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        self._is_long = self._is_long or self._held_bytes > MAX_VALUE_BYTES
        if self._is_long:
            self._held.clear()
        elif piece:
            self._held.append(piece)

    def _end_field(self) -> None:
        start, end = self._start, self._start + self._held_bytes
        name, equals, value = b"".join(self._held).partition(b"=")
        is_kept = not self._is_long and self._kept_bytes + len(value) <= MAX_KEPT_BYTES
        self._held.clear()
        self._held_bytes, self._is_long, self._start = 0, False, end
        if name and is_kept and len(self._parts) < MAX_PARTS:
            self._kept_bytes += len(name) + len(value)
            at = start + len(name) + len(equals)
            self._parts.append(Part(_decoded(name).decode("utf-8", "replace"), False, at, end, _decoded(value)))
        elif end > start:
            self._is_clear = False


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" ")) if b"%" in text or b"+" in text else text
