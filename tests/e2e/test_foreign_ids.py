"""Ids that were made outside of the gateway."""

import openai
import pytest

from gateway.sandbox.server import Sandbox
from gateway.settings import ForeignIds, Settings
from tests.e2e.owners import World, made_outside, sdk
from tests.fakes.gateway_fixture import Registry, running_gateway


async def test_an_id_made_elsewhere_is_looked_for_once(world: World) -> None:
    ids = [await made_outside(world.sandbox, key) for key in ("sk-a", "sk-b")]

    for id_ in ids:
        for client in (world.ann, world.bob, world.ann_too, world.ann):
            assert (await client.files.retrieve(id_)).id == id_
        assert len(world.seen(f"/v1/files/{id_}")) == 4 + 2, "both accounts once, then the one that has it"


async def test_an_id_that_nobody_has_is_looked_for_once_a_minute(world: World) -> None:
    for _ in range(3):
        with pytest.raises(openai.NotFoundError) as refused:
            await world.ann.files.retrieve("file-000000000000000000000099")

    assert "No such File object" in refused.value.message, "as the upstream says it"
    assert len(world.seen("/v1/files/file-000000000000000000000099")) == 2 + 3


async def test_foreign_ids_can_be_refused(database_url: str, registry: Registry, sandbox: Sandbox) -> None:
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with (
        running_gateway(database_url, Settings(foreign_ids=ForeignIds.REFUSE)) as gateway,
        sdk(gateway) as client,
    ):
        await gateway.serves(accounts=1)
        with pytest.raises(openai.NotFoundError) as refused:
            await client.files.retrieve("file-000000000000000000000001")

    assert refused.value.code == "object_not_found"
    assert sandbox.log[-1:] == [] or sandbox.log[-1].path == "/v1/models"
