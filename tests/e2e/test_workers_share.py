"""Two workers of one service and a replica: each knows of the others' calls, and how soon."""

import asyncio
import contextlib

import pytest

from gateway.core.uses import Audience
from gateway.notify.neighbours import open_lines
from gateway.sandbox.config import KeyConfig, LimitRule, SandboxConfig
from tests.fakes.gateway_fixture import connected, running_gateway
from tests.fakes.sandbox_fixture import running_sandbox
from tests.waits import PATIENCE_S


@pytest.fixture
async def gateways(database_url):
    """Two workers of one service and a replica, before a sandbox with one key that is soon near its limit."""
    config = SandboxConfig(keys={"sk-a": KeyConfig()}, limits=(LimitRule(requests=40, period_s=20.0),))
    async with contextlib.AsyncExitStack() as stack:
        lines = [stack.enter_context(line) for line in open_lines(2)]
        sandbox = await stack.enter_async_context(running_sandbox(config))
        registry = await stack.enter_async_context(connected(database_url))
        await registry.add_provider("openai", sandbox.url)
        await registry.add_account("sk-a")
        places = ((lines, 0), (lines, 1), ((), 0))
        some = [
            await stack.enter_async_context(running_gateway(database_url, lines=its_lines, place=place))
            for its_lines, place in places
        ]
        for gateway in some:
            await gateway.serves(accounts=1)
        yield some


def company(gateway):
    """How many processes of each audience it knows of on the scope."""
    headrooms = gateway.service.board.headrooms._by_scope.values()
    others = [other for headroom in headrooms for other in headroom.company.others.values()]
    return [sum(other.audience is audience for other in others) for audience in Audience]


async def test_workers_are_neighbours_and_a_replica_is_none(gateways):
    async with asyncio.timeout(PATIENCE_S):
        while [company(gateway) for gateway in gateways] != [[1, 1], [1, 1], [0, 2]]:
            await asyncio.gather(*(gateway.chat(headers={"x-gateway-max-wait": "0"}) for gateway in gateways))
