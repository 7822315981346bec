"""What calls meet while a provider fails for everybody: one probe at a time; the others wait, or are told how long."""

import pytest

from gateway.core.errors import AllOverloaded
from gateway.core.outcome import Fault, FaultKind
from tests.fakes.relay_kit import BROKEN, OK, PROVIDER, RelayKit, rate_limited
from tests.fakes.scripted_upstream import Reply
from tests.unit.relay.test_breakers import broken

UNREACHABLE = Fault(FaultKind.CONNECT, "refused")


async def test_calls_wait_for_the_probe_and_are_served_when_it_succeeds():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", OK)
    began = kit.clock.now()
    calls = [kit.start() for _ in range(3)]

    answers = [await kit.finished(call) for call in calls]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert kit.upstream.attempts[0].at == began + 1.0
    kit.assert_idle()


async def test_one_probe_goes_while_the_others_still_wait():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", Reply(200, OK.headers, OK.pieces, wait_s=0.5))
    calls = [kit.start() for _ in range(5)]

    await kit.clock.advance(1.2)

    assert kit.upstream.running == 1
    answers = [await kit.finished(call) for call in calls]
    assert {answer.status for answer in answers} == {200}
    kit.assert_idle()


async def test_call_without_patience_is_told_when_to_come_back():
    kit = broken()

    with pytest.raises(AllOverloaded) as told:
        await kit.answer(max_wait_s=0.0)

    assert (told.value.status, told.value.code, told.value.retry_after_s) == (503, "upstream_unavailable", 1.0)
    assert kit.upstream.attempts == []


async def test_call_that_meets_the_breaker_between_its_attempts_waits_for_the_probe():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", BROKEN)
    await kit.answer()
    kit.upstream.on("sk-a", BROKEN, OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.attempts[-1].at - kit.upstream.attempts[-2].at >= 1.0


async def test_call_that_met_the_fault_itself_is_answered_as_it_came_when_the_rest_is_too_long():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", BROKEN)
    await kit.answer()

    answer = await kit.answer(max_wait_s=0.5)

    assert answer.status == 500
    kit.assert_idle()


async def test_an_upstream_that_is_down_meets_few_attempts_however_many_call():
    kit = RelayKit("a", "b")
    for name in "ab":
        kit.upstream.on(f"sk-{name}", UNREACHABLE)
    calls = []
    for _ in range(300):
        calls.append(kit.start(max_wait_s=5.0))
        await kit.clock.advance(0.1)

    for call in calls:
        with pytest.raises(Exception, match="upstream"):
            await kit.finished(call)

    assert len(kit.upstream.attempts) <= 10 + 3 + 10
    kit.assert_idle()


async def test_a_limit_met_by_a_probe_shows_that_the_upstream_is_back():
    kit = broken()
    kit.upstream.on("sk-a", rate_limited(60))
    kit.upstream.on("sk-b", rate_limited(60), OK)
    kit.clock.move(1.0)

    with pytest.raises(Exception, match="rate limit"):
        await kit.answer(max_wait_s=0.0)

    assert not kit.board.breakers.is_open_at(PROVIDER)


@pytest.mark.parametrize("names", ["abc", "abcdefgh"])
@pytest.mark.parametrize("fault", [BROKEN, UNREACHABLE], ids=["500", "refused"])
async def test_an_outage_of_a_second_costs_nobody_an_answer_though_many_were_served_before(names, fault):
    kit = RelayKit(*names)
    for name in names:
        kit.upstream.on(f"sk-{name}", OK)
    for _ in range(100):
        await kit.answer()
    served = len(kit.upstream.attempts)
    for name in names:
        kit.upstream.on(f"sk-{name}", fault)

    calls = []
    for _ in range(50):
        calls.append(kit.start())
        await kit.clock.advance(0.02)
    met = len(kit.upstream.attempts) - served
    for name in names:
        kit.upstream.on(f"sk-{name}", OK)
    answers = [await kit.finished(call) for call in calls]

    assert {answer.status for answer in answers} == {200}
    assert met <= 2 * 10
    kit.assert_idle()


async def test_a_long_outage_ends_no_call_that_finds_out_for_others_whether_it_is_over():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", *[BROKEN] * 4, OK)
    calls = [kit.start(max_wait_s=300.0) for _ in range(2)]

    answers = [await kit.finished(call) for call in calls]

    assert [answer.status for answer in answers] == [200, 200]
    assert len(kit.upstream.attempts) > 4 + 1
    kit.assert_idle()


async def test_a_lone_call_makes_no_more_attempts_than_any():
    kit = broken()
    for name in "ab":
        kit.upstream.on(f"sk-{name}", BROKEN)

    answer = await kit.answer(max_wait_s=300.0)

    assert answer.status == 500
    assert len(kit.upstream.attempts) == 4
