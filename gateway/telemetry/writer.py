"""`LineWriter`: log lines in, few large writes out, on a thread of its own.

Rules of this file: `write` never blocks and never raises. Lines wait at most `interval_s` or until `flush_bytes` are
there. When the reader of our output is slow (a full pipe, a full disk) at most `max_bytes` are held; lines beyond are
dropped and counted, and a line that says how many is written as soon as there is room: calls matter more than logs.
A killed process loses what it held, 50 ms at most.
"""

import atexit
import os
import select
import threading
from collections.abc import Callable

MAX_BYTES = 4 << 20
FLUSH_BYTES = 64 << 10
INTERVAL_S = 0.05


class LineWriter:
    """Appends whole lines to a file descriptor, which stays open and stays the caller's."""

    def __init__(
        self,
        fd: int = 1,
        *,
        dropped_line: Callable[[int], bytes] | None = None,
        max_bytes: int = MAX_BYTES,
        flush_bytes: int = FLUSH_BYTES,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """`dropped_line(count)` makes the line that tells of a gap; None writes none."""
        self.dropped = 0
        """Lines lost since the start: for want of room, or refused by the operating system."""
        self._fd = fd
        self._dropped_line = dropped_line
        self._max_bytes = max_bytes
        self._flush_bytes = flush_bytes
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._state = threading.Condition(self._lock)
        self._lines: list[bytes] = []
        self._held = 0
        """Bytes in `_lines` and in the write that is under way."""
        self._reported = 0
        self._is_hurried = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def write(self, line: bytes) -> None:
        """Takes one line, its newline included. Drops it when there is no room, or after `close`."""
        size = len(line)
        with self._lock:  # the condition's own, without its detour through Python
            if self._held + size > self._max_bytes or self._is_closed:
                self.dropped += 1
                return
            self._lines.append(line)
            before = self._held
            self._held = before + size
            if before == 0:
                self._ensure_thread()
                self._state.notify_all()
            elif before < self._flush_bytes <= before + size:
                self._state.notify_all()

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Waits until all lines taken so far are written; False when that took longer than `timeout_s`."""
        with self._state:
            self._is_hurried = True
            self._state.notify_all()
            return self._state.wait_for(lambda: self._held == 0, timeout_s)

    def close(self, timeout_s: float = 1.0) -> None:
        """Flushes and ends the thread; a reader that reads nothing holds it up for `timeout_s`, no longer."""
        self.flush(timeout_s)
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        atexit.unregister(self.close)

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            written = _write_all(self._fd, b"".join(batch))
            with self._state:
                if not written:
                    self.dropped += len(batch)
                self._held = sum(map(len, self._lines))
                self._state.notify_all()

    def _next_batch(self) -> list[bytes] | None:
        """What is there once the interval or the size is reached; None when closed and empty."""
        with self._state:
            self._state.wait_for(lambda: self._lines or self._is_closed)
            if self._held < self._flush_bytes:
                self._state.wait_for(
                    lambda: self._is_hurried or self._is_closed or self._held >= self._flush_bytes, self._interval_s
                )
            if not self._lines:
                return None
            batch, self._lines = self._lines, []
            self._is_hurried = False
            if self.dropped > self._reported and self._dropped_line is not None:
                batch.append(self._dropped_line(self.dropped - self._reported))
                self._reported = self.dropped
            return batch


def _write_all(fd: int, text: bytes) -> bool:
    """False when the operating system refuses (closed pipe, full disk). Waits for a reader as long as it takes."""
    rest = memoryview(text)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # somebody made our output non-blocking
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll(1_000)
        except OSError:
            return False
    return True
