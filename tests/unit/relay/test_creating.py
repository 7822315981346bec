"""Calls that make something, or act: repeated only after a definite refusal (SPEC §4)."""

import pytest
from msgspec.structs import replace

from gateway.core.errors import OutcomeUnknown
from gateway.core.outcome import Fault, FaultKind
from tests.fakes.relay_kit import BROKEN, OK, RelayKit, account, finished, refusal
from tests.fakes.scripted_upstream import Reply

UNREACHABLE = Fault(FaultKind.CONNECT, "refused")
RESET_AFTER = Fault(FaultKind.RESET, "reset by peer", is_body_sent=True)


async def test_outcome_of_a_call_that_makes_something_may_be_unknown():
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", RESET_AFTER)
    kit.upstream.on("sk-b", RESET_AFTER)

    with pytest.raises(OutcomeUnknown) as unknown:
        await kit.answer(path="/batches")

    assert (unknown.value.status, unknown.value.should_retry) == (504, False)
    assert len(kit.upstream.keys) == 1


@pytest.mark.parametrize("reply", [BROKEN, Reply(500), refusal(503), refusal(408)], ids=["500", "empty", "503", "408"])
async def test_error_of_a_call_that_makes_something_leaves_its_outcome_unknown(reply):
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", reply)
    kit.upstream.on("sk-b", reply)

    with pytest.raises(OutcomeUnknown, match=str(reply.status)) as unknown:
        await kit.answer(path="/batches")

    assert unknown.value.should_retry is False
    assert len(kit.upstream.keys) == 1


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_what_a_caller_did_wrong_in_making_something_is_told_as_it_came(status):
    kit = RelayKit("a", "b")
    kit.upstream.on("sk-a", refusal(status))
    kit.upstream.on("sk-b", refusal(status))

    answer = await kit.answer(path="/batches")

    assert answer.status == status
    assert len(kit.upstream.keys) == 1


async def test_response_in_the_background_that_failed_is_told_as_it_came():
    kit = RelayKit("a")
    failed = b'{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"no"}}'
    kit.upstream.on("sk-a", Reply(pieces=(failed,)))
    job = kit.job(path="/responses")
    acting = replace(job.call, endpoint=replace(job.call.endpoint, is_creating=True))

    answer = await finished(kit.clock, kit.relay.relay_call(replace(job, call=acting)))

    assert (answer.status, answer.body) == (200, failed)


async def test_call_that_makes_something_moves_on_while_nothing_was_sent():
    kit = RelayKit(account("a"), account("b", tier=1))
    kit.upstream.on("sk-a", UNREACHABLE)
    kit.upstream.on("sk-b", OK)

    assert (await kit.answer(path="/batches")).status == 200
