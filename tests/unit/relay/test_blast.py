"""Refusals that no account is to blame for: their parks are lifted; keys that are really dead are parked in the end."""

import asyncio

import msgspec
import pytest

from gateway.core.blast_radius import Lifted
from gateway.core.errors import GatewayError, NoAccountAvailable
from gateway.core.ids import AccountId, CallId
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.relay.answer import Answer
from tests.fakes.relay_kit import NO_MODEL, OK, PROVIDER, REJECTED, WALL, RelayKit, account, rate_limited, refusal
from tests.fakes.scripted_upstream import Reply, Script

SLOW_WALL = Reply(WALL.status, WALL.headers, WALL.pieces, wait_s=0.1)
NO_PERMISSION = refusal(403, "Missing scopes: model.request", code="missing_scope")


class Calls:
    """Calls of different ids, and what became of them."""

    def __init__(self, kit: RelayKit) -> None:
        self.kit = kit
        self.count = 0
        self.lifted: list[Lifted] = []
        kit.loop.blast.on_lifted = self.lifted.append

    async def make(self, **fields: object) -> Answer | GatewayError:
        return await self.kit.finished(self._made(**fields))

    async def make_at_once(self, count: int) -> None:
        tasks = [asyncio.ensure_future(self._made()) for _ in range(count)]
        for task in tasks:
            await self.kit.finished(task)

    async def _made(self, **fields: object) -> Answer | GatewayError:
        self.count += 1
        job = self.kit.job(max_wait_s=0.0, **fields)
        job = msgspec.structs.replace(job, call=msgspec.structs.replace(job.call, id=CallId(f"req_{self.count}")))
        try:
            return await self.kit.relay.relay_call(job)
        except GatewayError as error:
            return error


def all_say(script: Script, *accounts: str) -> Calls:
    kit = RelayKit(*(accounts or ("a", "b", "c")))
    for name in accounts or ("a", "b", "c"):
        kit.upstream.on(f"sk-{name}", script)
    return Calls(kit)


@pytest.mark.parametrize("script", [NO_MODEL, WALL, NO_PERMISSION], ids=["404", "403", "permission"])
async def test_call_that_three_scopes_refuse_alike_is_answered_as_it_came_and_parks_nobody(script):
    calls = all_say(script)

    answer = await calls.make()

    assert isinstance(answer, Answer)
    assert answer.status == script.status
    assert calls.kit.serving() == {"a", "b", "c"}
    assert [lifted.count for lifted in calls.lifted] == [3]
    calls.kit.assert_idle()


async def test_a_401_of_every_account_parks_nobody_and_reaches_no_caller():
    calls = all_say(REJECTED)

    answer = await calls.make()

    assert isinstance(answer, NoAccountAvailable)
    assert calls.kit.serving() == {"a", "b", "c"}


async def test_three_dead_keys_of_four_are_parked_for_the_fourth_is_tried():
    calls = all_say(REJECTED, "a", "b", "c", "d")
    calls.kit.upstream.on("sk-d", OK)

    answers = [await calls.make() for _ in range(8)]

    assert {answer.status for answer in answers} == {200}
    assert calls.kit.serving() == {"d"}
    assert calls.lifted == []


async def test_refusals_of_one_alone_park_it():
    calls = all_say(REJECTED, "a")

    await calls.make()

    assert calls.kit.serving() == set()
    assert calls.lifted == []


async def test_accounts_of_one_quota_group_are_one_voice():
    kit = RelayKit(account("a", quota_group="g"), account("b", quota_group="g"))
    for name in "ab":
        kit.upstream.on(f"sk-{name}", REJECTED)
    calls = Calls(kit)

    await calls.make()

    assert kit.serving() == set()


async def test_rate_limits_never_count():
    calls = all_say(rate_limited(60))

    await calls.make()

    assert calls.kit.serving() == set()
    assert calls.lifted == []


async def test_accounts_that_lack_a_model_which_others_serve_stay_parked():
    calls = all_say(NO_MODEL, "a", "b", "c", "d")
    calls.kit.upstream.on("sk-d", OK)
    calls.kit.observe("d", Outcome(OutcomeKind.OK, 200))

    for _ in range(4):
        await calls.make()

    assert calls.lifted == []
    assert "d" in calls.kit.serving()


@pytest.mark.parametrize("script", [REJECTED, WALL], ids=["401", "403"])
async def test_second_call_that_meets_the_same_wall_opens_the_providers_breaker(script):
    calls = all_say(script)
    await calls.make()

    await calls.make()
    third = await calls.make()

    assert calls.kit.board.breakers.is_open_at(PROVIDER)
    assert isinstance(third, NoAccountAvailable)
    assert third.retry_after_s is not None
    assert calls.kit.board.status_of(AccountId("a")) == []


async def served_then(script: Script) -> Calls:
    """Three accounts that served a moment ago, and then refuse whatever comes, a tenth of a second later."""
    calls = all_say(OK)
    for _ in range(3):
        await calls.make()
    for name in "abc":
        calls.kit.upstream.on(f"sk-{name}", script)
    return calls


@pytest.mark.parametrize("script", [REJECTED, NO_MODEL], ids=["401", "404"])
async def test_refusals_of_every_account_park_nobody_though_they_served_a_moment_ago(script):
    calls = await served_then(script)

    await calls.make()

    assert calls.kit.serving() == {"a", "b", "c"}


async def test_calls_that_park_all_accounts_between_them_end_no_service_where_nobody_is_served_since():
    calls = await served_then(SLOW_WALL)
    await calls.make_at_once(6)
    assert calls.kit.serving() == set()

    for name in "abc":
        calls.kit.upstream.on(f"sk-{name}", OK)
    await calls.kit.clock.advance(4.0)
    early = await calls.make()
    await calls.kit.clock.advance(1.5)
    lifting = await calls.make()
    await calls.kit.clock.advance(1.0)
    probe = await calls.make()

    assert isinstance(early, NoAccountAvailable)
    assert isinstance(lifting, NoAccountAvailable)
    assert (early.retry_after_s, lifting.retry_after_s) == (None, 1.0)
    assert isinstance(probe, Answer)
    assert probe.status == 200
    assert calls.kit.serving() == {"a", "b", "c"}


async def test_accounts_stay_parked_where_one_of_them_was_served_since():
    calls = await served_then(SLOW_WALL)
    await calls.make_at_once(6)
    calls.kit.observe("a", Outcome(OutcomeKind.OK, 200))
    await calls.kit.clock.advance(6.0)

    assert not calls.kit.loop.blast.look_again(PROVIDER, calls.kit.clock.now())

    assert calls.kit.serving() == {"a"}


async def test_a_model_that_nobody_has_opens_no_breaker():
    calls = all_say(NO_MODEL)

    answers = [await calls.make() for _ in range(3)]

    assert [answer.status for answer in answers] == [404, 404, 404]
    assert not calls.kit.board.breakers.is_open_at(PROVIDER)


@pytest.mark.parametrize("names", ["a", "ab", "abcde"])
async def test_a_model_that_all_accounts_lacked_for_a_moment_is_served_again_at_once(names):
    calls = all_say(OK, *names)
    for _ in names:
        await calls.make()
    for name in names:
        calls.kit.upstream.on(f"sk-{name}", NO_MODEL)
    during = [await calls.make() for _ in range(6)]
    for name in names:
        calls.kit.upstream.on(f"sk-{name}", OK)

    after = [await calls.make() for _ in range(6)]

    assert {(answer.status, answer.code) for answer in during} == {(404, "model_not_found")}
    assert all(isinstance(answer, Answer) for answer in during), "each is what an upstream said"
    assert {answer.status for answer in after} == {200}
    calls.kit.assert_idle()


async def test_a_model_that_the_only_account_never_served_is_not_asked_for_again_at_once():
    calls = all_say(NO_MODEL, "a")

    answers = [await calls.make() for _ in range(3)]

    assert [answer.status for answer in answers] == [404, 404, 404]
    assert len(calls.kit.upstream.attempts) == 1


async def test_an_outage_of_authentication_ends_with_the_first_success():
    calls = all_say(REJECTED)
    for _ in range(3):
        await calls.make()
    for name in "abc":
        calls.kit.upstream.on(f"sk-{name}", OK)
    calls.kit.clock.move(1.0)

    answers = [await calls.make() for _ in range(3)]

    assert {answer.status for answer in answers} == {200}
    assert calls.kit.serving() == {"a", "b", "c"}


async def test_ten_minutes_of_401_cost_no_account_its_health():
    calls = all_say(REJECTED)
    for _ in range(600):
        await calls.make()
        calls.kit.clock.move(1.0)
    for name in "abc":
        calls.kit.upstream.on(f"sk-{name}", OK)

    calls.kit.clock.move(30.0)
    answer = await calls.make()

    assert answer.status == 200
    assert calls.kit.serving() == {"a", "b", "c"}
    assert len(calls.kit.upstream.attempts) < 50


async def test_keys_that_are_really_dead_are_rejected_in_the_end():
    calls = all_say(REJECTED)
    for _ in range(1500):
        await calls.make()
        calls.kit.clock.move(2.0)

    statuses = [calls.kit.board.status_of(AccountId(name)) for name in "abc"]

    assert [status.state for each in statuses for status in each] == ["rejected"] * 3
    assert [status.reason for each in statuses for status in each] == [OutcomeKind.CREDENTIAL_REJECTED] * 3


async def test_a_key_that_was_dead_before_does_not_hide_an_outage():
    calls = all_say(REJECTED)
    for name in "bc":
        calls.kit.upstream.on(f"sk-{name}", OK)
    while "a" in calls.kit.serving():
        await calls.make()
    for name in "bc":
        calls.kit.upstream.on(f"sk-{name}", REJECTED)
    calls.kit.clock.move(20.0)

    await calls.make()

    assert calls.kit.serving() == {"b", "c"}
