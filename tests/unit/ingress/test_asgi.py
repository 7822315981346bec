import asyncio

import pytest

from gateway.ingress import asgi
from gateway.ingress.asgi import AT_ONCE, HangUp, HangUpWatch, send_coming, send_whole
from gateway.ingress.keep_alive import KeepAlives
from tests.fakes.clock import FakeClock

HEADERS = ((b"content-type", b"text/plain"),)


class Coming:
    """A body of the given pieces."""

    def __init__(self, *pieces, is_cut=False):
        self.pieces = list(pieces)
        self.is_cut = is_cut
        self.closings = 0
        self.keep_alive = b""
        self.sent_bytes = 0

    async def next_piece(self):
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def close(self):
        self.closings += 1


class Sent:
    """What a server was given; refuses from message `fails_at` on."""

    def __init__(self, fails_at=None):
        self.messages = []
        self.fails_at = fails_at

    async def __call__(self, message):
        if self.fails_at is not None and len(self.messages) >= self.fails_at:
            raise OSError("gone")
        self.messages.append(message)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages)


async def test_whole_answer_is_sent_with_its_length():
    sent = Sent()

    await send_whole({}, sent, 200, HEADERS, b"hello")

    start, body = sent.messages
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    assert list(start["headers"]) == [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    assert body == {"type": "http.response.body", "body": b"hello", "more_body": False}


@pytest.mark.parametrize("is_taken", [True, False])
async def test_whole_answer_goes_at_once_where_the_server_takes_it_so(is_taken):
    sent, taken = Sent(), []

    def at_once(*answer):
        taken.append(answer)
        return is_taken

    scope = {AT_ONCE: at_once}
    await send_whole(scope, sent, 200, HEADERS, b"hello")

    assert taken == [(scope, 200, (*HEADERS, (b"content-length", b"5")), b"hello")]
    assert (sent.body == b"") is is_taken


async def test_coming_answer_is_sent_piece_by_piece_and_ended():
    sent, coming = Sent(), Coming(b"a", b"b")

    await send_coming(sent, 200, HEADERS, coming, KeepAlives())

    assert sent.body == b"ab"
    assert [message.get("more_body") for message in sent.messages] == [None, True, True, False]
    assert coming.closings == 1


async def test_cut_answer_is_never_ended():
    sent, coming = Sent(), Coming(b"a", is_cut=True)

    await send_coming(sent, 200, HEADERS, coming, KeepAlives())

    assert sent.messages[-1]["more_body"] is True
    assert coming.closings == 1


@pytest.mark.parametrize("fails_at", [0, 1, 2])
async def test_body_is_closed_when_the_caller_cannot_be_written_to(fails_at):
    coming = Coming(b"a", b"b")

    with pytest.raises(OSError, match="gone"):
        await send_coming(Sent(fails_at), 200, HEADERS, coming, KeepAlives())

    assert coming.closings == 1


async def test_body_that_fails_is_closed():
    coming = Coming(b"a", RuntimeError("a bug"))

    with pytest.raises(RuntimeError):
        await send_coming(Sent(), 200, HEADERS, coming, KeepAlives())

    assert coming.closings == 1


# -- hanging up --------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_pause(monkeypatch):
    monkeypatch.setattr(asgi, "WATCH_EVERY_S", 0.0)


class Line:
    """A caller's connection: says what comes, then waits."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.reads = 0
        self.gone = asyncio.Event()

    async def __call__(self):
        self.reads += 1
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def call_on(watch, line):
    """A call that lasts until it is cancelled; gives whether its caller had gone."""
    task = asyncio.current_task()
    assert task is not None
    hang_up = HangUp(task, line)
    watch.add(hang_up)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return hang_up.is_gone
    finally:
        watch.remove(hang_up)


@pytest.mark.usefixtures("_no_pause")
async def test_caller_who_hangs_up_ends_the_call():
    line = Line({"type": "http.request", "body": b"", "more_body": False})
    call = asyncio.ensure_future(call_on(HangUpWatch(), line))
    await FakeClock().settle()

    line.gone.set()

    assert await call is True


@pytest.mark.usefixtures("_no_pause")
async def test_call_that_is_cancelled_by_others_had_its_caller():
    line = Line()
    call = asyncio.ensure_future(call_on(HangUpWatch(), line))
    await FakeClock().settle()

    call.cancel()

    assert await call is False


@pytest.mark.usefixtures("_no_pause")
async def test_each_call_is_watched_for_itself():
    watch, lines = HangUpWatch(), [Line(), Line(), Line()]
    calls = [asyncio.ensure_future(call_on(watch, line)) for line in lines]
    await FakeClock().settle()

    lines[1].gone.set()
    await FakeClock().settle()

    assert [call.done() for call in calls] == [False, True, False]
    for call in calls:
        call.cancel()
    assert await asyncio.gather(*calls) == [False, True, False]


async def test_call_that_is_over_at_the_next_look_is_never_watched(monkeypatch):
    monkeypatch.setattr(asgi, "WATCH_EVERY_S", 1000.0)
    watch, line = HangUpWatch(), Line()
    call = asyncio.ensure_future(call_on(watch, line))
    await FakeClock().settle()
    call.cancel()
    await call

    watch._timer.cancel()
    watch._look()
    await FakeClock().settle()

    assert line.reads == 0


@pytest.mark.usefixtures("_no_pause")
async def test_watch_ends_with_its_call():
    watch, line = HangUpWatch(), Line()
    call = asyncio.ensure_future(call_on(watch, line))
    await FakeClock().settle()
    [hang_up] = watch._calls
    watcher = hang_up.watcher

    call.cancel()
    await call
    await FakeClock().settle()

    assert watcher.cancelled()
    assert watch._calls == set()


async def test_one_timer_serves_all_calls(monkeypatch):
    monkeypatch.setattr(asgi, "WATCH_EVERY_S", 1000.0)
    watch = HangUpWatch()
    calls = [asyncio.ensure_future(call_on(watch, Line())) for _ in range(5)]
    await FakeClock().settle()
    first = watch._timer

    for call in calls:
        call.cancel()
    await asyncio.gather(*calls)

    assert first is watch._timer
    first.cancel()
