"""`gateway top` beside a running gateway."""

import asyncio
import json
import os
import pty
import select
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.sandbox.faults import Fault


@pytest.fixture
def top(monkeypatch, tmp_path):
    """Runs the command without any setting, in a thread: the gateway serves in the test's loop."""
    for name in os.environ:
        if name.startswith(("GATEWAY_", "OPENAI_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    async def run(*arguments, code=0):
        result = await asyncio.to_thread(CliRunner().invoke, cli, ["top", *arguments], prog_name="gateway")
        assert result.exit_code == code, result.output
        return result

    return run


async def test_top_shows_accounts_their_rests_and_what_providers_answered(pair, sandbox, top):
    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60"))
    await pair.chat()
    await pair.chat()

    found = json.loads((await top("--once", "--json", "--url", pair.url)).stdout)

    (provider,) = [line for line in found["providers"] if line["provider"] == "openai"]
    assert provider == {"provider": "openai", "attempts": 3, "ok": 2, "rate_limited": 1, "failed": 0}
    resting, ready = found["accounts"]
    assert (resting["account"], ready["account"]) == ("sk-a", "sk-b")
    assert resting["rests"][0].startswith("gpt-4: rate_limited, ")
    assert ready["rests"] == []
    assert found["calls_per_minute"] == 2
    assert found["more_accounts"] == 0


async def test_top_shows_who_is_asked_last(pair, sandbox, top):
    sandbox.script(Fault("server_error", key="sk-a", times=3))
    for _ in range(8):
        await pair.chat()

    found = json.loads((await top("--once", "--json", "--url", pair.url)).stdout)

    [rest] = found["accounts"][0]["rests"]
    assert rest.startswith("gpt-4: asked last, ")


async def test_top_is_a_table_for_people(pair, top):
    await pair.chat()

    shown = (await top("--url", pair.url)).stdout

    assert pair.url in shown
    assert "sk-a" in shown
    assert "RATE LIMITED" in shown


async def test_top_says_what_to_do_when_nobody_answers(top):
    result = await top("--url", "http://127.0.0.1:1", code=1)

    assert "no gateway answers at http://127.0.0.1:1" in result.stderr


async def test_in_a_terminal_top_draws_until_q_and_leaves_the_screen_as_it_was(pair, tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gateway", "top", "--url", pair.url]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "TERM": "xterm"}  # noqa: PTH109  # as the tests run

    def watch():
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=tmp_path)  # noqa: S603  # our own
        os.close(theirs)
        seen, asked = b"", False
        screen = select.poll()  # `select` takes no descriptor past 1023
        screen.register(ours, select.POLLIN)
        while process.poll() is None or screen.poll(0):
            if not screen.poll(20_000):
                process.kill()
                break
            try:
                seen += os.read(ours, 65536)
            except OSError:
                break
            if b"q ends" in seen and not asked:
                asked = os.write(ours, b"q") == 1
        return process.wait(10), seen

    try:
        code, seen = await asyncio.to_thread(watch)
    finally:
        os.close(ours)

    assert code == 0, seen
    assert b"sk-b" in seen
    assert seen.rstrip().endswith(b"\x1b[?1049l")
