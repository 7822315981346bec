"""A batch's file in parts: each is read as it passes by, but for its two ends, which make lines with other parts.

    part 1  first line ⏎ …lines… ⏎ beg│
    part 2                            │un ⏎ …lines… ⏎ last line│
    then    first line ⏎              beg·un ⏎        last line        in the order that the end of the upload gives

Rules of this file: read in parts and joined, a file names what it names as a whole, however it is cut; what is held of
a part is bounded.
"""

from typing import Final

from gateway.core.batch_upload import BatchPart
from gateway.wire.batch_lines import BatchLines, refused
from gateway.wire.jsonl import HeldLine

MAX_END_BYTES: Final = 8 * 1024 * 1024
"""Of each end of a part. Both official SDKs cut where they like; lines are shorter, but for pictures."""
FIELD: Final = "data"
"""The part's bytes in its form."""


class PartReader:
    """Fed a part piece by piece, cut anywhere; then `finish`."""

    def __init__(self) -> None:
        self.lines = BatchLines(FIELD)
        """What stands between the ends."""
        self._first = HeldLine(MAX_END_BYTES)
        self._has_line_end = False
        self._is_long = False

    def feed(self, piece: bytes) -> None:
        """Raises InvalidCall for a line that says one thing twice."""
        if not self._has_line_end:
            first, line_end, piece = piece.partition(b"\n")
            self._first.add(first)
            if not line_end:
                return
            self._has_line_end = True
            self.lines.pass_over(1)
        self.lines.feed(piece)

    def finish(self) -> BatchPart:
        """What is kept; an end that is too long is left out."""
        first = None if self._first.is_long else self._first.take()
        last = self.lines.take_rest()
        lines = self.lines.lines - 1 if self._has_line_end else 0
        return BatchPart(self._kept(first), self._kept(last), lines, self._has_line_end)

    def check(self, *, is_owned: bool) -> None:
        """Raises InvalidCall as `BatchLines.check`, and for an end that is too long to be kept."""
        self.lines.check(is_owned=is_owned)
        if is_owned and self._is_long:
            raise refused(
                f"A line goes on over the end of this part, and more than {MAX_END_BYTES >> 20} MiB of it are on this "
                "side. Cut the file at line ends.",
                FIELD,
            )

    def _kept(self, end: bytes | None) -> bytes:
        if end is not None and len(end) <= MAX_END_BYTES:
            return end
        self._is_long = True
        return b""


def join(lines: BatchLines, part: BatchPart) -> None:
    """Feeds what is left to be read of the file's next part. Raises InvalidCall as `BatchLines.feed`."""
    lines.feed(part.first)
    if part.has_line_end:
        lines.feed(b"\n")
        lines.pass_over(part.lines)
        lines.feed(part.last)
