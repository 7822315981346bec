"""Sessions by the official Node SDK."""

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.test_node_sdk import modules
from tests.fakes.certificates import self_signed, server_context
from tests.fakes.gateway_fixture import Gateway
from tests.fakes.proxy import _pump
from tests.fakes.raw_server import Peer, raw_server

SCRIPTS = Path(__file__).parents[1] / "node"


async def by_node(gateway: Gateway, script: str, folder: Path) -> Any:
    """What the script prints, which is JSON. Skips the test where node or its packages are missing."""
    node, found = shutil.which("node"), modules()
    if node is None or found is None or not (found / "ws").is_dir():
        pytest.skip("needs node and the npm packages `openai` and `ws`, then OPENAI_NODE_MODULES=…/node_modules")
    (folder / "node_modules").symlink_to(found)
    shutil.copy(SCRIPTS / script, folder)
    pem = self_signed(folder)

    async def in_front(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))

    async with raw_server(in_front, tls=server_context(pem)) as front:  # the SDK dials wss: alone
        done = await asyncio.to_thread(
            subprocess.run,
            [node, script, f"https://127.0.0.1:{front.origin.port}/v1"],
            cwd=folder,
            env={"NODE_EXTRA_CA_CERTS": str(pem)},
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout)
