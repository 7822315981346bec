"""Two gateways over one Postgres: what one learns of limits, parks and organisations, the other knows."""

import asyncio

import pytest

from gateway.core.call import Call
from gateway.core.ids import CallId, ModelName
from gateway.sandbox.config import KeyConfig, LimitRule, SandboxConfig
from gateway.sandbox.faults import Fault
from gateway.wire.endpoints import find
from tests.fakes.gateway_fixture import connected, running_gateway, until
from tests.fakes.sandbox_fixture import running_sandbox
from tests.waits import PATIENCE_S

AT_ONCE_S = 0.2
"""SPEC §4: parks reach every worker and replica within 200 ms."""


@pytest.fixture
async def replicas(database_url):
    """A sandbox with four keys of one organisation, and two gateways before it that hear each other."""
    config = SandboxConfig(
        keys={f"sk-{name}": KeyConfig(org="org-one") for name in "abcd"},
        limits=(LimitRule(requests=40, period_s=20.0),),
    )
    async with running_sandbox(config) as sandbox, connected(database_url) as registry:
        await registry.add_provider("openai", sandbox.url)
        async with running_gateway(database_url) as one, running_gateway(database_url) as other:
            for name in "abcd":
                await registry.add_account(f"sk-{name}")
            for gateway in (one, other):
                await gateway.serves(accounts=4)
                await until(lambda gateway=gateway: gateway.service.listener.state.is_connected, "its listener")
            yield one, other, sandbox, registry


def account_of(gateway, label):
    return next(account for account in gateway.snapshot.accounts.values() if account.label == label)


def is_parked(gateway, label):
    return bool(gateway.service.board.status_of(account_of(gateway, label).id))


async def parked_by_a_call(gateway, sandbox, label, *, model="gpt-4"):
    """`label` refuses every call of the model until the gateway has met that."""
    sandbox.script(Fault("insufficient_quota", key=label, times=None))
    while not is_parked(gateway, label):
        await gateway.chat(model=model)


async def test_a_park_is_known_to_the_other_at_once(replicas):
    one, other, sandbox, _ = replicas
    await parked_by_a_call(one, sandbox, "sk-a")  # the first news opens the announcer's connection
    await until(lambda: is_parked(other, "sk-a"), "the first park")

    slept, sleep = [], one.service.announcer._sleep
    one.service.announcer._sleep = lambda seconds: slept.append(seconds) or sleep(seconds)
    for label in ("sk-b", "sk-c"):
        await parked_by_a_call(one, sandbox, label)
        await until(lambda label=label: is_parked(other, label), f"the park of {label}")

    assert sum(slept) < AT_ONCE_S, "what the news itself waits for: the rest is the machine's"


async def test_what_was_told_while_nobody_listened_is_read_from_the_table(replicas):
    one, other, sandbox, registry = replicas
    listener = other.service.listener
    before = listener.state.connects
    await registry.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'gateway listener' AND datname = current_database()"
    )

    await parked_by_a_call(one, sandbox, "sk-a")
    await until(lambda: is_parked(other, "sk-a"), "the park")
    await until(lambda: listener.state.is_connected and listener.state.connects > before, "the listener")

    await parked_by_a_call(one, sandbox, "sk-b")
    await until(lambda: is_parked(other, "sk-b"), "the next park")


async def test_gateways_near_a_limit_know_that_they_share_it(replicas):
    one, other, _, _ = replicas

    def sharers(gateway):
        headrooms = gateway.service.board.headrooms
        now = gateway.service.clock.now()
        return [headroom.sharers(now) for headroom in headrooms._by_scope.values() if headroom.is_near(now)]

    async with asyncio.timeout(PATIENCE_S):
        while 2 not in sharers(one) or 2 not in sharers(other):
            await asyncio.gather(*(gateway.chat(headers={"x-gateway-max-wait": "0"}) for gateway in (one, other)))


async def test_an_organisation_that_one_learned_is_known_to_the_other_kept_and_offered(replicas):
    one, other, _, registry = replicas
    label = "sk-a"

    async with asyncio.timeout(PATIENCE_S):
        while account_of(other, label).holder != "organization:openai:org-one":
            await one.chat(headers={"x-gateway-max-wait": "0"})
            other.service.board.pools.pool_for(a_call())  # a look, as each of its calls takes one

    status = (await other.get(f"/api/v1/accounts/{account_of(other, label).id}/status")).json()
    assert status["organization"]["suggested_quota_group"] == "org-one"
    assert status["organization"]["shares_limits"] is True
    assert sorted(status["organization"]["others"]) == ["sk-b", "sk-c", "sk-d"]
    kept = "SELECT count(*) FROM account_organizations WHERE organization = 'org-one' AND is_shared"
    async with asyncio.timeout(PATIENCE_S):
        while await registry.connection.fetchval(kept) < 4:
            await asyncio.wait({asyncio.ensure_future(one.chat())}, timeout=1.0)


def a_call():
    return Call(id=CallId("look"), endpoint=find("POST", "/chat/completions"), model=ModelName("gpt-4"))
