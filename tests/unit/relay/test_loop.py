import itertools

import pytest

from gateway.core.errors import (
    AllOutOfQuota,
    AllOverloaded,
    AllRateLimited,
    NoAccountAvailable,
    UpstreamTimedOut,
)
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from tests.fakes.relay_kit import (
    ANSWER,
    BROKEN,
    NO_MODEL,
    OK,
    OUT_OF_QUOTA,
    OVERLOADED,
    REJECTED,
    WALL,
    RelayKit,
    account,
    rate_limited,
    refusal,
)
from tests.fakes.scripted_upstream import Reply

UNREACHABLE = Fault(FaultKind.CONNECT, "refused")
RESET_AFTER = Fault(FaultKind.RESET, "reset by peer", is_body_sent=True)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(rate_limited(20), id="rate limited"),
        pytest.param(OUT_OF_QUOTA, id="out of quota"),
        pytest.param(REJECTED, id="credential rejected"),
        pytest.param(refusal(401, "You have insufficient permissions", code="missing_scope"), id="permission"),
        pytest.param(NO_MODEL, id="no model"),
        pytest.param(WALL, id="403"),
        pytest.param(OVERLOADED, id="overloaded"),
        pytest.param(BROKEN, id="500"),
        pytest.param(UNREACHABLE, id="unreachable"),
        pytest.param(Reply(wait_s=700.0), id="silent"),
    ],
)
async def test_call_that_one_account_cannot_serve_is_answered_by_another(trouble):
    kit = RelayKit(account("a"), account("b", tier=1), timeout_s=650.0, first_token_timeout_s=5.0)
    kit.upstream.on("sk-a", trouble if isinstance(trouble, Fault) or not trouble.wait_s else Reply(wait_s=6.0))
    kit.upstream.on("sk-b", OK)

    answer = await kit.answer(is_stream=isinstance(trouble, Reply) and trouble.wait_s > 0)

    assert (answer.status, answer.body) == (200, ANSWER)
    assert kit.upstream.keys == ["sk-a", "sk-b"]
    kit.assert_idle()


@pytest.mark.parametrize("trouble", [rate_limited(60), OUT_OF_QUOTA, REJECTED], ids=["429", "quota", "401"])
async def test_every_account_is_tried_before_a_call_fails_for_a_fault_of_accounts(trouble):
    names = [f"a{number}" for number in range(40)]
    kit = RelayKit(*names)
    for name in names[:-1]:
        kit.upstream.on(f"sk-{name}", trouble)
    kit.upstream.on(f"sk-{names[-1]}", Reply(wait_s=0.5, pieces=(ANSWER,)))

    calls = [kit.start() for _ in range(3)]
    answers = [await kit.finished(call) for call in calls]

    assert [answer.status for answer in answers] == [200, 200, 200]
    kit.assert_idle()


async def test_no_account_is_tried_twice_by_one_call_that_does_not_wait():
    names = [f"a{number}" for number in range(12)]
    kit = RelayKit(*names)
    for name in names:
        kit.upstream.on(f"sk-{name}", rate_limited(60))

    with pytest.raises(AllRateLimited):
        await kit.answer()

    assert sorted(kit.upstream.keys) == sorted(f"sk-{name}" for name in names)


async def test_call_waits_for_the_soonest_recovery_within_its_patience():
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", rate_limited(2), OK)
    kit.upstream.on("sk-b", rate_limited(20), OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.clock.now() == pytest.approx(1002.2)
    assert sorted(kit.upstream.keys) == ["sk-a", "sk-a", "sk-b"]
    kit.assert_idle()


async def test_call_is_refused_at_once_with_the_true_delay_when_no_recovery_is_near():
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", rate_limited(20))
    kit.upstream.on("sk-b", rate_limited(40))

    with pytest.raises(AllRateLimited) as refused:
        await kit.answer()

    assert refused.value.retry_after_s == pytest.approx(21.0)  # 20 s, and 1 s more
    assert kit.clock.now() == 1000.0
    kit.assert_idle()


async def test_patience_is_the_calls_own():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", rate_limited(2), OK)

    with pytest.raises(AllRateLimited):
        await kit.answer(max_wait_s=1.0)

    assert kit.clock.now() == 1000.0


async def test_rest_that_is_over_before_the_others_have_answered_is_no_reason_to_fail():
    kit = RelayKit(account("a"), account("b", tier=1))
    kit.upstream.on("sk-a", rate_limited(0.1), OK)
    kit.upstream.on("sk-b", Reply(429, rate_limited(60).headers, rate_limited(60).pieces, wait_s=0.5))

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-a", "sk-b", "sk-a"]


async def test_single_account_with_errors_is_tried_again_after_backoffs_then_answers_as_it_came():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", BROKEN)

    answer = await kit.answer()

    times = [attempted.at for attempted in kit.upstream.attempts]
    pauses = [later - before for before, later in itertools.pairwise(times)]
    assert answer.status == 500
    assert answer.body == b"".join(piece for piece in BROKEN.pieces if isinstance(piece, bytes))
    assert len(times) == 4
    for pause, base in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert base <= pause <= base * 1.5
    kit.assert_idle()


async def test_error_that_passes_is_never_seen():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", BROKEN, UNREACHABLE, OK)

    answer = await kit.answer()

    assert answer.body == ANSWER


async def test_faults_of_the_upstream_are_counted_over_all_accounts():
    names = [f"a{number}" for number in range(9)]
    kit = RelayKit(*names)
    for name in names:
        kit.upstream.on(f"sk-{name}", BROKEN)

    answer = await kit.answer()

    assert answer.status == 500
    assert len(kit.upstream.attempts) == 4
    assert kit.upstream.attempts[2].at == 1000.0  # other accounts need no backoff…
    assert kit.upstream.attempts[3].at >= 1000.4  # …but where three have failed in a row, and nobody was served


async def test_retries_of_many_calls_are_bounded_by_the_budget():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=5.0))

    answers = [await kit.finished(call) for call in [kit.start() for _ in range(40)]]

    assert {answer.status for answer in answers} == {500}
    assert len(kit.upstream.attempts) < 40 * 4 / 2
    kit.assert_idle()


async def test_silent_upstream_is_given_up_at_one_other_account():
    kit = RelayKit("a", "b", "c", timeout_s=300.0)
    for key in ("sk-a", "sk-b", "sk-c"):
        kit.upstream.on(key, Reply(wait_s=1000.0))

    with pytest.raises(UpstreamTimedOut):
        await kit.answer(is_stream=True)

    assert len(kit.upstream.attempts) == 2
    assert kit.clock.now() == pytest.approx(1120.0)  # the first event's limit, twice
    kit.assert_idle()


async def test_an_account_that_is_silent_all_the_time_a_call_has_is_made_up_for_by_another():
    kit = RelayKit(account("a"), account("b", tier=1), timeout_s=30.0)
    kit.upstream.on("sk-a", Reply(wait_s=1000.0))
    kit.upstream.on("sk-b", Reply(pieces=OK.pieces, wait_s=29.0))

    assert (await kit.answer()).status == 200
    assert kit.clock.now() == pytest.approx(1059.0)
    kit.assert_idle()


async def test_deadline_ends_a_call_whatever_it_waits_for():
    kit = RelayKit("a", "b", "c", timeout_s=30.0)
    for key in ("sk-a", "sk-b", "sk-c"):
        kit.upstream.on(key, Reply(wait_s=1000.0))

    with pytest.raises(UpstreamTimedOut):
        await kit.answer()

    assert kit.clock.now() == pytest.approx(1060.0)  # that of the account it began with, and of one other
    assert len(kit.upstream.attempts) == 2
    kit.assert_idle()


async def test_a_call_gets_time_anew_for_one_silence_only():
    kit = RelayKit("a", "b", "c", timeout_s=30.0)
    for key in ("sk-a", "sk-b", "sk-c"):
        kit.upstream.on(key, Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=20.0))

    with pytest.raises(UpstreamTimedOut):
        await kit.answer()

    assert kit.clock.now() == pytest.approx(1060.0)
    kit.assert_idle()


async def test_upstreams_401_is_no_callers_business_even_at_the_deadline():
    kit = RelayKit("a", "b", timeout_s=5.0)
    late = Reply(401, REJECTED.headers, REJECTED.pieces, wait_s=5.0)
    kit.upstream.on("sk-a", late)
    kit.upstream.on("sk-b", late)

    with pytest.raises(UpstreamTimedOut):
        await kit.answer()


async def test_no_attempt_begins_after_the_deadline():
    kit = RelayKit("a", timeout_s=1.0)
    kit.upstream.on("sk-a", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=0.95))

    await kit.answer()

    assert [attempted.at for attempted in kit.upstream.attempts] == [1000.0]


async def test_callers_fault_goes_back_at_once_as_it_came():
    kit = RelayKit("a", "b")
    wrong = refusal(400, "Invalid value for 'foo'", type_="invalid_request_error")
    kit.upstream.on("sk-a", wrong)
    kit.upstream.on("sk-b", wrong)

    answer = await kit.answer()

    assert answer.status == 400
    assert answer.outcome is OutcomeKind.CALLER_FAULT
    assert len(kit.upstream.attempts) == 1


async def test_three_accounts_agree_that_a_model_does_not_exist():
    names = [f"a{number}" for number in range(6)]
    kit = RelayKit(*names)
    for name in names:
        kit.upstream.on(f"sk-{name}", NO_MODEL)

    answer = await kit.answer()

    assert (answer.status, answer.code) == (404, "model_not_found")
    assert len(kit.upstream.attempts) == 3


async def test_403_wall_is_tried_at_two_other_accounts():
    names = [f"a{number}" for number in range(6)]
    kit = RelayKit(*names)
    for name in names:
        kit.upstream.on(f"sk-{name}", WALL)

    answer = await kit.answer()

    assert answer.status == 403
    assert len(kit.upstream.attempts) == 3
    assert len(kit.serving()) == 6


async def test_request_too_large_is_tried_at_one_other_account():
    names = [f"a{number}" for number in range(4)]
    kit = RelayKit(*names)
    for name in names:
        kit.upstream.on(f"sk-{name}", rate_limited(message="Request too large for gpt-4: Limit 100, Requested 900."))

    answer = await kit.answer()

    assert answer.status == 429
    assert len(kit.upstream.attempts) == 2
    assert len(kit.serving()) == 4


async def test_reason_of_the_refusal_is_that_of_the_accounts():
    quota = RelayKit("a")
    quota.upstream.on("sk-a", OUT_OF_QUOTA)
    dead = RelayKit("a")
    dead.upstream.on("sk-a", REJECTED)
    both = RelayKit("a", "b")
    both.upstream.on("sk-a", OUT_OF_QUOTA)
    both.upstream.on("sk-b", rate_limited(60))
    busy = RelayKit("a")
    busy.upstream.on("sk-a", refusal(503, "busy", code="server_is_overloaded", headers=((b"retry-after", b"25"),)))

    with pytest.raises(AllOutOfQuota):
        await quota.answer()
    with pytest.raises(NoAccountAvailable):
        await dead.answer()
    with pytest.raises(AllRateLimited):
        await both.answer()
    with pytest.raises(AllOverloaded) as overloaded:
        await busy.answer()

    assert overloaded.value.retry_after_s == pytest.approx(26.0 - 0.1, abs=0.06)  # the first backoff has passed


async def test_overloaded_account_that_names_a_short_delay_is_waited_for():
    kit = RelayKit("a")
    busy = refusal(503, "busy", code="server_is_overloaded", headers=((b"retry-after", b"4"),))
    kit.upstream.on("sk-a", busy, OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.clock.now() == pytest.approx(1004.4)


async def test_without_any_account_the_operator_is_asked_for_one():
    kit = RelayKit()

    with pytest.raises(NoAccountAvailable):
        await kit.answer()
