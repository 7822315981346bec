"""The sandbox provider inside a test: in the test's own event loop, on a free port.

async with running_sandbox(SandboxConfig(keys={"sk-a": KeyConfig(org="org-a")})) as sandbox:
    sandbox.script("reset_before_headers", key="sk-a")
    ... sandbox.url ... sandbox.log ...
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.server import Sandbox


@asynccontextmanager
async def running_sandbox(config: SandboxConfig | None = None) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(config)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """One that lets every key in and limits nothing. Import this name into the conftest.py that wants it."""
    async with running_sandbox() as running:
        yield running
