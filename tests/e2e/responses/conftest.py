"""An upstream that serves responses over WebSockets, and gateways before it."""

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from tests.e2e.realtime.conftest import gateway, keyed, upstream
from tests.fakes.gateway_fixture import Gateway
from tests.fakes.response_socket import ResponseSocket
from tests.fakes.socket_upstream import SocketUpstream

__all__ = ["gateway", "keyed", "upstream"]


@pytest.fixture
def talk(upstream: SocketUpstream) -> ResponseSocket:
    upstream.script = talk = ResponseSocket()
    return talk


@pytest.fixture
async def client(gateway: Gateway, talk: ResponseSocket) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="any", base_url=f"{gateway.url}/v1") as client:
        yield client
