"""Server-sent events on bytes: whole events out of a stream, cut anywhere, and what one event says.

A blank line ends an event; a line ends with LF, CRLF or CR, mixed at will (HTML standard §9.2.6). Splitting is done on
bytes: U+2028 and its like may stand in JSON and end no line.
"""

import re
from typing import Final

import msgspec

_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_LONGEST_OVERLAP: Final = 3
"""A blank line has at most four bytes (CRLF CRLF), so its first three may be waiting already."""
_LONG: Final = 64 * 1024
"""Bytes. From this size on copying what waits costs more than keeping its pieces apart."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

DONE: Final = b"data: [DONE]\n\n"
"""What ends a stream of chat chunks or completions."""
KEEP_ALIVE: Final = b": keep-alive\n\n"
"""A comment: the only thing that both official SDKs pass over in silence (reference §5.3)."""


class EventSplitter:
    """Cuts a stream into whole events. All that was fed is in the events and in `rest`, byte for byte."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""
        """What came after the last whole event."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, each with its blank line."""
        start = 0
        if self.rest:
            start = max(0, len(self.rest) - _LONGEST_OVERLAP)
            chunk = self.rest + chunk
        if b"\r" in chunk:
            return self._split_mixed(chunk, start)
        if chunk.endswith(b"\n\n") and chunk.find(b"\n\n", start) == len(chunk) - 2:
            self.rest = b""
            return [chunk]
        *events, self.rest = chunk.split(b"\n\n")
        return [event + b"\n\n" for event in events]

    def hold(self, chunk: bytes, max_bytes: int) -> bool:
        """Keeps what is no stream in `rest`, unsplit. False: that is too much, and nothing is kept."""
        self.rest += chunk
        if len(self.rest) <= max_bytes:
            return True
        self.rest = b""
        return False

    def _split_mixed(self, chunk: bytes, start: int) -> list[bytes]:
        events: list[bytes] = []
        at = 0
        for match in _BLANK_LINE.finditer(chunk, start):
            end = match.end()
            if end == len(chunk) and chunk.endswith(b"\r"):
                break  # a CR may be half of a CRLF whose LF is still to come
            events.append(chunk[at:end])
            at = end
        self.rest = chunk[at:]
        return events


class LongEventSplitter(EventSplitter):
    """The same for events of megabytes: what waits for its end is not copied with every piece that comes."""

    __slots__ = ("_parts", "_tail", "size")

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        """What came behind `rest`, without a blank line in it."""
        self._tail = b""
        """The last bytes of all that waits: a blank line may begin there."""
        self.size = 0
        """Bytes that wait for their event's end."""

    def feed(self, chunk: bytes) -> list[bytes]:
        if self.size > _LONG:
            near = self._tail + chunk
            if _BLANK_LINE.search(near) is None:
                self._parts.append(chunk)
                self.size += len(chunk)
                self._tail = near[-_LONGEST_OVERLAP:]
                return []
            chunk = b"".join((*self._parts, chunk))
            self._parts.clear()
        events = super().feed(chunk)
        self.size = len(self.rest)
        self._tail = self.rest[-_LONGEST_OVERLAP:]
        return events

    def join(self) -> bytes:
        """All that waits, which is in `rest` from now on."""
        self.rest = b"".join((self.rest, *self._parts))
        self._parts.clear()
        return self.rest


class Event(msgspec.Struct, frozen=True):
    """One event, read."""

    name: str | None = None
    """Of the `event:` line."""
    data: bytes | None = None
    """The `data:` lines, joined with LF; None when there was none."""
    is_comment: bool = False
    """Nothing but comments and blank lines."""


def read_event(raw: bytes) -> Event:
    """What an event says. Fields that SSE does not know are passed over."""
    name: str | None = None
    data: list[bytes] = []
    is_comment = True
    for line in _LINE_END.split(raw.removeprefix(_BYTE_ORDER_MARK)):
        if not line or line.startswith(b":"):
            continue
        is_comment = False
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode(errors="replace")
    return Event(name, b"\n".join(data) if data else None, is_comment)


def with_data(raw: bytes, old: bytes, new: bytes) -> bytes:
    """The event `raw`, whose data is `old`, with `new` data; its other lines stay."""
    if raw.count(old) == 1:
        return raw.replace(old, new)
    lines = [line for line in _LINE_END.split(raw) if line and not line.startswith(b"data:")]
    lines += [b"data: " + line for line in new.split(b"\n")]
    return b"\n".join(lines) + b"\n\n"
