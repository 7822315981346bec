"""Which account a call goes to: even shares, weights, tiers, allow-lists, groups, room."""

import asyncio
from collections import Counter

import pytest

from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault
from tests.fakes.leap import LIMIT_S, leap
from tests.waits import PATIENCE_S

CHAT = "/v1/chat/completions"


def shares(sandbox):
    return Counter(seen.key for seen in sandbox.log if seen.path == CHAT)


async def calls(gateway, count, **options):
    answers = [await gateway.chat(**options) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {200}
    return answers


async def test_accounts_share_calls_evenly(gateway, registry, sandbox):
    for name in "abcde":
        await registry.add_account(f"sk-{name}")
    await gateway.serves(accounts=5)

    await calls(gateway, 50)

    assert set(shares(sandbox).values()) == {10}


async def test_accounts_share_concurrent_calls_evenly(gateway, registry, sandbox):
    for name in "abcde":
        await registry.add_account(f"sk-{name}")
    await gateway.serves(accounts=5)
    await at_once(gateway, sandbox, 50, held=50)

    assert set(shares(sandbox).values()) == {10}


async def test_an_account_of_triple_weight_takes_three_calls_of_four(gateway, registry, sandbox):
    await registry.add_account("sk-heavy", weight=3.0)
    await registry.add_account("sk-light", weight=1.0)
    await gateway.serves(accounts=2)

    await calls(gateway, 40)

    assert shares(sandbox) == {"sk-heavy": 30, "sk-light": 10}


async def test_a_lower_tier_serves_alone_until_it_rests(pair, sandbox):
    await calls(pair, 5)
    assert shares(sandbox) == {"sk-a": 5}

    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="30"))
    await calls(pair, 5)
    assert shares(sandbox) == {"sk-a": 6, "sk-b": 5}


@pytest.mark.parametrize(("strategy", "expected"), [("round_robin", {5}), ("fill_first", {10})])
async def test_the_strategy_of_the_provider_is_followed(gateway, registry, sandbox, strategy, expected):
    await registry.add_account("sk-a")
    await registry.add_account("sk-b")
    await registry.execute("UPDATE providers SET settings = jsonb_build_object('strategy', $1::text)", strategy)
    await gateway.serves(accounts=2)

    async with asyncio.timeout(PATIENCE_S):
        while gateway.snapshot.providers["openai"].settings.strategy.value != strategy:
            await gateway.get("/health/live")
    await calls(gateway, 10)

    assert set(shares(sandbox).values()) == expected


async def test_an_accounts_own_list_of_models_is_kept_to(gateway, registry, sandbox):
    await registry.add_account("sk-a", supported_models=["gpt-4"])
    await registry.add_account("sk-b", supported_models=["gpt-4o"])
    await gateway.serves(accounts=2)

    await calls(gateway, 3, model="gpt-4")
    await calls(gateway, 2, model="GPT-4o")

    assert shares(sandbox) == {"sk-a": 3, "sk-b": 2}


async def test_a_quota_group_rests_together(gateway, registry, sandbox):
    await registry.add_account("sk-a", quota_group="org-1", tier=0)
    await registry.add_account("sk-b", quota_group="org-1", tier=0)
    await registry.add_account("sk-c", tier=1)
    await gateway.serves(accounts=3)
    sandbox.script([Fault("rate_limited", key=key, retry_after="30") for key in ("sk-a", "sk-b")])

    (answer,) = await calls(gateway, 1)

    assert answer.headers["x-gateway-attempts"] == "2"
    assert sandbox.log[-1].key == "sk-c"


async def test_a_rate_limit_parks_one_model_and_an_empty_purse_parks_all(pair, sandbox):
    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="30"))
    await calls(pair, 1)
    await calls(pair, 1, model="gpt-4o")
    assert shares(sandbox) == {"sk-a": 2, "sk-b": 1}

    sandbox.script(Fault("insufficient_quota", key="sk-a"))
    await calls(pair, 2, model="gpt-4o")
    assert shares(sandbox) == {"sk-a": 3, "sk-b": 3}


async def test_max_concurrency_is_kept_and_who_waits_is_served(gateway, registry, sandbox):
    await registry.add_account("sk-a", max_concurrency=2)
    await gateway.serves(accounts=1)
    answers = await at_once(gateway, sandbox, 6, held=2)

    assert {answer.status_code for answer in answers} == {200}
    assert most_at_once(sandbox) == 2


async def at_once(gateway, sandbox, count, *, held):
    """The answers of so many calls; the first `held` of them end only when all these have come to the upstream."""
    sandbox.behave("gpt-4", Behaviour(delay_s=LIMIT_S))
    calls = [asyncio.ensure_future(gateway.chat()) for _ in range(count)]
    await sandbox.wait_for(lambda log: len(log) >= held)
    sandbox.behave("gpt-4", Behaviour())
    await leap(LIMIT_S)
    return await asyncio.gather(*calls)


def most_at_once(sandbox):
    moments = [(seen.at, 1) for seen in sandbox.log] + [(seen.ended_at, -1) for seen in sandbox.log]
    running, most = 0, 0
    for _, step in sorted(moments):
        running += step
        most = max(most, running)
    return most


async def test_room_is_no_reason_to_wait_while_another_account_has_some(gateway, registry, sandbox):
    await registry.add_account("sk-a", max_concurrency=1, tier=0)
    await registry.add_account("sk-b", tier=1)
    await gateway.serves(accounts=2)
    await at_once(gateway, sandbox, 4, held=4)

    assert shares(sandbox) == {"sk-a": 1, "sk-b": 3}


async def test_a_stream_holds_its_place_until_its_last_byte(gateway, registry, sandbox):
    await registry.add_account("sk-a", max_concurrency=1)
    await gateway.serves(accounts=1)
    sandbox.behave("gpt-4", Behaviour(chunks=5, gap_s=0.05))

    first = asyncio.create_task(gateway.chat("long", stream=True))
    await sandbox.wait_for(lambda log: len(log) == 1)
    second = await gateway.chat("second")

    assert (await first).status_code == second.status_code == 200
    assert sandbox.log[0].ended_at <= sandbox.log[1].at


async def test_a_provider_is_chosen_by_its_header(pair, registry, sandbox):
    await registry.add_provider("other", sandbox.url, supported_models=[])
    await registry.add_account("sk-other", "other")
    await pair.serves(accounts=3)

    answer = await pair.chat(headers={"x-provider": "other"})

    assert answer.headers["x-gateway-provider"] == "other"
    assert [seen.key for seen in sandbox.log if seen.method == "POST"] == ["sk-other"]
