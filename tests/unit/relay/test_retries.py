"""Attempts after a fault of the upstream: bounded, and turns go to whoever has waited longest."""

import asyncio

import pytest

from gateway.core.cooldown import AVOID_S, AVOIDED_AFTER
from gateway.core.ids import Instant
from gateway.core.outcome import Fault, FaultKind
from gateway.relay.answer import Answer
from gateway.relay.retries import Retries
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import BROKEN, OK, RelayKit, account, rate_limited
from tests.fakes.scripted_upstream import Reply

UNTIL = Instant(1010.0)
OK_SLOWLY = Reply(200, OK.headers, OK.pieces, wait_s=1.0)
RESET = Fault(FaultKind.RESET, "reset")


def full() -> tuple[FakeClock, Retries]:
    """Three are under way: as many as may be while few calls are in flight."""
    clock = FakeClock()
    retries = Retries(clock, lambda: 3)
    for _ in range(3):
        assert retries.has_room
        retries.take()
    assert not retries.has_room
    return clock, retries


async def test_turn_that_ends_goes_to_who_has_waited_longest_and_nobody_passes():
    clock, retries = full()
    waits = [asyncio.ensure_future(retries.wait(UNTIL)) for _ in range(2)]
    await clock.settle()

    retries.give_back()
    await clock.settle()
    assert ([wait.done() for wait in waits], retries.has_room) == ([True, False], False)
    for _ in range(2):
        retries.give_back()
    assert await waits[1]

    assert retries.has_room


async def test_nobody_waits_beyond_the_end_of_patience():
    clock, retries = full()
    wait = asyncio.ensure_future(retries.wait(UNTIL))
    await clock.settle()

    await clock.advance(10.0)

    assert not await wait
    retries.give_back()
    assert retries.has_room


async def test_turn_of_a_caller_that_hangs_up_goes_on():
    clock, retries = full()
    gone, waits = [asyncio.ensure_future(retries.wait(UNTIL)) for _ in range(2)]
    await clock.settle()

    retries.give_back()  # its turn came, and the call is cancelled before it hears of it
    gone.cancel()

    assert await waits


# -- in the loop -----------------------------------------------------------------------------------------------------


async def test_account_that_fails_at_once_costs_no_caller_its_answer():
    kit = RelayKit("a", "b", "c")
    kit.upstream.on("sk-a", BROKEN)
    for name in "bc":
        kit.upstream.on(f"sk-{name}", OK_SLOWLY)

    calls = [kit.start() for _ in range(60)]
    answers: list[Answer] = [await kit.finished(call) for call in calls]

    assert {answer.status for answer in answers} == {200}
    kit.assert_idle()


@pytest.mark.parametrize("fault", [BROKEN, RESET], ids=["500", "reset"])
async def test_call_that_meets_a_broken_account_is_answered_by_the_one_that_is_full_for_a_moment(fault):
    kit = RelayKit(account("a", tier=1), account("b"))
    kit.upstream.on("sk-a", fault)
    kit.upstream.on("sk-b", rate_limited(4.0), OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-b", "sk-a", "sk-a", "sk-a", "sk-b"]
    kit.assert_idle()


async def test_account_that_fails_in_a_row_is_left_alone_for_a_while():
    kit = RelayKit(account("a"), account("b", tier=1))
    kit.upstream.on("sk-a", RESET)
    kit.upstream.on("sk-b", OK)

    for _ in range(10):
        await kit.answer()
    tried = [account_id for _, account_id, _ in kit.meter.failed]
    await kit.clock.advance(AVOID_S)
    await kit.answer()

    assert tried == ["a"] * AVOIDED_AFTER
    assert len(kit.meter.failed) == AVOIDED_AFTER + 1


async def test_no_more_calls_wait_for_a_retry_than_may_wait_at_all():
    kit = RelayKit("a", "b", max_calls=5)
    kit.upstream.on("sk-a", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=1.0))
    kit.upstream.on("sk-b", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=1.0), OK_SLOWLY)
    calls = [kit.start() for _ in range(40)]

    await kit.clock.advance(1.0)
    waiting, asking = kit.waiting.calls, kit.upstream.running
    answered = [call.done() for call in calls].count(True)
    for call in calls:
        await kit.finished(call)

    assert (waiting, answered) == (5, 40 - 5 - asking)
    kit.assert_idle()


async def test_call_without_patience_waits_for_no_retry():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=1.0))
    calls = [kit.start(max_wait_s=0.0) for _ in range(40)]

    answers = [await kit.finished(call) for call in calls]

    assert {answer.status for answer in answers} == {500}
    assert len(kit.upstream.attempts) < 80
    kit.assert_idle()


async def test_a_fifth_of_the_calls_that_fail_together_may_try_again_at_once():
    kit = RelayKit(*[f"a{number}" for number in range(40)])
    for number in range(40):
        kit.upstream.on(f"sk-a{number}", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=1.0), OK_SLOWLY)
    calls = [kit.start() for _ in range(40)]

    await kit.clock.advance(1.0)
    again = len(kit.upstream.attempts) - 40

    answers: list[Answer] = [await kit.finished(call) for call in calls]
    assert again <= 8
    assert len(answers) == 40
    kit.assert_idle()
