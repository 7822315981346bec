"""Sessions between two sockets in memory, on a clock that is moved by hand."""

import asyncio

import pytest

from gateway.core.call import Usage
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.relay.metering import Progress
from gateway.relay.opened import OpenedSocket
from gateway.relay.session import LAST_WORDS_S, SEND_S, WATCH_S, Session
from gateway.relay.talk import Talk
from gateway.telemetry.events import CallEnd
from gateway.wire.sockets import LOST, NO_CODE, Closed
from tests.fakes.fake_socket import FakeSocket
from tests.fakes.relay_kit import RelayKit

RESET = Closed(LOST, "", Fault(FaultKind.RESET, "connection reset"))
IDLE_S = 600.0


class Meeting:
    """A caller, an upstream, and the session between them."""

    def __init__(self) -> None:
        self.kit = RelayKit("a")
        self.caller, self.upstream = FakeSocket(), FakeSocket()
        self.is_welcome = True
        self.progress = Progress(self.kit.call(), self.kit.meter, self.kit.clock, self.kit.clock.now())
        opened = OpenedSocket(socket=self.upstream, lease=self.kit.take("a"))
        self.talk = Talk(opened, books=self.kit.board, progress=self.progress)
        self.session = Session(
            caller=self.caller,
            upstream=self.talk,
            clock=self.kit.clock,
            progress=self.progress,
            idle_s=IDLE_S,
            is_welcome=lambda: self.is_welcome,
        )
        self.running = asyncio.create_task(self.session.run())

    async def advance(self, seconds: float) -> None:
        await self.kit.clock.advance(seconds)

    async def settle(self) -> None:
        await self.kit.clock.settle()

    @property
    def record(self):
        (record,) = self.kit.meter.calls
        return record

    def assert_over(self) -> None:
        assert self.running.done()
        assert self.kit.board.in_flight_calls == 0
        assert self.upstream.closings == 1
        assert len(asyncio.all_tasks()) == 1


@pytest.fixture
async def meeting():
    meeting = Meeting()
    yield meeting
    meeting.running.cancel()
    await asyncio.gather(meeting.running, return_exceptions=True)


async def test_messages_pass_both_ways(meeting):
    meeting.caller.say("hello", b"\x00")
    meeting.upstream.say("hi", b"\x01", "ü")
    await meeting.settle()

    assert meeting.upstream.heard == ["hello", b"\x00"]
    assert meeting.caller.heard == ["hi", b"\x01", "ü"]
    assert (meeting.session.said.messages, meeting.session.said.bytes) == (2, 6)
    assert (meeting.progress.chunks, meeting.progress.body_bytes) == (3, 5)


@pytest.mark.parametrize(
    ("closed", "passed", "outcome"),
    [
        pytest.param(Closed(4000, "bye"), (4000, "bye"), OutcomeKind.OK, id="code"),
        pytest.param(Closed(NO_CODE), (1000, ""), OutcomeKind.OK, id="no-code"),
        pytest.param(Closed(LOST), (1001, ""), OutcomeKind.CANCELLED, id="hang-up"),
    ],
)
async def test_a_callers_end_is_the_upstreams(meeting, closed, passed, outcome):
    meeting.caller.say("last", closed)
    await meeting.settle()

    meeting.assert_over()
    assert meeting.upstream.heard == ["last"]
    assert meeting.upstream.finished == [passed]
    assert meeting.caller.finished == []
    assert (meeting.record.outcome, meeting.record.status) == (outcome, 101)


@pytest.mark.parametrize(
    ("closed", "passed", "outcome"),
    [
        pytest.param(Closed(1000), (1000, ""), OutcomeKind.OK, id="well"),
        pytest.param(Closed(3000, "for org-AbCd12345678"), (3000, "for org-***"), OutcomeKind.OK, id="masked"),
        pytest.param(RESET, (1011, "The connection to the upstream was lost."), CallEnd.BROKEN, id="lost"),
        pytest.param(
            Closed(1009, "too big", Fault(FaultKind.GARBAGE, "too big")), (1009, "too big"), CallEnd.BROKEN, id="large"
        ),
    ],
)
async def test_an_upstreams_end_is_the_callers_after_its_last_words(meeting, closed, passed, outcome):
    meeting.upstream.say("last", closed)
    await meeting.settle()

    meeting.assert_over()
    assert meeting.caller.heard == ["last"]
    assert meeting.caller.finished == [passed]
    assert meeting.record.outcome == outcome


async def test_an_upstream_that_takes_no_more_may_still_have_said_something(meeting):
    meeting.caller.takes.clear()
    meeting.upstream.say("one", "two", Closed(1000, "done"))
    await meeting.settle()
    meeting.upstream.is_open = False
    meeting.caller.say("too late")
    await meeting.settle()
    assert not meeting.running.done()

    meeting.caller.takes.set()
    await meeting.settle()

    meeting.assert_over()
    assert meeting.caller.heard == ["one", "two"]
    assert meeting.caller.finished == [(1000, "done")]


async def test_last_words_that_nobody_reads_are_waited_for_in_vain(meeting):
    meeting.caller.takes.clear()
    meeting.upstream.say("one")
    meeting.upstream.is_open = False
    meeting.caller.say("too late")
    await meeting.advance(LAST_WORDS_S + WATCH_S)

    meeting.assert_over()
    assert meeting.caller.finished[0][0] == 1011


async def test_an_upstream_that_takes_nothing_is_lost(meeting):
    meeting.upstream.takes.clear()
    meeting.caller.say("one", "two")
    await meeting.advance(SEND_S - WATCH_S)
    assert not meeting.running.done()

    await meeting.advance(2 * WATCH_S)

    meeting.assert_over()
    assert meeting.caller.finished[0][0] == 1011


async def test_silence_on_both_sides_ends_it(meeting):
    await meeting.advance(IDLE_S - 10)
    meeting.upstream.say("still here")
    await meeting.advance(IDLE_S - 10)
    meeting.caller.say("me too")
    await meeting.advance(IDLE_S - 10)
    assert not meeting.running.done()

    await meeting.advance(11)

    meeting.assert_over()
    assert meeting.caller.finished == meeting.upstream.finished == [(1001, "No message for 600 s.")]


async def test_a_key_that_is_no_longer_good_ends_it(meeting):
    meeting.is_welcome = False
    await meeting.advance(WATCH_S)

    meeting.assert_over()
    assert meeting.caller.finished[0][0] == meeting.upstream.finished[0][0] == 1008


async def test_a_cut_tells_both_sides(meeting):
    await meeting.settle()
    meeting.running.cancel()
    await asyncio.gather(meeting.running, return_exceptions=True)
    await meeting.session.cut("The gateway is shutting down.")

    meeting.assert_over()
    assert meeting.caller.finished == meeting.upstream.finished == [(1012, "The gateway is shutting down.")]
    assert meeting.record.outcome is CallEnd.SHUTTING_DOWN


async def test_a_rate_limit_within_a_session_parks_the_account_and_spares_the_session(meeting):
    await meeting.advance(100)
    meeting.upstream.say(
        '{"type":"response.done","response":{"status":"failed","status_details":{"error":'
        '{"type":"requests","code":"rate_limit_exceeded","message":"Try again in 20s"}}}}'
    )
    await meeting.settle()

    assert meeting.kit.serving() == set()
    assert not meeting.running.done()


async def test_what_a_caller_does_wrong_in_a_session_is_not_its_accounts_fault(meeting):
    meeting.upstream.say('{"type":"error","error":{"type":"invalid_request_error","code":"x","message":"no"}}')
    await meeting.settle()

    assert meeting.kit.serving() == {"a"}


async def test_usage_is_the_sum_of_all_responses(meeting):
    done = '{"type":"response.done","response":{"usage":{"input_tokens":3,"output_tokens":2}}}'
    meeting.upstream.say(done, done, Closed(1000))
    await meeting.settle()

    assert meeting.talk.responses == 2
    assert meeting.progress.usage == Usage(input_tokens=6, output_tokens=4)
    assert (meeting.record.input_tokens, meeting.record.output_tokens) == (6, 4)


async def test_an_upstream_that_is_lost_is_observed(meeting):
    seen = []
    meeting.kit.board.observe = lambda lease, outcome, now: seen.append(outcome.kind)
    meeting.upstream.say(RESET)
    await meeting.settle()

    assert seen == [OutcomeKind.UNREACHABLE]
