"""When accounts rest: waiting, probes, recovery, growth, and the answers when nobody can serve."""

import asyncio
from collections import Counter

import pytest

from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault
from tests.fakes.gateway_fixture import until
from tests.fakes.leap import LIMIT_S, leap


@pytest.fixture
async def single(gateway, registry):
    await registry.add_account("sk-a")
    await gateway.serves(accounts=1)
    return gateway


def rate_limited(retry_after_ms, **fields):
    return Fault("rate_limited", retry_after_ms=str(retry_after_ms), **fields)


def statuses_of(gateway):
    (account_id,) = gateway.snapshot.accounts
    return gateway.service.board.status_of(account_id)


def rests_of(gateway, monkeypatch):
    """How long accounts are told to rest, as it comes: a call that waited for one may have waited for the machine."""
    rests_s = []
    tell = lambda park: rests_s.append((park.until_at - park.since_at).total_seconds())  # noqa: E731  # used once
    monkeypatch.setattr(gateway.service.announcer, "announce", tell)
    return rests_s


async def test_a_short_rest_is_waited_for(single, sandbox, monkeypatch):
    rests_s = rests_of(single, monkeypatch)
    sandbox.script(rate_limited(300))

    answer = await single.chat()

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
    first, second = sandbox.log
    assert second.at - first.at >= 0.3
    assert 0.3 <= rests_s[0] < 0.6


async def test_a_parked_account_gets_no_call_before_its_time_then_one_probe(pair, sandbox):
    sandbox.behave("gpt-4", Behaviour(delay_s=0.15))
    sandbox.script(rate_limited(400, key="sk-a"))
    await pair.chat()
    parked_at = sandbox.log[0].at

    async def burst():
        return await asyncio.gather(*[pair.chat() for _ in range(4)])

    for _ in range(7):
        assert {answer.status_code for answer in await burst()} == {200}

    of_a = [seen for seen in sandbox.log if seen.key == "sk-a"][1:]
    probe, rest = of_a[0], of_a[1:]
    assert probe.at - parked_at >= 0.4
    assert all(seen.at >= probe.head_at for seen in rest), "nobody beside the probe before it has passed"
    assert rest, "it serves again"


async def test_rests_grow_where_no_delay_is_named(single, sandbox, monkeypatch):
    rests_s = rests_of(single, monkeypatch)
    sandbox.script(Fault("slow_down", times=2))

    answer = await single.chat()

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "3")
    first, second, third = sandbox.log
    assert second.at - first.at >= 1.0
    assert third.at - second.at >= 2.0
    assert 1.0 <= rests_s[0] < 1.8
    assert 2.0 <= rests_s[1] < 3.4


async def test_a_success_forgives_the_strikes(single, sandbox):
    sandbox.script(rate_limited(100))
    await single.chat()

    assert statuses_of(single) == []


async def test_a_long_rest_is_told_at_once_and_truly(single, sandbox):
    sandbox.script(Fault("rate_limited", retry_after="60"))

    answer = await single.chat()
    again = await single.chat()

    for each in (answer, again):
        assert each.status_code == 429
        assert each.json()["error"] | {"message": ""} == {
            "message": "", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded",
        }  # fmt: skip
        assert 50 <= int(each.headers["retry-after"]) <= 61
        assert 50_000 < int(each.headers["retry-after-ms"]) <= 61_000
        assert "x-should-retry" not in each.headers
    assert len(sandbox.log) == 1


async def test_beyond_two_minutes_a_retry_is_advised_against(single, sandbox):
    sandbox.script(Fault("rate_limited", retry_after="300"))

    answer = await single.chat()

    assert (answer.status_code, answer.headers["x-should-retry"]) == (429, "false")


async def test_the_soonest_of_all_accounts_is_told(pair, sandbox):
    sandbox.script(
        [Fault("rate_limited", key="sk-a", retry_after="90"), Fault("rate_limited", key="sk-b", retry_after="30")]
    )

    answer = await pair.chat()

    assert answer.status_code == 429
    assert 20 <= int(answer.headers["retry-after"]) <= 31


async def test_who_does_not_want_to_wait_does_not(single, sandbox):
    sandbox.script(rate_limited(50_000))

    answer = await single.chat(headers={"x-gateway-max-wait": "0"})

    assert answer.status_code == 429
    assert 40_000 < int(answer.headers["retry-after-ms"]) <= 51_000


async def test_who_has_little_patience_gets_the_answer_at_once(single, sandbox):
    sandbox.script(Fault("rate_limited", retry_after="5"))

    answer = await single.chat(headers={"x-stainless-read-timeout": "2"})

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) <= 6


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", ""])
async def test_a_wait_that_is_no_number_is_refused(single, sandbox, value):
    answer = await single.chat(headers={"x-gateway-max-wait": value})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-gateway-max-wait")
    assert sandbox.log == []


async def test_all_out_of_quota_is_said_so_and_not_to_be_retried(pair, sandbox):
    sandbox.script(Fault("insufficient_quota", times=None))

    answer = await pair.chat()

    assert answer.status_code == 429
    assert (answer.json()["error"]["type"], answer.json()["error"]["code"]) == ("insufficient_quota",) * 2
    assert answer.headers["x-should-retry"] == "false"


async def test_one_rate_limited_among_poor_ones_is_a_rate_limit(pair, sandbox):
    sandbox.script([Fault("insufficient_quota", key="sk-a"), Fault("rate_limited", key="sk-b", retry_after="40")])

    answer = await pair.chat()

    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 30 <= int(answer.headers["retry-after"]) <= 41


async def test_no_account_at_all_is_a_503(gateway):
    answer = await gateway.chat()

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_account_available")


async def test_those_who_wait_are_served_in_their_order(gateway, registry, sandbox):
    await registry.add_account("sk-a", max_concurrency=1)
    await gateway.serves(accounts=1)
    sandbox.behave("gpt-4", Behaviour(delay_s=LIMIT_S))
    calls = [asyncio.create_task(gateway.chat("0"))]
    await sandbox.wait_for(lambda log: len(log) == 1)
    sandbox.behave("gpt-4", Behaviour())
    for number in range(1, 6):
        calls.append(asyncio.create_task(gateway.chat(str(number))))
        await until(lambda number=number: gateway.service.waiting.calls >= number, "a place in the line")
    await leap(LIMIT_S)

    answers = await asyncio.gather(*calls)

    assert {answer.status_code for answer in answers} == {200}
    order = [seen.body for seen in sandbox.log]
    assert order == sorted(order)


async def test_a_probe_that_is_refused_starts_the_next_rest(single, sandbox):
    sandbox.script(rate_limited(150, times=3))

    answer = await single.chat()

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "4")


async def test_a_caller_who_leaves_the_line_frees_the_place(single, sandbox):
    sandbox.script(Fault("rate_limited", retry_after="5"))
    call = asyncio.create_task(single.chat())
    await until(lambda: single.service.waiting.calls == 1, "the place in the line")

    call.cancel()

    await until(lambda: single.service.waiting.calls == 0, "the place's end")
    assert single.service.gate.calls == 0


async def test_a_storm_on_limited_accounts_ends_with_every_call_served(gateway, registry, sandbox):
    for name in "abcd":
        await registry.add_account(f"sk-{name}")
    await gateway.serves(accounts=4)
    sandbox.script([rate_limited(200, key=f"sk-{name}", times=5) for name in "abcd"])

    answers = await asyncio.gather(*[gateway.chat() for _ in range(100)])

    assert Counter(answer.status_code for answer in answers) == {200: 100}
    assert gateway.service.board.in_flight_calls == 0
