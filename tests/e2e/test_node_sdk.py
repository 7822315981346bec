"""The official Node SDK against the gateway; needs node and an installed `openai` package (NODE_PATH or around)."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from gateway.sandbox.faults import Fault

SCRIPT = Path(__file__).with_name("node") / "calls.mjs"
MODULES = os.environ.get("OPENAI_NODE_MODULES", "")
"""A `node_modules` folder that holds `openai`; empty: looked for where node looks, from the tests upwards."""


def modules():
    folders = [Path(MODULES)] if MODULES else [parent / "node_modules" for parent in SCRIPT.parents]
    return next((folder for folder in folders if (folder / "openai").is_dir()), None)


async def test_the_node_sdk_chats_streams_lists_and_meets_its_errors(shared, tmp_path):
    node, found = shutil.which("node"), modules()
    if node is None or found is None:
        pytest.skip(
            "needs node and the npm package `openai`: npm install openai, then OPENAI_NODE_MODULES=…/node_modules"
        )
    shared.sandbox.script(Fault("rate_limited", model="gpt-4o", times=None, retry_after="60"))
    (tmp_path / "node_modules").symlink_to(found)
    shutil.copy(SCRIPT, tmp_path)

    done = await asyncio.to_thread(
        subprocess.run,
        [node, "calls.mjs", f"{shared.gateway.url}/v1"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr.decode()
    assert msgspec.json.decode(done.stdout) == {
        "chat": "echo: hi there",
        "stream": "echo: hi there",
        "completion": "echo: hi there",
        "models": ["gpt-4", "gpt-4o"],
        "attempts": "1",
        "badRequest": ["BadRequestError", 400, "integer_above_max_value", True],
        "notFound": ["NotFoundError", 404, "model_not_found", True],
        "rateLimit": ["RateLimitError", 429, "rate_limit_exceeded", True],
    }
