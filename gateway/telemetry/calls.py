"""The newest calls of every worker, kept for people who ask why: a ring of log lines in a file that all workers read.

    head (bytes written so far) | line, line, ... (4 MiB, the oldest overwritten)

Rules of this file: one writer (the event loop's thread of one worker), any number of readers; the lines are those of
the log, redacted already; a reader may meet a line that is half overwritten, and leaves it out. Nothing is kept beyond
the service's life: the folder is emptied when it starts.
"""

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import merge
from pathlib import Path

import msgspec

from gateway.core.call import Usage
from gateway.core.owed_usage import OwedUsage

LINES_BYTES = 4 * 1024 * 1024
"""Of one worker: some 7,000 calls with one attempt each."""
MOST_CALLS = 5_000
"""Of one worker, whatever its lines leave room for."""
_HEAD = struct.Struct("<Q")
_HEAD_BYTES = 64


class KeptAttempt(msgspec.Struct, frozen=True):
    """One attempt, in order."""

    account_id: str | None
    """Null: the caller brought a key of its own."""
    provider: str
    outcome: str
    status: int | None = None
    """Null when no head came."""
    total_s: float = 0.0
    code: str | None = None
    """The upstream's own error code."""
    broke: str | None = None
    """What its stream came to once its first content had gone out."""
    model: str | None = None
    """The upstream's model, where it is not the one the caller wrote."""


class KeptCall(msgspec.Struct, frozen=True, kw_only=True):
    """A line `call.finished`, read again. Its fields are explained at `events.CallRecord`."""

    call_id: str
    at: datetime
    endpoint: str
    outcome: str
    status: int
    total_s: float
    worker: str = ""
    model: str | None = None
    served_model: str | None = None
    provider: str | None = None
    account_id: str | None = None
    client_key_id: str | None = None
    attempts: int = 0
    trail: tuple[KeptAttempt, ...] = ()
    code: str | None = None
    first_byte_s: float | None = None
    waited_s: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usage: Usage | None = None
    usage_of: OwedUsage | None = None
    is_stream: bool = False
    chunks: int = 0
    bytes: int = 0
    is_complete: bool = True
    is_spliced: bool = False


_read = msgspec.json.Decoder(KeptCall).decode


class CallRing:
    """The writer's side."""

    def __init__(self, path: Path) -> None:
        """Goes on with what a worker of the same name left there."""
        size = _HEAD_BYTES + LINES_BYTES
        with path.open("a+b") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk must fail here, not under the mapping
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        (self._written,) = _HEAD.unpack_from(self._map)

    def keep(self, line: bytes) -> None:
        """Takes one line, its newline included. One that is longer than the ring is left out."""
        size = len(line)
        if size > LINES_BYTES:
            return
        start = self._written % LINES_BYTES
        before_end = min(size, LINES_BYTES - start)
        place = _HEAD_BYTES + start
        self._map[place : place + before_end] = line[:before_end]
        if before_end < size:
            self._map[_HEAD_BYTES : _HEAD_BYTES + size - before_end] = line[before_end:]
        self._written += size
        _HEAD.pack_into(self._map, 0, self._written)


class Calls:
    """The reader's side: all workers of this service. Reads files: use it in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def newest(self, *texts: str) -> Iterator[KeptCall]:
        """Calls whose line holds all `texts`, the newest first. Read as they are asked for."""
        needles = [msgspec.json.encode(text)[1:-1] for text in texts]
        workers = [_calls_in(path, needles) for path in self._directory.glob("calls_*.ring")]
        return merge(*workers, key=lambda call: call.at, reverse=True)

    def find(self, call_id: str) -> KeptCall | None:
        return next((call for call in self.newest(call_id) if call.call_id == call_id), None)


def _calls_in(path: Path, needles: Iterable[bytes]) -> Iterator[KeptCall]:
    for line in _newest_lines(_text_of(path)):
        if not all(needle in line for needle in needles):
            continue
        try:
            yield _read(line)
        except (msgspec.DecodeError, UnicodeDecodeError):  # its worker was just writing over it
            continue


def _text_of(path: Path) -> bytes:
    """All lines of a ring, the oldest first, from its first whole one on."""
    try:
        held = path.read_bytes()
    except OSError:  # its worker is just being forgotten
        return b""
    if len(held) < _HEAD_BYTES:
        return b""
    (written,) = _HEAD.unpack_from(held)
    if written <= LINES_BYTES:
        return held[_HEAD_BYTES : _HEAD_BYTES + written]
    turn = _HEAD_BYTES + written % LINES_BYTES
    text = held[turn:] + held[_HEAD_BYTES:turn]
    return text[text.find(b"\n") + 1 :]


def _newest_lines(text: bytes) -> Iterator[bytes]:
    end = len(text)
    for _ in range(MOST_CALLS):
        if end <= 0:
            return
        start = text.rfind(b"\n", 0, end - 1) + 1
        yield text[start : end - 1]
        end = start
