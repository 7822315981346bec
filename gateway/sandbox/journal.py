"""What the sandbox saw: one `Seen` per request, counts per key, and a way to wait for either."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from gateway.sandbox.request import Request


class Seen(msgspec.Struct, kw_only=True):
    """One request. Times are monotonic seconds of the sandbox's clock."""

    number: int
    at: float
    method: str
    path: str
    query: str
    key: str
    org: str = ""
    project: str = ""
    model: str = ""
    is_stream: bool = False
    raw_headers: list[tuple[bytes, bytes]]
    """Names in lower case, in wire order."""
    body: bytes
    status: int | None = None
    """Of the head that was sent; None while or when none was."""
    fault: str | None = None
    """Kind of the scripted fault it met; None: none."""
    head_at: float | None = None
    ended_at: float | None = None
    """When the answer was over, whole or spoilt; None while it goes on or when the client left first."""
    hung_up_at: float | None = None
    """When the client was seen to leave before its answer was over."""
    events: list[bytes] = []
    """What was sent of the body, event by event, while answers are recorded."""

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names; the last of a name wins."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.raw_headers}

    @property
    def answer(self) -> bytes:
        """The body as it was sent, without its framing."""
        return b"".join(self.events)

    @property
    def is_hung_up(self) -> bool:
        return self.hung_up_at is not None

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None or self.hung_up_at is not None


class Journal:
    """The last `length` requests, and statuses counted per key for all."""

    def __init__(self, length: int) -> None:
        self.seen: deque[Seen] = deque(maxlen=length)
        self.total = 0
        self.statuses: dict[str, Counter[int]] = {}
        """Key → status → answers begun with it."""
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def open(self, request: Request, now: float) -> Seen:
        self.total += 1
        entry = Seen(
            number=self.total,
            at=now,
            method=request.method,
            path=request.path,
            query=request.query,
            key=request.key,
            raw_headers=request.headers,
            body=request.body,
        )
        self.seen.append(entry)
        self.changed()
        return entry

    def head_sent(self, entry: Seen, status: int, now: float) -> None:
        entry.status, entry.head_at = status, now
        counts = self.statuses.get(entry.key)
        if counts is None:
            counts = self.statuses[entry.key] = Counter()
        counts[status] += 1
        self.changed()

    def close(self, entry: Seen, now: float) -> None:
        entry.ended_at = now
        self.changed()

    def hang_up(self, entry: Seen, now: float) -> None:
        entry.hung_up_at = now
        self.changed()

    def clear(self) -> None:
        self.seen.clear()
        self.statuses.clear()
        self.total = 0

    def changed(self) -> None:
        """Wakes who waits for what is true by now."""
        if not self._waiting:
            return
        for is_met, waiter in self._waiting:
            if not waiter.done() and is_met():
                waiter.set_result(None)

    async def wait_until(self, is_met: Callable[[], bool], timeout_s: float) -> None:
        """Returns once `is_met()`; asked again at every change of the journal. Raises TimeoutError."""
        if is_met():
            return
        line = (is_met, asyncio.get_running_loop().create_future())
        self._waiting.append(line)
        try:
            async with asyncio.timeout(timeout_s):
                await line[1]
        finally:
            self._waiting.remove(line)
