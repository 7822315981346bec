"""A gateway in front of a fake Anthropic with two accounts, for tests of Claude over real sockets."""

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from tests.fakes.anthropic_api import AnthropicApi, anthropic_api
from tests.fakes.gateway_fixture import Gateway, Registry, running_gateway
from tests.fakes.plain_sdk import plain_sdk


@pytest.fixture
async def api() -> AsyncIterator[AnthropicApi]:
    async with anthropic_api() as api:
        yield api


@pytest.fixture
async def claude(database_url: str, registry: Registry, api: AnthropicApi) -> AsyncIterator[Gateway]:
    """A gateway with two accounts of Anthropic's; its route is the seeded one."""
    await registry.add_provider("anthropic", api.url, kind="anthropic", supported_models=[])
    await registry.add_account("sk-ant-a", "anthropic", tier=0)
    await registry.add_account("sk-ant-b", "anthropic", tier=1)
    async with running_gateway(database_url) as gateway:
        await gateway.serves(accounts=2)
        yield gateway


@pytest.fixture
async def client(claude: Gateway) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's own SDK."""
    async with plain_sdk(claude.url) as client:
        yield client
