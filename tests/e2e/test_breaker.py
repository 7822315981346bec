"""A provider that fails whoever asks: left alone for a moment, found out by one call; callers hardly notice."""

import asyncio

import pytest

from gateway.core.ids import AccountId
from gateway.sandbox.faults import Fault
from tests.fakes.gateway_fixture import until

BROKEN = "server_error"


@pytest.fixture
async def broken(pair, sandbox):
    """`pair`, once its provider has failed for every account and its breaker has opened."""
    fault = Fault(BROKEN, times=None)
    sandbox.script(fault)
    await asyncio.gather(*[pair.chat(headers={"x-gateway-max-wait": "0"}) for _ in range(12)])
    assert is_open(pair)
    return pair


def is_open(gateway):
    return gateway.service.board.breakers.is_open_at("openai")


async def test_calls_wait_for_an_upstream_that_flaps_and_none_is_lost(broken, sandbox):
    sandbox.reset()

    answers = await asyncio.gather(*[broken.chat() for _ in range(20)])

    assert [answer.status_code for answer in answers] == [200] * 20
    assert not is_open(broken)
    probe, *rest = sorted(sandbox.log, key=lambda seen: seen.at)
    assert all(seen.at >= probe.head_at for seen in rest), "one probe goes first"


async def test_callers_without_patience_are_told_when_to_come_back(broken, sandbox):
    seen = len(sandbox.log)

    answer = await broken.chat(headers={"x-gateway-max-wait": "0"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert 0 < int(answer.headers["retry-after-ms"]) <= 1000
    assert len(sandbox.log) == seen, "the upstream is left alone"


async def test_other_models_of_the_provider_go_on(broken, sandbox):
    sandbox.reset()

    answer = await broken.chat(model="gpt-4o")

    assert answer.status_code == 200


async def test_the_breaker_is_shown_while_it_is_open(broken, sandbox):
    assert 'gateway_breaker_open{provider="openai"} 1' in (await broken.get("/metrics")).text
    sandbox.reset()

    await broken.chat()

    assert 'gateway_breaker_open{provider="openai"} 0' in (await broken.get("/metrics")).text


async def test_pages_say_what_rests_and_why(broken, sandbox):
    account = next(iter(broken.snapshot.accounts))

    health = (await broken.get("/health")).json()
    status = (await broken.get(f"/api/v1/accounts/{account}/status")).json()

    assert health["status"] == "degraded"
    assert "provider openai rests for gpt-4: upstream_error" in health["problems"]
    assert status["breakers"] == health["breakers"]
    (shown,) = status["breakers"]
    assert (shown["span"], shown["what"], shown["reason"], shown["strikes"]) == ("model", "gpt-4", "upstream_error", 1)
    sandbox.reset()

    await broken.chat()

    assert (await broken.get("/health")).json()["breakers"] == []


async def test_refused_connections_are_waited_out(pair, sandbox):
    sandbox.script(Fault("refuse", seconds=1.5))
    patience = {"x-gateway-max-wait": "10"}

    answers = await asyncio.gather(*[pair.chat(headers=patience) for _ in range(12)])
    late = await asyncio.gather(*[pair.chat(headers=patience) for _ in range(12)])

    assert {answer.status_code for answer in late} == {200}
    assert {answer.status_code for answer in answers} <= {200, 502}, "the first met the refusal themselves"
    await until(lambda: not is_open(pair), "closed again")


async def test_an_outage_of_authentication_parks_no_account(pair, sandbox):
    sandbox.script(Fault("invalid_api_key", times=None))
    first = [await pair.chat(headers={"x-gateway-max-wait": "0"}) for _ in range(4)]
    sandbox.reset()

    second = await pair.chat()

    assert {answer.status_code for answer in first} == {503}
    assert second.status_code == 200
    assert all(pair.service.board.status_of(AccountId(each)) == [] for each in pair.snapshot.accounts)
