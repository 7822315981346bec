"""Both engines, on both event loops: one suite."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvloop

from gateway.upstream.http1 import Http1Engine
from gateway.upstream.httpx_engine import HttpxEngine

Engine = Http1Engine | HttpxEngine
OpenEngine = Callable[..., AbstractAsyncContextManager[Engine]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[Http1Engine, HttpxEngine], ids=["http1", "httpx"])
def open_engine(request: pytest.FixtureRequest) -> OpenEngine:
    """`async with open_engine() as engine`; keywords go to the engine."""

    @asynccontextmanager
    async def opened(**options: object) -> AsyncIterator[Engine]:
        engine = request.param(**options)
        try:
            yield engine
        finally:
            await engine.aclose()

    return opened


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    assert not left
