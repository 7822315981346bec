"""What of a stream went to the caller: kept, so that a restarted answer can take the place of one that broke.

    Sent.add: every piece that went to the caller        the stream breaks ─▶ Sent.splicer()
    Continued.feed: the second answer's events ─▶ b"" while they repeat what was sent, then the rest; None: they differ

How a piece is read, and what of a second answer continues it, depends on the events: `wire/splice` for chat chunks and
completions, `wire/splice_response` for the Responses API, `wire/splice_messages` for Anthropic's Messages.
"""

from typing import Final, Protocol

import msgspec

READ_EVERY_BYTES: Final = 128 * 1024
"""Sent pieces are kept as they are until so many have come together: most answers are never read for this."""
MAX_TEXT: Final = 1024 * 1024
"""Characters. A longer answer is not put together: memory stays flat."""


class CannotJoin(Exception):
    """The second answer is another one, or holds what is never put together."""


UNREADABLE: Final = (CannotJoin, msgspec.DecodeError, UnicodeDecodeError)
"""What reading an answer raises that cannot be put together."""


class Continued(Protocol):
    """Takes a second answer's events, gives what of them continues the first. For one answer only."""

    def feed(self, piece: bytes) -> bytes | None:
        """What to send on of whole events. None: the answers differ, and nothing more may be fed."""
        ...

    def renumbered(self, event: bytes) -> bytes:
        """An error event of the second answer as it may follow what was sent."""
        ...


class Told(Protocol):
    """What an answer has told so far."""

    @property
    def characters(self) -> int:
        """Of its text."""
        ...

    def read(self, pieces: list[bytes]) -> None:
        """More of it, whole events. Raises one of UNREADABLE when it holds what is never put together."""
        ...

    def splicer(self) -> Continued:
        """For one restarted answer, of which nothing has come; another one may follow it."""
        ...


class Sent:
    """What of one stream went to the caller. A piece costs an append; pieces are read when needed, or too many."""

    __slots__ = ("_bytes", "_pieces", "_told")

    def __init__(self, told: Told) -> None:
        """`told` reads the pieces; nothing has been read into it yet."""
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._told: Told | None = told
        """None: it holds what cannot be put together, or too much, and nothing is kept any more."""

    def add(self, piece: bytes) -> None:
        """Whole events."""
        if self._told is None:
            return
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes >= READ_EVERY_BYTES:
            self._read(self._told)

    def splicer(self) -> Continued | None:
        """For one restarted answer; None when what was sent cannot be continued."""
        if self._told is not None:
            self._read(self._told)
        return None if self._told is None else self._told.splicer()

    def _read(self, told: Told) -> None:
        pieces, self._pieces, self._bytes = self._pieces, [], 0
        try:
            told.read(pieces)
        except UNREADABLE:
            self._told = None
        if told.characters > MAX_TEXT:
            self._told = None


class Parts:
    """Texts of several kinds in the order in which an answer told them; and how much of it another has repeated."""

    __slots__ = ("_parts", "_place", "_step")

    def __init__(self) -> None:
        self._parts: list[tuple[str, list[str]]] = []
        """Kinds of text, each with its pieces; `join` makes one of them."""
        self._step = 0
        """Parts that have been repeated."""
        self._place = 0
        """Characters of the next part that have been repeated."""

    @property
    def owes(self) -> bool:
        return self._step < len(self._parts)

    def add(self, kind: str, text: str) -> None:
        if self._parts and self._parts[-1][0] == kind:
            self._parts[-1][1].append(text)
        else:
            self._parts.append((kind, [text]))

    def join(self) -> None:
        """Pieces become one."""
        for _, pieces in self._parts:
            pieces[:] = ["".join(pieces)]

    def repeat(self, kind: str, value: str) -> str:
        """What `value` says beyond what was told; empty when that is nothing. Raises CannotJoin when it differs."""
        while value and self.owes:
            if self._parts[self._step][0] != kind:
                raise CannotJoin
            told = self._parts[self._step][1][0]
            expected = told[self._place : self._place + len(value)]
            if not value.startswith(expected):
                raise CannotJoin
            value = value[len(expected) :]
            self._place += len(expected)
            if self._place == len(told):
                self._step, self._place = self._step + 1, 0
        return value
