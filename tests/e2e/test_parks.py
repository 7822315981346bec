"""Timeouts, parks that travel to other gateways and outlive one, and every account being tried."""

import asyncio
import json
from datetime import UTC, datetime

from gateway.core.cooldown import Phase
from gateway.sandbox.faults import Fault
from tests.fakes.gateway_fixture import running_gateway, until
from tests.fakes.leap import LIMIT_S, over_silence
from tests.waits import PATIENCE_S

CHAT = "/v1/chat/completions"


def keys(sandbox):
    return [seen.key for seen in sandbox.log if seen.path == CHAT]


def held_scopes(gateway, label):
    (account,) = [account for account in gateway.snapshot.accounts.values() if account.label == label]
    return gateway.service.board.status_of(account.id)


def held_against(gateway, label):
    """What is known against an account: scope kind, reason, phase."""
    return {(str(one.kind), str(one.reason), one.state) for one in held_scopes(gateway, label)}


async def test_one_500_is_repeated_on_the_only_account(gateway, registry, sandbox):
    await registry.add_account("sk-a")
    await gateway.serves(accounts=1)
    sandbox.script("server_error")

    answer = await gateway.chat()

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")


async def test_a_silent_account_is_given_up_and_one_other_tried(pair, registry, sandbox):
    await limit(pair, registry, timeout_s=3 * LIMIT_S, stall_timeout_s=LIMIT_S, first_token_timeout_s=LIMIT_S)
    sandbox.script(Fault("stall_in_body", key="sk-a", after=0))

    answer = await over_silence(sandbox, pair.chat())

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")


async def test_silence_everywhere_is_a_504(pair, registry, sandbox):
    await limit(pair, registry, timeout_s=0.3)
    sandbox.script(Fault("stall_before_headers", times=None))

    answer = await pair.chat()

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    await sandbox.wait_for(lambda log: all(seen.is_hung_up for seen in log))


async def limit(gateway, registry, **settings):
    await registry.execute("UPDATE providers SET settings = $1", json.dumps(settings))
    timeout_s = settings["timeout_s"]
    await until(lambda: gateway.snapshot.providers["openai"].settings.timeout_s == timeout_s, "the new timeout")


async def test_every_healthy_account_is_tried_before_a_call_fails(gateway, registry, sandbox):
    for number in range(12):
        await registry.add_account(f"sk-{number}", tier=number)
    await gateway.serves(accounts=12)
    sandbox.script([Fault("rate_limited", key=f"sk-{number}", retry_after="60") for number in range(11)])

    answer = await gateway.chat()

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "12")
    assert keys(sandbox) == [f"sk-{number}" for number in range(12)]


async def test_a_park_is_heard_by_the_other_gateway(pair, database_url, sandbox):
    async with running_gateway(database_url) as other:
        await until(lambda: other.service.listener.state.is_connected, "the other's listener")
        for model in ("gpt-4o", "gpt-4"):  # the first news opens the announcer's connection
            known = len(held_scopes(other, "sk-a"))
            sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60"))
            await pair.chat(model=model)
            await until(lambda known=known: len(held_scopes(other, "sk-a")) > known, f"the park of {model}")
        await other.chat()

    assert keys(sandbox) == ["sk-a", "sk-b", "sk-a", "sk-b", "sk-b"]


async def test_a_long_park_survives_a_restart(pair, database_url, registry, sandbox):
    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60"))
    await pair.chat()
    await until_stored(registry)

    async with running_gateway(database_url) as successor:
        await successor.chat()

    assert keys(sandbox) == ["sk-a", "sk-b", "sk-b"]


async def until_stored(registry):
    async with asyncio.timeout(PATIENCE_S):
        while not await registry.connection.fetchval("SELECT count(*) FROM cooldowns"):
            pass


async def test_an_operator_clears_a_cooldown(pair, registry, sandbox):
    sandbox.script(Fault("invalid_api_key", key="sk-a"))
    await pair.chat()

    assert held_against(pair, "sk-a") == {("account", "credential_rejected", Phase.COOLING)}
    account_id = next(account.id for account in pair.snapshot.accounts.values() if account.label == "sk-a")
    cleared = await pair.client.post(f"/api/v1/accounts/{account_id}/clear-cooldown")

    assert cleared.status_code < 300
    assert held_against(pair, "sk-a") == set()
    await pair.chat()
    assert keys(sandbox) == ["sk-a", "sk-b", "sk-a"]


async def test_an_operator_moves_and_ends_rests_by_plain_sql(pair, registry, sandbox):
    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60"))
    await pair.chat()
    await until_stored(registry)

    def left_s():
        (rest,) = held_scopes(pair, "sk-a")
        return (rest.until_at - datetime.now(UTC)).total_seconds()

    await registry.execute("UPDATE cooldowns SET until_at = now() + interval '30 s'")
    await until(lambda: 0 < left_s() <= 30, "the shorter rest")
    await registry.execute("UPDATE cooldowns SET until_at = now() + interval '1 h'")
    await until(lambda: left_s() > 3000, "the longer rest")
    await registry.execute("UPDATE cooldowns SET until_at = now()")
    await until(lambda: left_s() <= 0, "a rest that is over")
    await registry.execute("UPDATE cooldowns SET until_at = now() + interval '1 h'")
    await until(lambda: left_s() > 3000, "the rest that began anew")
    await registry.execute("TRUNCATE cooldowns")
    await until(lambda: held_against(pair, "sk-a") == set(), "nobody who rests")
