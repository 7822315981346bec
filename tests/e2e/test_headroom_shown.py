"""An account's status tells what is left of its limits, as its upstream said."""

import msgspec

from gateway.sandbox.config import LimitRule, SandboxConfig
from gateway.telemetry.headroom_book import HeadroomBook
from tests.fakes.gateway_fixture import connected, running_gateway, until
from tests.fakes.sandbox_fixture import running_sandbox


async def test_status_shows_what_is_left_of_each_models_limits(database_url):
    limits = SandboxConfig(limits=(LimitRule(requests=10, period_s=3600.0),))
    async with running_sandbox(limits) as sandbox, connected(database_url) as registry:
        await registry.add_provider("openai", sandbox.url)
        async with running_gateway(database_url) as gateway:
            account_id = await registry.add_account("sk-a")
            await gateway.serves(accounts=1)
            before = (await gateway.get(f"/api/v1/accounts/{account_id}/status")).json()
            for _ in range(3):
                assert (await gateway.chat()).status_code == 200
            after = (await gateway.get(f"/api/v1/accounts/{account_id}/status")).json()

    assert before["headroom"] == []
    (model,) = after["headroom"]
    assert model["what"] == "gpt-4"
    (requests,) = model["limits"]
    assert (requests["dimension"], requests["limit"], requests["left"]) == ("requests", 10, 7)


async def test_status_shows_what_another_worker_was_told_later(database_url):
    limits = SandboxConfig(limits=(LimitRule(requests=10, period_s=3600.0),))
    async with running_sandbox(limits) as sandbox, connected(database_url) as registry:
        await registry.add_provider("openai", sandbox.url)
        async with running_gateway(database_url) as gateway:
            account_id = await registry.add_account("sk-a")
            await gateway.serves(accounts=1)
            assert (await gateway.chat()).status_code == 200
            board, clock = gateway.service.board, gateway.service.clock
            (own,) = board.headrooms.of_holder(account_id, clock.now())
            (limit,) = own.limits
            later = msgspec.structs.replace(limit, left=4.0, refill_per_s=0.0, told_at=limit.told_at + 0.1)
            other_model = msgspec.structs.replace(own, what="o3")
            HeadroomBook(gateway.service.metrics.directory, "1").note(
                [msgspec.structs.replace(own, limits=(later,)), other_model]
            )
            status = (await gateway.get(f"/api/v1/accounts/{account_id}/status")).json()

    assert [(model["what"], model["limits"][0]["left"]) for model in status["headroom"]] == [("gpt-4", 4), ("o3", 9)]


async def test_worker_writes_what_it_was_told_for_the_others(database_url):
    limits = SandboxConfig(limits=(LimitRule(requests=10, period_s=3600.0),))
    async with running_sandbox(limits) as sandbox, connected(database_url) as registry:
        await registry.add_provider("openai", sandbox.url)
        async with running_gateway(database_url) as gateway:
            account_id = await registry.add_account("sk-a")
            await gateway.serves(accounts=1)
            assert (await gateway.chat()).status_code == 200
            book = HeadroomBook(gateway.service.metrics.directory, "1")
            await until(book.read, 5.0, "the worker's book")
            (seen,) = book.read()

    assert (seen.holder, seen.what, round(seen.limits[0].left)) == (account_id, "gpt-4", 9)
