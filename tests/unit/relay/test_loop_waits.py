"""Calls that wait: for room, for a recovery, for an account that is added; and who goes first."""

import asyncio

import msgspec
import pytest

from gateway.core.errors import (
    AllRateLimited,
    ModelNotFound,
    ShuttingDown,
    UpstreamFailed,
)
from gateway.core.ids import Instant
from gateway.core.outcome import Fault, FaultKind, Outcome, OutcomeKind
from tests.fakes.relay_kit import (
    ANSWER,
    OK,
    OUT_OF_QUOTA,
    REJECTED,
    RelayKit,
    account,
    rate_limited,
)
from tests.fakes.scripted_upstream import Reply

UNREACHABLE = Fault(FaultKind.CONNECT, "refused")


async def test_limit_that_a_family_shares_is_seen_by_the_very_call_that_learned_it():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", rate_limited(2, "Rate limit reached for gpt-4-family in organization"), OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-a", "sk-a"]
    assert kit.clock.now() == pytest.approx(1002.2)


async def test_account_that_is_added_serves_the_calls_that_wait():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", rate_limited(9))
    kit.upstream.on("sk-b", OK)
    call = kit.start()
    await kit.clock.settle()

    kit.set_accounts("a", "b")
    answer = await kit.finished(call)

    assert answer.status == 200
    assert kit.clock.now() == 1000.0
    kit.assert_idle()


async def test_account_that_is_removed_is_not_tried_again_by_a_call_that_waits():
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", rate_limited(2), OK)
    kit.upstream.on("sk-b", rate_limited(5), OK)
    call = kit.start()
    await kit.clock.settle()

    kit.set_accounts("b")
    answer = await kit.finished(call)

    assert answer.status == 200
    assert kit.upstream.keys[-1] == "sk-b"


async def test_new_credential_ends_the_wait_for_a_rejected_account():
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", REJECTED)
    kit.upstream.on("sk-b", rate_limited(8))
    kit.upstream.on("sk-new", OK)
    call = kit.start()
    await kit.clock.settle()

    kit.set_accounts(account("a", key="sk-new"), "b")
    answer = await kit.finished(call)

    assert answer.status == 200
    assert kit.clock.now() == 1000.0


async def test_call_that_an_old_credential_failed_is_answered_by_the_new_one():
    kit = RelayKit("a")
    edited = asyncio.Event()
    kit.upstream.on("sk-a", msgspec.structs.replace(REJECTED, until=edited))
    kit.upstream.on("sk-new", OK)
    call = kit.start()
    await kit.clock.settle()
    kit.set_accounts(account("a", key="sk-new"))
    edited.set()

    answer = await kit.finished(call)

    assert (answer.status, kit.upstream.keys) == (200, ["sk-a", "sk-new"])
    assert kit.clock.now() == 1000.0
    kit.assert_idle()


async def test_worker_that_ends_lets_go_at_once_of_calls_that_it_could_not_serve_any_more():
    kit = RelayKit("a")
    kit.observe("a", Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=100.0))
    calls = [kit.start(max_wait_s=300.0) for _ in range(3)]
    await kit.clock.settle()

    kit.waiting.close(Instant(1030.0))

    for call in calls:
        with pytest.raises(ShuttingDown):
            await kit.finished(call)
    assert kit.clock.now() == 1000.0
    kit.assert_idle()


async def test_worker_that_ends_still_serves_calls_whose_turn_comes_in_time():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", OK)
    kit.observe("a", Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=20.0))
    call = kit.start(max_wait_s=300.0)
    await kit.clock.settle()

    kit.waiting.close(Instant(1030.0))

    assert (await kit.finished(call)).status == 200
    assert kit.clock.now() == 1021.0


async def test_model_that_is_withdrawn_ends_the_calls_that_wait_for_it():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", rate_limited(8))
    call = kit.start()
    await kit.clock.settle()

    kit.set_accounts(account("a", supported_models=("other",)))

    with pytest.raises(ModelNotFound):
        await kit.finished(call)
    kit.assert_idle()


async def test_full_account_is_waited_for_and_never_overfilled():
    kit = RelayKit(account("a", max_concurrency=2))
    kit.upstream.on("sk-a", Reply(pieces=(ANSWER,), wait_s=1.0))

    answers = [await kit.finished(call) for call in [kit.start() for _ in range(7)]]

    assert {answer.status for answer in answers} == {200}
    assert kit.upstream.most_running == 2
    assert kit.clock.now() == pytest.approx(1004.0)
    kit.assert_idle()


async def test_call_for_a_full_account_is_refused_when_its_patience_ends():
    kit = RelayKit(account("a", max_concurrency=1))
    kit.upstream.on("sk-a", Reply(pieces=(ANSWER,), wait_s=60.0))
    first = kit.start()
    await kit.clock.settle()

    with pytest.raises(AllRateLimited) as refused:
        await kit.answer()

    assert kit.clock.now() == pytest.approx(1010.0)
    assert refused.value.retry_after_s == 1.0
    await kit.finished(first)
    kit.assert_idle()


async def test_call_that_stands_behind_others_waits_although_one_account_rests_for_long():
    kit = RelayKit(account("a", max_concurrency=1), "b")
    kit.upstream.on("sk-a", Reply(pieces=(ANSWER,), wait_s=1.0))
    kit.upstream.on("sk-b", OUT_OF_QUOTA)

    answers = [await kit.finished(call) for call in [kit.start() for _ in range(4)]]

    assert {answer.status for answer in answers} == {200}


async def test_calls_are_served_in_the_order_in_which_they_came():
    kit = RelayKit(account("a", max_concurrency=1))
    kit.upstream.on("sk-a", Reply(pieces=(ANSWER,), wait_s=1.0))
    ended = []
    calls = [kit.start() for _ in range(5)]
    for number, call in enumerate(calls):
        call.add_done_callback(lambda _, number=number: ended.append(number))

    await kit.finished(asyncio.gather(*calls))

    assert ended == [0, 1, 2, 3, 4]


async def test_recovery_is_probed_by_one_call_and_the_others_follow_at_the_pace_that_was_learned():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", rate_limited(2), Reply(pieces=(ANSWER,), wait_s=0.4))
    calls = [kit.start() for _ in range(6)]
    await kit.clock.advance(2.3)
    asked = len(kit.upstream.attempts)

    answers = [await kit.finished(call) for call in calls]

    sent = [attempted.at for attempted in kit.upstream.attempts[asked:]]
    assert {answer.status for answer in answers} == {200}
    assert len(sent) == 5  # all but the probe went once it had passed
    assert len(set(sent)) > 2, "they do not stampede"
    assert kit.clock.now() < 1010.0
    kit.assert_idle()


async def test_worker_that_holds_all_it_may_refuses_at_once():
    kit = RelayKit("a", max_calls=2)
    kit.upstream.on("sk-a", rate_limited(5), OK)
    waiting = [kit.start() for _ in range(2)]
    await kit.clock.settle()

    with pytest.raises(AllRateLimited) as refused:
        await kit.answer()

    assert refused.value.retry_after_s == 1.0
    await kit.finished(asyncio.gather(*waiting))
    kit.assert_idle()


async def test_cancelled_call_leaves_nothing_behind():
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", rate_limited(5), OK)
    kit.upstream.on("sk-b", Reply(wait_s=50.0))
    calls = [kit.start() for _ in range(4)]
    await kit.clock.advance(1.0)

    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    kit.assert_idle()


async def test_unreachable_upstream_is_told_as_such():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", UNREACHABLE)

    with pytest.raises(UpstreamFailed) as failed:
        await kit.answer()

    assert failed.value.code == "upstream_unreachable"


async def test_newcomer_stands_behind_those_who_wait_though_there_is_room_again():
    kit = RelayKit(account("a", max_concurrency=1), "b")
    kit.upstream.on("sk-a", Reply(pieces=(ANSWER,), wait_s=1.0))
    kit.observe("b", Outcome(OutcomeKind.OUT_OF_QUOTA, 429))
    busy = kit.take("a")
    ended = []
    first = kit.start()
    await kit.clock.settle()

    busy.release()  # there is room, but who waits for it has not looked yet
    second = kit.start()
    for name, call in (("first", first), ("second", second)):
        call.add_done_callback(lambda _, name=name: ended.append(name))
    answers = await kit.finished(asyncio.gather(first, second))

    assert [answer.status for answer in answers] == [200, 200]
    assert ended == ["first", "second"]
    assert [attempted.at for attempted in kit.upstream.attempts] == [1000.0, 1001.0]
    kit.assert_idle()
