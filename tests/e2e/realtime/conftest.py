"""An upstream that speaks realtime, and gateways before it."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.core.ids import Secret
from gateway.settings import AuthMode
from tests.fakes.gateway_fixture import DEFAULTS, Gateway, Registry, running_gateway
from tests.fakes.socket_upstream import SocketUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[SocketUpstream]:
    async with SocketUpstream().running() as upstream:
        yield upstream


@pytest.fixture
async def gateway(database_url: str, registry: Registry, upstream: SocketUpstream) -> AsyncIterator[Gateway]:
    """With two accounts, `sk-a` before `sk-b`."""
    await registry.add_provider("openai", upstream.url, supported_models=[])
    async with running_gateway(database_url) as gateway:
        await registry.add_account("sk-a", tier=0)
        await registry.add_account("sk-b", tier=1)
        await gateway.serves(accounts=2)
        yield gateway


@pytest.fixture
async def keyed(database_url: str, registry: Registry, upstream: SocketUpstream) -> AsyncIterator[Gateway]:
    """A gateway that needs client keys, with one account."""
    settings = msgspec.structs.replace(DEFAULTS, auth=AuthMode.KEYS, admin_token=Secret("token"))
    await registry.add_provider("openai", upstream.url, supported_models=[])
    async with running_gateway(database_url, settings) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)
        yield gateway
