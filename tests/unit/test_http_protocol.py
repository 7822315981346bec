"""The server's protocol by itself: a transport that keeps what is written, a real loop, no sockets."""

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.http_protocol import CoalescingProtocol
from gateway.ingress.asgi import AT_ONCE
from tests.waits import PATIENCE_S

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
PLAIN = ((b"content-type", b"text/plain"), (b"content-length", b"2"))


async def turn_of_the_loop():
    turned = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turned.set_result, None)
    await turned


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = []
        self.is_closed = self.is_half_closed = False
        self.closed = asyncio.Event()

    def write(self, data):
        self.written.append(bytes(data))

    def close(self):
        self.is_closed = True
        self.closed.set()

    def is_closing(self):
        return self.is_closed

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.is_half_closed = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


class Server:
    """A connection to an app that answers `ok`, at once where it can."""

    def __init__(self, headers=PLAIN, body=b"ok", keep_alive=5):
        self.headers, self.body = headers, body
        self.taken = []
        config = uvicorn.Config(
            self.app, interface="asgi3", log_config=None, access_log=False, timeout_keep_alive=keep_alive
        )
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.transport = Transport()
        self.protocol = CoalescingProtocol(config, self.state, {})
        self.protocol.connection_made(self.transport)

    async def app(self, scope, _receive, send):
        self.taken.append(scope[AT_ONCE](scope, 200, self.headers, self.body))
        if not self.taken[-1]:
            await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
            await send({"type": "http.response.body", "body": self.body})

    async def ask(self, request=GET):
        self.protocol.data_received(request)
        while self.state.tasks:
            await asyncio.gather(*self.state.tasks, return_exceptions=True)
            await turn_of_the_loop()  # of the tasks' callbacks; of what they wrote
        await turn_of_the_loop()

    @property
    def answers(self):
        return b"".join(self.transport.written)

    def lose(self):
        self.protocol.connection_lost(None)


@pytest.fixture
async def server():
    made = Server()
    yield made
    made.lose()


ANSWER = b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"


async def test_whole_answer_leaves_as_one_piece(server):
    await server.ask()

    assert server.taken == [True]
    assert server.transport.written == [ANSWER]


async def test_kept_connection_serves_request_after_request(server):
    await server.ask()
    await server.ask()

    assert server.taken == [True, True]
    assert server.answers == 2 * ANSWER
    assert not server.transport.is_closed


async def test_pipelined_requests_are_answered_in_turn(server):
    await server.ask(2 * GET)

    assert server.answers == 2 * ANSWER
    assert server.taken[-1] is True


@pytest.mark.parametrize(
    "request_head",
    [b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"],
)
async def test_what_needs_more_care_goes_the_ordinary_way(server, request_head):
    await server.ask(request_head)

    assert server.taken == [False]
    assert server.answers.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_header_that_ends_itself_is_not_sent(value):
    server = Server(headers=((b"x-odd", value), *PLAIN))
    await server.ask()

    assert server.taken == [False]
    assert value not in server.answers
    server.lose()


async def test_idle_connection_is_closed_once_its_time_is_over():
    server = Server(keep_alive=0.01)
    await server.ask()
    timer = server.protocol._idle
    await server.ask()
    is_one_timer = server.protocol._idle is timer

    await asyncio.wait_for(server.transport.closed.wait(), PATIENCE_S)

    assert is_one_timer
    server.lose()


async def test_connection_that_is_gone_leaves_no_timer_and_no_cycle_behind(server):
    await server.ask()
    server.lose()

    assert server.protocol._idle is None
    assert server.protocol._watch is None
    assert AT_ONCE not in server.protocol.scope


CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"


async def test_what_stands_behind_a_body_is_no_header(server):
    server.protocol.data_received(CHUNKED + b"authorization: Bearer other\r\n\r\n")

    assert server.protocol.scope["headers"] == [(b"host", b"x"), (b"transfer-encoding", b"chunked")]


async def test_garbage_behind_a_request_does_not_take_its_answer(server):
    await server.ask(GET + b"\x00\x01")
    server.protocol.data_received(b"more of it")

    assert server.answers.startswith(b"HTTP/1.1 200 OK")
    assert server.answers.endswith(b"ok")
    assert server.transport.is_closed


async def test_garbage_alone_is_told(server):
    await server.ask(GET)
    await server.ask(b"\x00\x01")

    assert server.answers.startswith(ANSWER + b"HTTP/1.1 400 Bad Request")
    assert server.transport.is_closed


async def test_an_answer_before_the_body_is_whole_is_not_cut_off_by_what_still_comes(server, monkeypatch):
    monkeypatch.setattr("gateway.http_protocol.LINGER_S", 0.01)

    await server.ask(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\nabc")

    assert server.answers.endswith(b"ok")
    assert server.transport.is_half_closed
    assert not server.transport.is_closed
    server.protocol.data_received(b"def")
    await server.transport.closed.wait()
    assert server.answers.count(b"HTTP/1.1") == 1


async def test_an_answer_behind_a_whole_request_ends_the_connection_at_once(server):
    await server.ask(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc")

    assert (server.transport.is_half_closed, server.transport.is_closed) == (False, True)
