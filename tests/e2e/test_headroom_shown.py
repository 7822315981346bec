"""An account's status tells what is left of its limits, as its upstream said."""

from gateway.sandbox.config import LimitRule, SandboxConfig
from tests.fakes.gateway_fixture import connected, running_gateway
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
