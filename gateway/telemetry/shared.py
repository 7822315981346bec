"""`SharedDoubles`: a file of named doubles in memory, one writer, many readers.

The file has the format of prometheus_client's multiprocess mode, so that its `MultiProcessCollector` adds up the files
of all workers, whichever of them is asked. We write it ourselves because a value is then one item of a memoryview
(`view[index] += 1.0`, 0.06 us, seen by the other workers at once) where prometheus_client's takes 1.5 us.

    int32 used | int32 0 | entry, entry, ...
    entry: int32 length | key | padding | double value | double timestamp

Rules of this file: an entry is complete before `used` grows over it; a double is 8-byte aligned, so that it is stored
as a whole; disk space is taken before it is touched, since a full disk under a mapping kills the process.
"""

import fcntl
import mmap
import os
import struct
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

CAPACITY_BYTES = 16 << 20
"""Of one file; sparse, so only what is used takes memory. Some 80,000 series."""
_STEP_BYTES = 64 << 10
_HEAD = struct.Struct("ii")
_LENGTH = struct.Struct("i")


class SharedDoubles:
    """One file. Not thread-safe: use it from the event loop's thread alone."""

    def __init__(self, path: Path, *, is_continued: bool, capacity: int = CAPACITY_BYTES) -> None:
        """Opens `path`. `is_continued`: values that the worker before us left in it go on; else it is emptied.

        Raises `BlockingIOError` when another living process writes it.
        """
        self._capacity = capacity
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = _positions_in(path) if is_continued else {}
            if not found:
                self._file.truncate(0)
            self._file.truncate(capacity)
            self._allocated = 0
            self._map = mmap.mmap(self._file.fileno(), capacity)
        except OSError:
            self._file.close()
            raise
        self.view = memoryview(self._map).cast("d")
        """All of the file as doubles."""
        self._index_of = {key: position // 8 for key, position in found.items()}
        self._used: int = max(8, _HEAD.unpack_from(self._map)[0])
        self._may_use(self._used)
        _HEAD.pack_into(self._map, 0, self._used, 0)
        self._scratch = capacity // 8 - 2
        self._allocate(capacity - mmap.PAGESIZE, mmap.PAGESIZE)

    def index_of(self, key: str) -> int:
        """Where in `view` the value of `key` is; its timestamp is the next item.

        A new key starts at 0. When the file is full, the index of a cell that nobody reads: counting goes on, unseen.
        """
        index = self._index_of.get(key)
        return self._add(key) if index is None else index

    def close(self) -> None:
        """Gives up the file, which stays part of every scrape. Late additions are still taken: the mapping lives on."""
        fcntl.flock(self._file, fcntl.LOCK_UN)  # the mapping has its own descriptor of the same lock
        self._file.close()

    def _add(self, key: str) -> int:
        text = key.encode()
        padding = b" " * (8 - (len(text) + _LENGTH.size) % 8)
        end = self._used + _LENGTH.size + len(text) + len(padding) + 16
        if not self._may_use(end):
            return self._scratch
        self._map[self._used : end] = _LENGTH.pack(len(text)) + text + padding + bytes(16)
        _LENGTH.pack_into(self._map, 0, end)
        self._used = end
        self._index_of[key] = end // 8 - 2
        return self._index_of[key]

    def _may_use(self, end: int) -> bool:
        if end > self._capacity - mmap.PAGESIZE:
            return False
        while end > self._allocated:
            if not self._allocate(self._allocated, _STEP_BYTES):
                return False
            self._allocated += _STEP_BYTES
        return True

    def _allocate(self, start: int, size: int) -> bool:
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(self._file.fileno(), start, min(size, self._capacity - start))
        except OSError:  # the disk is full
            return False
        return True


def _positions_in(path: Path) -> dict[str, int]:
    """Key → byte position of its value, of a file another process left; nothing if it left none or a broken one."""
    try:
        entries = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]  # library's own gap
        return {key: position for key, _, _, position in entries}
    except (OSError, struct.error, RuntimeError, UnicodeDecodeError):
        return {}
