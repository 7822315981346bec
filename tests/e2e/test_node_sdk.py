"""The official Node SDK against the gateway; needs node and an installed `openai` package (NODE_PATH or around)."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault

SCRIPTS = Path(__file__).with_name("node")
MODULES = os.environ.get("OPENAI_NODE_MODULES", "")
"""A `node_modules` folder that holds `openai`; empty: looked for where node looks, from the tests upwards."""


def modules():
    folders = [Path(MODULES)] if MODULES else [parent / "node_modules" for parent in (SCRIPTS, *SCRIPTS.parents)]
    return next((folder for folder in folders if (folder / "openai").is_dir()), None)


async def told_by(script, gateway, tmp_path):
    """What a script says that calls the gateway."""
    node, found = shutil.which("node"), modules()
    if node is None or found is None:
        pytest.skip(
            "needs node and the npm package `openai`: npm install openai, then OPENAI_NODE_MODULES=…/node_modules"
        )
    (tmp_path / "node_modules").symlink_to(found)
    shutil.copy(SCRIPTS / script, tmp_path)
    done = await asyncio.to_thread(
        subprocess.run,
        [node, script, f"{gateway.url}/v1"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout)


async def test_the_node_sdk_chats_streams_lists_and_meets_its_errors(shared, tmp_path):
    shared.sandbox.script(Fault("rate_limited", model="gpt-4o", times=None, retry_after="60"))

    assert await told_by("calls.mjs", shared.gateway, tmp_path) == {
        "chat": "echo: hi there",
        "stream": "echo: hi there",
        "completion": "echo: hi there",
        "models": ["gpt-4", "gpt-4o"],
        "attempts": "1",
        "badRequest": ["BadRequestError", 400, "integer_above_max_value", True],
        "notFound": ["NotFoundError", 404, "model_not_found", True],
        "rateLimit": ["RateLimitError", 429, "rate_limit_exceeded", True],
    }


async def test_the_node_sdk_reads_typed_streams_and_raises_where_one_breaks(shared, tmp_path):
    shared.sandbox.behave("gpt-4o", Behaviour(gap_s=0.02))
    shared.sandbox.script(Fault("reset_in_body", model="gpt-4o", after=6))

    assert await told_by("typed_streams.mjs", shared.gateway, tmp_path) == {
        "response": "echo: hi there",
        "final": "echo: hi there",
        "images": ["image_generation.partial_image", "image_generation.completed"],
        "transcript": "echo: hi.wav of 5 bytes",
        "last": "response.output_text.delta",
        "broken": ["APIError", "upstream_error"],
    }
