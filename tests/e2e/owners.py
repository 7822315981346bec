"""Two replicas, two accounts, and callers of two owners."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import httpx2
import openai
from openai import AsyncOpenAI

from gateway.core.ids import Secret
from gateway.sandbox.server import Sandbox
from gateway.settings import AuthMode, Settings
from tests.fakes.gateway_fixture import Gateway, Registry, running_gateway, until
from tests.fakes.plain_sdk import plain_sdk

TOKEN = "the-token-of-the-admin"  # noqa: S105  # a test's own
ADMIN = {"authorization": f"Bearer {TOKEN}"}
KEYED = Settings(auth=AuthMode.KEYS, admin_token=Secret(TOKEN))


class World(NamedTuple):
    """Two keyed gateways, two accounts of two organisations, clients of two owners."""

    gateways: list[Gateway]
    sandbox: Sandbox
    registry: Registry
    ann: AsyncOpenAI
    """At the first gateway."""
    ann_too: AsyncOpenAI
    """The same key at the second gateway."""
    ann_new: AsyncOpenAI
    """Another key of the same owner."""
    bob: AsyncOpenAI

    def seen(self, path: str, method: str = "GET") -> list[str]:
        """Keys of the accounts that were asked."""
        return [one.key for one in self.sandbox.log if one.path == path and one.method == method]


async def client_of(gateway: Gateway, owner: str) -> AsyncOpenAI:
    made = await gateway.client.post("/api/v1/keys", json={"name": owner, "owner": owner}, headers=ADMIN)
    assert made.status_code == 201, made.text
    return sdk(gateway, made.json()["key"])


def sdk(gateway: Gateway, key: str = "x") -> AsyncOpenAI:
    return plain_sdk(gateway.url, key)


@asynccontextmanager
async def running_world(database_url: str, registry: Registry, sandbox: Sandbox) -> AsyncIterator[World]:
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    await registry.add_account("sk-b")
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(running_gateway(database_url, KEYED)) for _ in range(2)]
        ann, ann_new, bob = [await client_of(gateways[0], owner) for owner in ("ann", "ann", "bob")]
        for gateway in gateways:
            await until(lambda gateway=gateway: len(gateway.snapshot.keys) == 3, "three keys")
            await gateway.serves(accounts=2)
        ann_too = sdk(gateways[1], ann.api_key)
        clients = [ann, ann_too, ann_new, bob]
        for client in clients:
            stack.push_async_callback(client.close)
        yield World(gateways, sandbox, registry, *clients)


async def respond(client: AsyncOpenAI, text: str = "hi", **fields: object) -> "openai.types.responses.Response":
    return await client.responses.create(model="gpt-4", input=text, **fields)  # type: ignore[call-overload]  # any field


async def made_outside(sandbox: Sandbox, key: str) -> str:
    """A file made outside of the gateway."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        answer = await client.post(
            f"{sandbox.url}/v1/files",
            files={"file": ("a.txt", b"x")},
            data={"purpose": "user_data"},
            headers={"authorization": f"Bearer {key}"},
        )
    made: str = answer.json()["id"]
    return made
