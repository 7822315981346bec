"""A batch's input as it passes by (JSONL): which models its lines ask for, which objects they name, and other names.

Rules of this file: one line is held at a time, of a bounded length; what cannot be read is left to the upstream, which
tells the caller line by line. Of a line only the bytes of its model are ever changed.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from gateway.core.affinity import ENCRYPTED, Reference
from gateway.core.errors import InvalidCall
from gateway.core.ids import ModelName
from gateway.wire import jsonl
from gateway.wire.jsonl import HeldLine, LineSplitter
from gateway.wire.lenient import UNREADABLE, decode_leniently
from gateway.wire.members import only_model
from gateway.wire.places import Names, renamed_at
from gateway.wire.references import FINE_TUNED, MEMBERS, NAMED_ONCE, read_references

MAX_MODELS: Final = 100
"""OpenAI takes one a file."""
PLACE: Final = ("body", "model")
_NOBODY: Final = ModelName("")
_NEEDLE: Final = re.compile(b'"(?:(?:%b)"|%b)' % ("|".join((*MEMBERS, ENCRYPTED, "id")).encode(), FINE_TUNED.encode()))
_MODEL_KEY: Final = b'"model"'
_ESCAPE: Final = b"\\u00"
"""What may hide a name from that search."""


class _Body(msgspec.Struct, gc=False):
    model: Any = None


class _Line(msgspec.Struct, gc=False):
    body: _Body


_decode_line: Final = msgspec.json.Decoder(_Line).decode


class BatchLines:
    """Fed the file piece by piece, cut anywhere; then `finish`."""

    def __init__(self, name: str = "file", *, reads_ids: bool = True) -> None:
        """`name`: of the field that is read, for messages; `reads_ids`: the objects that lines name matter."""
        self._name = name
        self._reads_ids = reads_ids
        self._splitter = LineSplitter()
        self._models: dict[ModelName, None] = {}
        self._references: dict[str, Reference] = {}
        self.lines = 0
        """Those that are not empty."""
        self.unread: int | None = None
        """Index of the first line of which nothing is known: it is no JSON object, or too long."""
        self._is_too_much = False

    @property
    def models(self) -> tuple[ModelName, ...]:
        return tuple(self._models)

    @property
    def references(self) -> list[Reference]:
        """Each once; `param` names the line: `file[3].input_file_id`."""
        return list(self._references.values())

    def narrow(self, kept: Iterable[Reference]) -> None:
        """These are kept in place of all that were read: a file may name more than anybody wants to hold."""
        self._references = {reference.id: reference for reference in kept}

    def feed(self, piece: bytes) -> None:
        """Raises InvalidCall for a line that says one thing twice."""
        for line in self._splitter.feed(piece):
            self._end_line(line)

    def finish(self) -> None:
        """The last line needs no line end."""
        self._end_line(self._splitter.finish())

    def take_rest(self) -> bytes | None:
        """What stands behind the last line end, which is not read; None: it is too long to be held."""
        return self._splitter.finish()

    def pass_over(self, lines: int) -> None:
        """So many lines follow that were read elsewhere."""
        self.lines += lines

    def check(self, *, is_owned: bool) -> None:
        """Raises InvalidCall for a file that names more than can be looked after.

        `is_owned`: the caller's ids and models are its own, so a line that nobody can look into may not pass either.
        """
        if self._is_too_much:
            raise refused(f"The file names more than {MAX_MODELS} models. Divide it.", self._name)
        if is_owned and self.unread is not None:
            longest = jsonl.MAX_LINE_BYTES >> 20
            message = f"Line {self.unread + 1} of the {self._name} is no JSON object, or longer than {longest} MiB."
            raise refused(message, self._name)

    def _end_line(self, line: bytes | None) -> None:
        if line is None or line.strip():
            self.lines += 1
            if line is None or not self._read(line):
                self.unread = self.lines - 1 if self.unread is None else self.unread

    def _read(self, line: bytes) -> bool:
        """Whether it could be read."""
        if self._is_too_much:
            return True
        try:
            model, whole = _read_line(line)
            if whole is None and (_hides_model(line, model) or self._may_name(line)):
                whole = decode_leniently(line)
        except UNREADABLE:
            return False
        if model is not None:
            self._models.setdefault(model)
        if whole is not None:
            NAMED_ONCE.check(line)
        fields = whole.get("body") if self._reads_ids and isinstance(whole, dict) else None
        for reference in read_references(fields) if isinstance(fields, dict) else ():
            param = f"{self._name}[{self.lines - 1}].{reference.param}"
            self._references.setdefault(reference.id, msgspec.structs.replace(reference, param=param))
        self._is_too_much = len(self._models) > MAX_MODELS
        return whole is None or isinstance(whole, dict)

    def _may_name(self, line: bytes) -> bool:
        """Whether an object may be in it."""
        return self._reads_ids and (_NEEDLE.search(line) is not None or _ESCAPE in line)


class RenamedLines(NamedTuple):
    """Bytes `start` to `end` of a body are a batch's file whose lines go on under other names of models."""

    start: int
    end: int
    names: Names
    growth: int
    """Bytes that the file becomes longer by."""


class LineRenamer:
    """Fed the file piece by piece, cut anywhere; gives it back with `names` for the models of its lines."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._held = HeldLine()

    def feed(self, piece: bytes) -> bytes:
        return b"".join(self._fed(piece))

    def finish(self) -> bytes:
        return self._ended()

    def _fed(self, piece: bytes) -> Iterator[bytes]:
        *lines, rest = piece.split(b"\n")
        for line in lines:
            yield self._held.add(line)
            yield self._ended()
            yield b"\n"
        yield self._held.add(rest)

    def _ended(self) -> bytes:
        line = self._held.take()
        if not line:
            return line
        try:
            name = self._names.get(_read_line(line)[0] or _NOBODY)
            if name is None:
                return line
            span = only_model(line)
            if span is None:
                return renamed_at(line, (PLACE,), self._names)
        except UNREADABLE:
            return line
        return line[: span[0]] + msgspec.json.encode(name) + line[span[1] :]


def _read_line(line: bytes) -> tuple[ModelName | None, Any]:
    """The model that a line asks for, and its value if it had to be decoded as a whole; else None, for an object.

    Raises one of `UNREADABLE` for what is no JSON.
    """
    try:
        model, whole = _decode_line(line).body.model, None
    except msgspec.DecodeError:
        whole = decode_leniently(line)
        body = whole.get("body") if isinstance(whole, dict) else None
        model = body.get("model") if isinstance(body, dict) else None
    return ModelName(model) if isinstance(model, str) and model.strip() else None, whole


def _hides_model(line: bytes, model: ModelName | None) -> bool:
    """Whether it may have another model than the one that was read."""
    return line.count(_MODEL_KEY) != (0 if model is None else 1)


def refused(message: str, param: str = "file") -> InvalidCall:
    return InvalidCall(message, param=param, code="invalid_batch_file")
