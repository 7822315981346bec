"""An account's status tells what is left of its limits, as its upstream said."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest

from gateway.sandbox.config import LimitRule, SandboxConfig
from gateway.telemetry.headroom_book import HeadroomBook
from tests.fakes.gateway_fixture import Gateway, Registry, running_gateway, until
from tests.fakes.sandbox_fixture import running_sandbox


class Limited(NamedTuple):
    """A gateway with one account, of ten requests an hour for each model."""

    gateway: Gateway
    account_id: str

    async def status(self) -> dict[str, Any]:
        return (await self.gateway.get(f"/api/v1/accounts/{self.account_id}/status")).json()


@pytest.fixture
async def limited(database_url: str, registry: Registry) -> AsyncIterator[Limited]:
    limits = SandboxConfig(limits=(LimitRule(requests=10, period_s=3600.0),))
    async with running_sandbox(limits) as sandbox:
        await registry.add_provider("openai", sandbox.url)
        async with running_gateway(database_url) as gateway:
            account_id = await registry.add_account("sk-a")
            await gateway.serves(accounts=1)
            yield Limited(gateway, account_id)


async def test_status_shows_what_is_left_of_each_models_limits(limited):
    before = await limited.status()
    for _ in range(3):
        assert (await limited.gateway.chat()).status_code == 200
    after = await limited.status()

    assert before["headroom"] == []
    (model,) = after["headroom"]
    assert model["what"] == "gpt-4"
    (requests,) = model["limits"]
    assert (requests["dimension"], requests["limit"], requests["left"]) == ("requests", 10, 7)


async def test_status_shows_what_another_worker_was_told_later(limited):
    service = limited.gateway.service
    assert (await limited.gateway.chat()).status_code == 200
    (own,) = service.board.headrooms.of_holder(limited.account_id, service.clock.now())
    (limit,) = own.limits
    later = msgspec.structs.replace(limit, left=4.0, refill_per_s=0.0, told_at=limit.told_at + 0.1)
    other_model = msgspec.structs.replace(own, what="o3")
    HeadroomBook(service.metrics.directory, "1").note([msgspec.structs.replace(own, limits=(later,)), other_model])

    status = await limited.status()

    assert [(model["what"], model["limits"][0]["left"]) for model in status["headroom"]] == [("gpt-4", 4), ("o3", 9)]


async def test_worker_writes_what_it_was_told_for_the_others(limited):
    assert (await limited.gateway.chat()).status_code == 200
    book = HeadroomBook(limited.gateway.service.metrics.directory, "1")
    await until(book.read, "the worker's book")
    (seen,) = book.read()

    assert (seen.holder, seen.what, round(seen.limits[0].left)) == (limited.account_id, "gpt-4", 9)
