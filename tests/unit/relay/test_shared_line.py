"""A line that responses share, with sockets in memory: who hears what, and what happens when it ends."""

import asyncio

import msgspec
import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.providers.base import Limits, Origin, UpstreamRequest
from gateway.relay.lane import QUEUE, Follower, LaneStream, Refused
from gateway.relay.shared_line import SharedLine
from gateway.wire.response_events import as_message
from gateway.wire.sockets import LOST, Closed
from tests.fakes.clock import FakeClock
from tests.fakes.fake_socket import FakeSocket

CREATED = '{"type":"response.created","response":{"id":"resp_1"}}'
DELTA = '{"type":"response.output_text.delta","delta":"x"}'
DONE = '{"type":"response.completed","response":{"id":"resp_1"}}'
LIMITED = '{"type":"error","status":429,"error":{"code":"rate_limit_exceeded","headers":{"retry-after":"7"}}}'
RESET = Closed(LOST, "", Fault(FaultKind.RESET, "connection reset"))


def laned(message: str, lane: str) -> str:
    return msgspec.json.encode({**msgspec.json.decode(message), "stream_id": lane}).decode()


def request(body: bytes = b"{}", headers_s: float = 5.0) -> UpstreamRequest:
    headers = ((b"authorization", b"Bearer a"), (b"content-type", b"application/json"))
    limits = Limits(headers_s=headers_s, stall_s=5.0)
    return UpstreamRequest(b"POST", Origin("http", "x", 80), b"/v1/responses", headers, body, limits)


class Rig:
    """A line, the sockets that its engine opens one after the other, and what came of neither."""

    def __init__(self) -> None:
        self.opens: list[object] = []
        self.asked: list[UpstreamRequest] = []
        self.strays: list[object] = []
        self.successors: list[LaneStream] = []
        self.line = SharedLine(self, on_stray=self._stray, on_successor=self.successors.append)

    async def attempt(self, asked: UpstreamRequest):
        self.asked.append(asked)
        return self.opens.pop(0)

    async def _stray(self, message: object) -> None:
        self.strays.append(message)

    def open(self, *said: object) -> FakeSocket:
        socket = FakeSocket(*said)
        self.opens.append(socket)
        return socket


@pytest.fixture
async def rig():
    rig = Rig()
    yield rig
    rig.line.cut()


async def read(stream) -> list[str | Fault]:
    messages: list[str | Fault] = []
    while chunk := await stream.next_chunk():
        messages.append(chunk if isinstance(chunk, Fault) else as_message(chunk) or "")
        if isinstance(chunk, Fault):
            break
    return messages


async def test_a_response_is_a_stream_of_events(rig):
    socket = rig.open(CREATED, DELTA, DONE)

    answer = await rig.line.lane(None).attempt(request(b'{"a":1}'))

    assert (answer.status, answer.headers) == (200, ((b"content-type", b"text/event-stream"),))
    assert await read(answer) == [CREATED, DELTA, DONE]
    assert socket.heard == ['{"a":1}']
    (asked,) = rig.asked
    assert (asked.method, asked.body, asked.headers) == (b"GET", b"", ((b"authorization", b"Bearer a"),))
    assert rig.line.has_made("resp_1")
    assert not rig.line.has_made("resp_2")


async def test_until_it_is_kept_every_attempt_dials_and_from_then_on_none(rig):
    first, second = rig.open(LIMITED), rig.open(CREATED, DONE)
    refused = await rig.line.lane(None).attempt(request())
    answer = await rig.line.lane(None).attempt(request())
    rig.line.keep()
    await read(answer)
    second.say(CREATED, DONE)
    again = await rig.line.lane(None).attempt(request())

    assert isinstance(refused, Refused)
    assert (refused.status, refused.headers) == (429, ((b"retry-after", b"7"),))
    assert await refused.read_all(1) == await refused.next_chunk() == b'{"error":{"code":"rate_limit_exceeded"}}'
    assert await read(again) == [CREATED, DONE]
    assert (first.closings, second.closings, len(rig.asked)) == (1, 0, 2)


async def test_lanes_hear_what_is_theirs(rig):
    socket = rig.open(laned(CREATED, "a"))
    one = await rig.line.lane("a").attempt(request())
    rig.line.keep()
    socket.say(laned(CREATED, "b"))
    two = await rig.line.lane("b").attempt(request())
    socket.say(laned(DELTA, "b"), laned(DONE, "a"), '{"type":"of.all"}', laned(DONE, "b"))

    assert [msgspec.json.decode(each)["stream_id"] for each in await read(one)] == ["a", "a"]
    assert [msgspec.json.decode(each)["stream_id"] for each in await read(two)] == ["b", "b", "b"]
    assert rig.strays == ['{"type":"of.all"}']


async def test_an_error_of_no_lane_is_of_the_only_response_there_is(rig):
    rig.open(LIMITED)

    assert isinstance(await rig.line.lane("a").attempt(request()), Refused)


async def test_a_response_that_nobody_asked_for_follows_on_a_line_that_is_kept(rig):
    socket = rig.open(CREATED, DONE)
    answer = await rig.line.lane(None).attempt(request())
    rig.line.keep()
    await read(answer)
    socket.say(CREATED, DELTA, DONE)
    await FakeClock().settle()
    way = Follower(rig.successors[0])

    assert await read(await way.attempt(request())) == [CREATED, DELTA, DONE]
    assert len(socket.heard) == 1


async def test_a_lane_is_not_asked_while_a_response_that_nobody_asked_for_is_under_way_in_it(rig):
    socket = rig.open(CREATED, DONE)
    await read(await rig.line.lane(None).attempt(request()))
    rig.line.keep()
    socket.say(CREATED)
    await FakeClock().settle()
    (follower,) = rig.successors
    asking = asyncio.create_task(rig.line.lane(None).attempt(request(b'{"next":1}')))
    await FakeClock().settle()
    assert socket.heard == ["{}"]

    socket.say(DONE)
    assert await read(follower) == [CREATED, DONE]
    follower.close()
    socket.say(CREATED, DONE)

    assert await read(await asking) == [CREATED, DONE]
    assert socket.heard == ["{}", '{"next":1}']


def steering(kind: str, **steer: str) -> str:
    told = {"id": "steer_1", "previous_response_id": "resp_1", **steer}
    return msgspec.json.encode({"type": f"response.steer.{kind}", "steer": told}).decode()


def begun(number: int) -> str:
    response = {"id": f"resp_{number}", "previous_response_id": "resp_1"}
    return msgspec.json.encode({"type": "response.created", "response": response}).decode()


def ended(number: int) -> str:
    return begun(number).replace("created", "completed")


async def test_what_follows_by_itself_is_told_apart_from_what_was_asked_for_in_the_same_moment(rig):
    socket = rig.open(CREATED, steering("accepted"), DONE)
    await read(await rig.line.lane(None).attempt(request()))
    rig.line.keep()
    asking = asyncio.create_task(rig.line.lane(None).attempt(request(b'{"next":1}')))
    await FakeClock().settle()
    assert socket.heard == ["{}", '{"next":1}']

    socket.say(begun(2), DELTA, ended(2), begun(3), ended(3))
    await FakeClock().settle()
    (follower,) = rig.successors

    assert await read(follower) == [begun(2), DELTA, ended(2)]
    assert await read(await asking) == [begun(3), ended(3)]
    assert len(rig.successors) == 1


@pytest.mark.parametrize(
    "after",
    [steering("pending"), steering("failed"), steering("accepted", previous_response_id="resp_9")],
    ids=["pending", "failed", "of-another"],
)
async def test_where_nothing_follows_by_itself_what_begins_was_asked_for(rig, after):
    socket = rig.open(CREATED, steering("accepted"), DONE, after)
    await read(await rig.line.lane(None).attempt(request()))
    rig.line.keep()
    await FakeClock().settle()
    asking = asyncio.create_task(rig.line.lane(None).attempt(request(b'{"next":1}')))
    await FakeClock().settle()

    socket.say(begun(2), ended(2))

    assert await read(await asking) == [begun(2), ended(2)]
    assert not rig.successors


async def test_what_stands_behind_one_that_follows_breaks_with_the_line(rig):
    socket = rig.open(CREATED, steering("accepted"), DONE)
    await read(await rig.line.lane(None).attempt(request()))
    rig.line.keep()
    asking = asyncio.create_task(rig.line.lane(None).attempt(request(b'{"next":1}')))
    await FakeClock().settle()

    socket.say(begun(2), RESET)

    assert isinstance(await asking, Fault)
    assert await read(rig.successors[0]) == [begun(2), RESET.fault]


async def test_a_response_that_followed_and_failed_is_not_asked_for_again(rig):
    stream = LaneStream(None, give_up=lambda: None)
    way = Follower(stream)
    assert await way.attempt(request()) is stream
    await stream.put(b'{"type":"response.failed","response":{"error":{"code":"x","message":"no"}}}', is_last=True)
    await read(stream)

    failed = await way.attempt(request())

    assert failed.status == 400
    assert msgspec.json.decode(await failed.read_all(1))["error"] == {
        "type": "server_error",
        "param": None,
        "code": "x",
        "message": "no",
    }


@pytest.mark.parametrize("status", [200, 302, 404, 405, 426, 501])
async def test_an_upgrade_that_leads_nowhere_says_nothing_of_the_account(rig, status):
    rig.opens.append(Refused(status, (), b"<html>"))

    answer = await rig.line.lane(None).attempt(request())

    assert answer.status == 426
    assert b"websocket_not_supported" in await answer.read_all(1)


async def test_a_page_for_people_in_place_of_an_upgrade_says_nothing_of_the_account(rig):
    rig.opens.append(Refused(403, ((b"content-type", b"text/html"),), b"<title>Forbidden</title>"))

    assert (await rig.line.lane(None).attempt(request())).status == 426


@pytest.mark.parametrize(
    ("status", "body"), [(429, b""), (503, b"<html>"), (403, b'{"error":{"message":"no","code":"x"}}')]
)
async def test_other_refusals_are_the_attempts_own(rig, status, body):
    rig.opens.append(Refused(status, ((b"retry-after", b"7"),), body))

    answer = await rig.line.lane(None).attempt(request())

    assert (answer.status, answer.headers, await answer.read_all(1)) == (status, ((b"retry-after", b"7"),), body)


async def test_who_cannot_be_reached_is_a_fault(rig):
    fault = Fault(FaultKind.CONNECT, "no")
    rig.opens.append(fault)

    assert await rig.line.lane(None).attempt(request()) is fault


async def test_the_end_of_the_connection_breaks_what_is_under_way(rig):
    rig.open(CREATED, DELTA, RESET)
    answer = await rig.line.lane(None).attempt(request())
    rig.line.keep()

    assert await read(answer) == [CREATED, DELTA, RESET.fault]
    assert await rig.line.closed == RESET
    assert isinstance(await rig.line.lane(None).attempt(request()), Fault)
    assert not await rig.line.send("x")


async def test_an_upstream_that_says_nothing_is_given_up(rig):
    socket = rig.open()

    answer = await rig.line.lane(None).attempt(request(headers_s=0.01))

    assert isinstance(answer, Fault)
    assert (answer.kind, answer.is_body_sent) == (FaultKind.HEADERS_TIMEOUT, True)
    assert socket.closings == 1


async def test_silence_in_the_middle_is_a_stall(rig):
    rig.open(CREATED)
    answer = await rig.line.lane(None).attempt(request())
    await answer.next_chunk()

    stalled = await answer.next_chunk(0.01)

    assert isinstance(stalled, Fault)
    assert stalled.kind is FaultKind.STALL


async def test_who_gives_a_response_up_takes_the_connection_along_and_after_its_end_nobody_does(rig):
    socket = rig.open(CREATED, DONE)
    answer = await rig.line.lane(None).attempt(request())
    await read(answer)
    answer.close()
    assert socket.closings == 0

    rig.line.keep()
    socket.say(CREATED)
    another = await rig.line.lane(None).attempt(request())
    another.close()

    assert socket.closings == 1
    assert await rig.line.closed == Closed()


async def test_an_attempt_that_is_cancelled_cuts_the_line(rig):
    socket = rig.open()
    asking = asyncio.create_task(rig.line.lane(None).attempt(request()))
    await FakeClock().settle()
    assert socket.heard
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    assert asking.cancelled()
    assert socket.closings == 1


async def test_what_is_read_slowly_is_not_piled_up(rig):
    socket = rig.open(CREATED, *[DELTA] * 100, DONE)
    answer = await rig.line.lane(None).attempt(request())
    await answer.next_chunk()

    assert socket.said.qsize() >= 100 - QUEUE
    assert len(await read(answer)) == 101


async def test_a_socket_that_takes_nothing_more_is_a_fault(rig):
    socket = rig.open()
    socket.is_open = False

    assert isinstance(await rig.line.lane(None).attempt(request()), Fault)
    assert socket.closings == 1


async def test_a_finish_says_why(rig):
    socket = rig.open(CREATED)
    await rig.line.lane(None).attempt(request())
    await rig.line.finish(1001, "bye")

    assert socket.finished == [(1001, "bye")]
    assert not await rig.line.send("x")
