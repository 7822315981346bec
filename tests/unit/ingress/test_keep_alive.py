import asyncio

import pytest

from gateway.ingress.asgi import send_coming
from gateway.ingress.keep_alive import KeepAlives
from tests.fakes.clock import FakeClock

COMMENT = b": keep-alive\n\n"


class Coming:
    """A body whose pieces come when they are put into it; b"" ends it."""

    keep_alive = COMMENT
    is_cut = False

    def __init__(self):
        self.pieces = asyncio.Queue()
        self.sent_bytes = 0

    async def next_piece(self):
        piece = await self.pieces.get()
        self.sent_bytes += len(piece)
        return piece

    async def close(self):
        pass


class Line:
    """What a server was given; `is_read` is cleared while the caller reads nothing."""

    def __init__(self):
        self.bodies = []
        self.is_read = asyncio.Event()
        self.is_read.set()
        self.waiting = 0

    async def __call__(self, message):
        self.waiting += 1
        await self.is_read.wait()
        self.waiting -= 1
        self.bodies.append(message.get("body"))


class Stream:
    """A stream on its way to a caller, under the eye of `keep_alives`; `look` is what the timer does."""

    def __init__(self):
        self.keep_alives = KeepAlives(silence_s=10_000.0)
        self.line, self.coming = Line(), Coming()
        self.task = asyncio.ensure_future(send_coming(self.line, 200, (), self.coming, self.keep_alives))

    async def say(self, piece):
        self.coming.pieces.put_nowait(piece)
        await FakeClock().settle()

    async def look(self, times=1):
        for _ in range(times):
            self.keep_alives._timer.cancel()
            self.keep_alives._look()
            await FakeClock().settle()


@pytest.fixture
async def stream():
    stream = Stream()
    await stream.say(b"a")
    yield stream
    stream.task.cancel()
    await asyncio.gather(stream.task, return_exceptions=True)
    if stream.keep_alives._timer is not None:
        stream.keep_alives._timer.cancel()


async def test_silence_is_filled_once_in_every_two_looks(stream):
    await stream.look(6)

    assert stream.line.bodies[1:] == [b"a", COMMENT, COMMENT, COMMENT]


async def test_stream_that_speaks_needs_no_comments(stream):
    for piece in (b"b", b"c", b"d"):
        await stream.look()
        await stream.say(piece)

    assert stream.line.bodies[1:] == [b"a", b"b", b"c", b"d"]


async def test_no_comment_stands_behind_the_end(stream):
    await stream.look(2)
    await stream.say(b"")
    await stream.task

    assert stream.line.bodies[1:] == [b"a", COMMENT, b""]
    assert stream.keep_alives._beats == set()


async def test_comment_that_was_not_sent_yet_is_dropped_at_the_end(stream):
    stream.line.is_read.clear()
    await stream.look(2)
    await stream.say(b"")
    stream.line.is_read.set()
    await stream.task

    assert stream.line.bodies[1:] == [b"a", b""]


async def test_caller_who_reads_nothing_is_owed_one_comment_at_most(stream):
    stream.line.is_read.clear()
    await stream.look(20)

    assert stream.line.waiting == 1
    stream.line.is_read.set()
    await stream.say(b"b")
    assert stream.line.bodies[1:] == [b"a", COMMENT, b"b"]


async def test_timer_ends_with_the_last_stream(stream):
    await stream.say(b"")
    await stream.task
    await stream.look()

    assert stream.keep_alives._timer is None


async def test_bodies_without_comments_are_left_alone():
    keep_alives, coming = KeepAlives(), Coming()
    coming.keep_alive = b""

    assert keep_alives.add(Line(), coming) is None
    assert keep_alives._timer is None


async def test_caller_who_is_gone_is_no_error(stream):
    async def gone(message):
        raise OSError

    beat = stream.keep_alives.add(gone, Coming())
    await stream.look(2)

    assert beat._sending.exception() is None
