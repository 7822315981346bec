"""Lines of JSON (JSONL) as they pass by: one at a time, of a bounded length."""

from collections.abc import Iterator
from typing import Final

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""Of a JSON body of ours, and so of a line. A longer one is not looked into."""


class HeldLine:
    """One line on its way, up to `MAX_LINE_BYTES`, or fewer."""

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = MAX_LINE_BYTES if max_bytes is None else max_bytes
        self._parts: list[bytes] = []
        self._bytes = 0
        self.is_long = False

    def add(self, part: bytes) -> bytes:
        """What is not held: of a line that is too long all that came of it."""
        if self.is_long:
            return part
        self._parts.append(part)
        self._bytes += len(part)
        self.is_long = self._bytes > self._max_bytes
        return self._taken() if self.is_long else b""

    def take(self) -> bytes:
        """The line, which is over; empty when it was too long."""
        self.is_long = False
        return self._taken()

    def _taken(self) -> bytes:
        line = b"".join(self._parts)
        self._parts.clear()
        self._bytes = 0
        return line


class LineSplitter:
    """Fed piece by piece, cut anywhere; gives whole lines without their ends, None for one that is too long."""

    def __init__(self) -> None:
        self._held = HeldLine()

    def feed(self, piece: bytes) -> Iterator[bytes | None]:
        *lines, rest = piece.split(b"\n")
        for line in lines:
            self._held.add(line)
            yield self.finish()
        self._held.add(rest)

    def finish(self) -> bytes | None:
        """The last line, which needs no end."""
        is_long = self._held.is_long
        line = self._held.take()
        return None if is_long else line
