"""A request's body that may be too large for memory: written once as it comes, read as often as attempts need it.

Up to 1 MiB stays in memory; a larger one goes into a file without a name, which is gone with whoever held it. The file
is read and written by threads: a disk that is slow holds up one call, not the worker.
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import cache
from pathlib import Path

from gateway.core.errors import NoDiskSpace
from gateway.wire.batch_lines import LineRenamer, RenamedLines
from gateway.wire.multipart import Edit, Form
from gateway.wire.places import Names

HELD_BYTES = 1_048_576
"""A body up to this size stays in memory."""
PIECE_BYTES = 262_144
"""What is written to the file, or read from it, at once."""
LOOKED_AT_BYTES = 65_536
"""The same where each line of it is looked into: about a millisecond of work."""
THREADS = 4
"""Of their own: a disk that hangs must not hold up whoever else needs a thread, such as the look-up of names."""


class Spool:
    """The bytes of one body, in the order in which they came. Close it; what is under way in a thread ends first."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: for the file, made when it is not there. Where none can be made, and for None: the system's."""
        self._folder = folder
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._written = 0
        self._file: int | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        """Around each use of the file: closing it under a thread would hand its number to another."""

    @property
    def size(self) -> int:
        return self._written + self._held_bytes

    @property
    def held_bytes(self) -> int:
        """Of them in memory."""
        return self._held_bytes

    async def add(self, piece: bytes) -> None:
        """Raises NoDiskSpace."""
        self._held.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > (PIECE_BYTES if self._written else HELD_BYTES):
            await self._write_held()

    async def finish(self, form: Form | None = None) -> "SpooledBody":
        """The whole body. Raises NoDiskSpace."""
        if self._written:
            await self._write_held()
        return SpooledBody(self, form)

    async def read(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end`; both within the body. Raises NoDiskSpace when they cannot be had any more."""
        if not self._written:
            self._held = [b"".join(self._held)]
            return self._held[0][start:end]
        try:
            return await asyncio.get_running_loop().run_in_executor(_threads(), self._read, start, end - start)
        except OSError as error:
            raise NoDiskSpace("The gateway cannot read back this upload for its upstream. Send it again.") from error

    def close(self) -> None:
        """Frees what is held. Idempotent."""
        self._held.clear()
        if self._written and not self._is_closed:
            _threads().submit(self._close)
        self._is_closed = True

    async def _write_held(self) -> None:
        block = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        self._written += len(block)
        try:
            await asyncio.get_running_loop().run_in_executor(_threads(), self._write, block)
        except OSError as error:
            raise NoDiskSpace(
                f"The gateway cannot keep this upload for its upstream: {os.strerror(error.errno or 0).lower()}. "
                "Retry later; its operator looks at the room below `limits.spool_folder`."
            ) from error

    def _write(self, block: bytes) -> None:
        view = memoryview(block)
        with self._lock:
            if self._is_closed:
                return
            if self._file is None:
                self._file = _open(self._folder)
            while view:
                view = view[os.write(self._file, view) :]

    def _read(self, start: int, length: int) -> bytes:
        with self._lock:
            if self._file is None:
                raise OSError("the spool was closed")
            block = os.pread(self._file, length, start)
        if len(block) != length:
            raise OSError("the spool's file is shorter than what was written")
        return block

    def _close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


class SpooledBody:
    """Fits `providers.base.BodySource`: the body of a spool, some of its bytes replaced."""

    __slots__ = ("_edits", "_lines", "_spool", "form", "names", "size")

    def __init__(
        self,
        spool: Spool,
        form: Form | None = None,
        edits: Sequence[Edit] = (),
        lines: RenamedLines | None = None,
        names: Names | None = None,
    ) -> None:
        """`lines`: the batch's file in the form, where its lines go on under other names."""
        self._spool = spool
        self.form = form
        """None: it is no form."""
        self._edits = tuple(edits)
        self._lines = lines
        self.names: Names = names or {}
        """What the edits make of names in the form's places."""
        self.size = spool.size + sum(len(edit.new) - (edit.end - edit.start) for edit in edits)
        self.size += 0 if lines is None else lines.growth

    @property
    def held_bytes(self) -> int:
        """Of them in memory."""
        return self._spool.held_bytes

    def with_edits(self, edits: Sequence[Edit], names: Names | None = None) -> "SpooledBody":
        """The same body with these bytes of it replaced, in place of those that were before."""
        return SpooledBody(self._spool, self.form, edits, self._lines, names)

    def with_lines(self, lines: RenamedLines) -> "SpooledBody":
        """The same body, and its batch's file under other names."""
        return SpooledBody(self._spool, self.form, self._edits, lines, self.names)

    async def read_pieces(self, start: int, end: int, length: int = LOOKED_AT_BYTES) -> AsyncGenerator[bytes, None]:
        """Bytes as they came, at offsets of the form's parts; `length`: of a piece."""
        for at in range(start, end, length):
            yield await self._spool.read(at, min(at + length, end))

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """From the beginning, whenever it is called."""
        at = 0
        changes: list[Edit | RenamedLines] = [*self._edits, Edit(self._spool.size, self._spool.size, b"")]
        if self._lines is not None:
            changes.append(self._lines)
        for change in sorted(changes, key=lambda change: change.start):
            async with aclosing(self.read_pieces(at, change.start, PIECE_BYTES)) as unchanged:
                async for piece in unchanged:
                    yield piece
            async with aclosing(self._changed(change)) as changed:
                async for piece in changed:
                    yield piece
            at = change.end

    async def _changed(self, change: Edit | RenamedLines) -> AsyncGenerator[bytes, None]:
        """What stands in the place of the bytes that are changed; no piece is empty."""
        if isinstance(change, Edit):
            if change.new:
                yield change.new
            return
        renamer = LineRenamer(change.names)
        async with aclosing(self.read_pieces(change.start, change.end)) as pieces:
            async for piece in pieces:
                if renamed := renamer.feed(piece):
                    yield renamed
        if rest := renamer.finish():
            yield rest


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "spool")


def held_bytes(body: "bytes | SpooledBody") -> int:
    """What a body costs while its call waits."""
    return len(body) if isinstance(body, bytes) else body.held_bytes


def _open(folder: Path | None) -> int:
    """A file that has no name (any more), for reading and writing."""
    if folder is not None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _nameless(folder)
        except OSError:  # read-only, perhaps; if it is full, so be it: the system's may be elsewhere
            pass
    return _nameless(None)


def _nameless(folder: Path | None) -> int:
    number, name = tempfile.mkstemp(prefix="gateway-spool-", dir=folder)
    Path(name).unlink()
    return number
