"""A sandbox with any key, the public tables, and a gateway with a provider `openai` that leads to the sandbox."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from gateway.sandbox.server import Sandbox
from tests.e2e.owners import World, running_world
from tests.emptied import Databases
from tests.fakes.claude_fixture import api, claude, client
from tests.fakes.gateway_fixture import Gateway, Registry, connected, running_gateway
from tests.fakes.sandbox_fixture import running_sandbox, sandbox
from tests.waits import PATIENCE_S

__all__ = ["api", "claude", "client", "sandbox"]


PATIENT = ("relay.batch_uploads.STORE_S", "relay.known_ids.FIND_TIMEOUT_S", "relay.known_ids.STORED_WITHIN_S",
           "relay.owed.CLAIM_S", "store.engine.POOL_TIMEOUT_S", "store.tokens.PATIENCE_S")  # fmt: skip


@pytest.fixture(autouse=True)
def patient_with_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Postgres that is slow today does not count as gone: what gateways do without it has tests of its own."""
    for name in PATIENT:
        monkeypatch.setattr(f"gateway.{name}", PATIENCE_S)


@pytest.fixture
async def registry(databases: Databases, database_url: str) -> Registry:
    return Registry(await databases.opened(database_url))


@pytest.fixture
async def gateway(database_url: str, registry: Registry, sandbox: Sandbox) -> AsyncIterator[Gateway]:
    """With the provider, without an account."""
    await registry.add_provider("openai", sandbox.url)
    async with running_gateway(database_url) as gateway:
        yield gateway


@pytest.fixture
async def pair(gateway: Gateway, registry: Registry) -> Gateway:
    """The gateway with two accounts, `sk-a` first and `sk-b` second."""
    await registry.add_account("sk-a", tier=0)
    await registry.add_account("sk-b", tier=1)
    await gateway.serves(accounts=2)
    return gateway


@pytest.fixture
async def world(database_url: str, registry: Registry, sandbox: Sandbox) -> AsyncIterator[World]:
    async with running_world(database_url, registry, sandbox) as world:
        yield world


class Shared(NamedTuple):
    gateway: Gateway
    sandbox: Sandbox


@pytest.fixture(scope="module")
async def shared_app(databases: Databases) -> AsyncIterator[Shared]:
    """What `pair` gives, once for a module whose tests leave the tables alone."""
    url = await databases.take()
    async with running_sandbox() as upstream, connected(url) as registry:
        await registry.add_provider("openai", upstream.url)
        async with running_gateway(url) as gateway:
            await registry.add_account("sk-a", tier=0)
            await registry.add_account("sk-b", tier=1)
            await gateway.serves(accounts=2)
            yield Shared(gateway, upstream)
    await databases.give_back(url)


@pytest.fixture
def shared(shared_app: Shared) -> Shared:
    """The same, with an empty log and nothing held against any account."""
    for account_id in shared_app.gateway.snapshot.accounts:
        shared_app.gateway.service.board.clear(account_id)
    shared_app.sandbox.reset()
    return shared_app
