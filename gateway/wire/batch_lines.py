"""A batch's input as it passes by (JSONL): which models its lines ask for, and which objects they name.

Rules of this file: one line is held at a time, of a bounded length; what cannot be read is left to the upstream, which
tells the caller line by line. Lines are never changed.
"""

from typing import Any, Final

import msgspec

from gateway.core.affinity import ENCRYPTED, Reference
from gateway.core.ids import ModelName
from gateway.wire.references import FINE_TUNED, MEMBERS, read_references

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""Of a JSON body of ours, and so of a line. A longer one is not looked into."""
MAX_MODELS: Final = 100
"""OpenAI takes one a file."""
MAX_REFERENCES: Final = 1_000
_NEEDLES: Final = (*[f'"{name}"'.encode() for name in (*MEMBERS, ENCRYPTED)], f'"{FINE_TUNED}'.encode(), b"\\u00")


class _Body(msgspec.Struct, gc=False):
    model: Any = None


class _Line(msgspec.Struct, gc=False):
    body: _Body


class _Whole(msgspec.Struct):
    body: dict[str, Any]


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode_whole: Final = msgspec.json.Decoder(_Whole).decode


class BatchLines:
    """Fed the file piece by piece, cut anywhere; then `finish`."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_skipped = False
        self._models: dict[ModelName, None] = {}
        self._references: dict[str, Reference] = {}
        self.lines = 0
        """Those that are not empty."""

    @property
    def models(self) -> tuple[ModelName, ...]:
        return tuple(self._models)

    @property
    def references(self) -> list[Reference]:
        """Each once; `param` names the line: `file[3].input_file_id`."""
        return list(self._references.values())

    def feed(self, piece: bytes) -> None:
        *lines, rest = piece.split(b"\n")
        for line in lines:
            self._hold(line)
            self._end_line()
        self._hold(rest)

    def finish(self) -> None:
        """The last line needs no line end."""
        self._end_line()

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > MAX_LINE_BYTES:
            self._held.clear()
            self._is_skipped = True
        elif part:
            self._held.append(part)

    def _end_line(self) -> None:
        line, is_skipped = b"".join(self._held), self._is_skipped
        self._held.clear()
        self._held_bytes, self._is_skipped = 0, False
        if is_skipped or line.strip():
            self.lines += 1
        if line and not is_skipped:
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            model = _decode_line(line).body.model
            fields = _decode_whole(line).body if any(needle in line for needle in _NEEDLES) else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(model, str) and model.strip() and len(self._models) < MAX_MODELS:
            self._models.setdefault(ModelName(model))
        for reference in read_references(fields) if fields else ():
            if len(self._references) < MAX_REFERENCES:
                param = f"file[{self.lines - 1}].{reference.param}"
                self._references.setdefault(reference.id, msgspec.structs.replace(reference, param=param))
