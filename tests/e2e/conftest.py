"""A sandbox with any key, the public tables, and a gateway with a provider `openai` that leads to the sandbox."""

from collections.abc import AsyncIterator

import pytest

from gateway.sandbox.server import Sandbox
from tests.fakes.gateway_fixture import Gateway, Registry, connected, running_gateway
from tests.fakes.sandbox_fixture import sandbox

__all__ = ["sandbox"]


@pytest.fixture
async def registry(database_url: str) -> AsyncIterator[Registry]:
    async with connected(database_url) as registry:
        yield registry


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
