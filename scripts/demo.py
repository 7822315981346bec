"""`make demo`: a sandbox provider, a gateway in front of it, a little traffic; watch the rotation. Needs no API key.

Starts two programs on loopback, shows thirty seconds of them, and stops both, whatever happens. Keeps nothing.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from demo_screen import ACCOUNTS, PERIOD_S, Screen, Told

ROOT = Path(__file__).resolve().parent.parent
START_S = 120.0
"""How long the gateway may take to come up: the first embedded Postgres makes its cluster."""


@dataclass(frozen=True)
class Scene:
    """Some seconds of traffic, and what goes wrong meanwhile."""

    seconds: float
    per_second: float
    caption: str
    faults: tuple[dict[str, object], ...] = ()


SCENES = (
    Scene(8, 4.0, "Five accounts of four organisations serve 5 calls/s together; 4 calls/s come in."),
    Scene(
        7,
        3.5,
        "north's key is revoked: its answers are 401 now. No caller notices.",
        ({"kind": "invalid_api_key", "key": ACCOUNTS[0].key, "times": None},),
    ),
    Scene(
        7,
        3.0,
        "The provider stumbles: one answer in three is a 500, a reset or a stream cut short.",
        (
            {"kind": "server_error", "times": None, "pattern": "x........", "for_s": 7},
            {"kind": "reset_before_headers", "times": None, "pattern": "...x.....", "for_s": 7},
            {"kind": "reset_in_body", "after": 0, "times": None, "pattern": "......x..", "for_s": 7},
        ),
    ),
    Scene(8, 7.0, "7 calls/s, more than all accounts may serve: calls wait for their turn instead of failing."),
)


def main() -> int:
    """Exit status: 0 shown to the end, 1 something did not start, 130 stopped by Ctrl-C or SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as name:
        Path(name).chmod(0o755)  # root's Postgres runs as another user and must reach its data below
        try:
            return asyncio.run(_until_stopped(Path(name)))
        except DemoFailed as failed:
            print(f"\n{failed}", file=sys.stderr)
            return 1


async def _until_stopped(home: Path) -> int:
    show = asyncio.create_task(_show(home))

    def stop() -> None:
        if not show.cancelling():  # impatience must not cut the stopping of the programs
            show.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await show
    except asyncio.CancelledError:
        print("\nStopped.")
        return 130
    return 0


class DemoFailed(Exception):
    """A program did not start; the message holds the end of what it said."""


async def _show(home: Path) -> None:
    (home / "sandbox.json").write_text(json.dumps(_sandbox_config()))
    async with (
        _program(home, "gateway.sandbox", "--port", "0", "--config", "sandbox.json") as _,
        httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=200)) as client,
    ):
        sandbox = await _sandbox_url(home)
        port = _free_port()
        (home / "gateway.yaml").write_text(json.dumps(_gateway_config(sandbox)))  # JSON is YAML
        async with _program(home, "gateway", "serve", "--port", str(port), "--workers", "1") as gateway:
            address = f"http://127.0.0.1:{port}"
            print("Starting a gateway with its own Postgres …", flush=True)
            await _ready(client, address, gateway, home)
            await _play(client, address, sandbox)


def _sandbox_config() -> dict[str, object]:
    limits = {account.org: account.requests for account in ACCOUNTS}
    return {
        "keys": {account.key: {"org": account.org} for account in ACCOUNTS},
        "limits": [{"org": org, "requests": requests, "period_s": PERIOD_S} for org, requests in limits.items()],
        "behaviours": {"*": {"delay_s": 0.05, "gap_s": 0.02}},
    }


def _gateway_config(sandbox: str) -> dict[str, object]:
    accounts = [
        {"label": account.label, "api_key": account.key, "quota_group": account.org.removeprefix("org-")}
        for account in ACCOUNTS
    ]
    return {
        "providers": {"sandbox": {"kind": "openai", "base_url": sandbox, "accounts": accounts}},
        "routes": {"gpt-*": "sandbox"},
        "default_provider": "sandbox",
    }


# Programs


@contextlib.asynccontextmanager
async def _program(home: Path, module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `python -m module` in `home`, with none of the caller's settings: no real key is ever used."""
    mine = {name: value for name, value in os.environ.items() if not re.match(r"(OPENAI|GATEWAY|DATABASE|PG)", name)}
    mine |= {"PYTHONPATH": str(ROOT), "GATEWAY_HOME": str(home / ".gateway"), "PYTHONUNBUFFERED": "1"}
    with (home / f"{module}.log").open("wb") as log:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, cwd=home, env=mine, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield program
    finally:
        await asyncio.shield(_stopped(program))


async def _stopped(program: asyncio.subprocess.Process) -> None:
    """SIGTERM, and after 20 s SIGKILL to it and what it started (its session)."""
    with contextlib.suppress(ProcessLookupError):
        program.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(program.wait(), timeout=20)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        await program.wait()


async def _sandbox_url(home: Path) -> str:
    async with asyncio.timeout(20):
        while not (found := re.search(r"http://\S+(?=/v1)", (home / "gateway.sandbox.log").read_text())):
            await _rest(0.05)
    return found[0]


async def _ready(client: httpx2.AsyncClient, address: str, gateway: asyncio.subprocess.Process, home: Path) -> None:
    deadline = time.monotonic() + START_S
    while gateway.returncode is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if (await client.get(f"{address}/health/ready")).status_code == 200:
                return
        await _rest(0.1)
    said = (home / "gateway.log").read_text(errors="replace")[-2000:]
    raise DemoFailed(f"The gateway did not start. It said:\n{said}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _rest(seconds: float) -> None:
    await asyncio.sleep(seconds)  # noqa: TID251  # a program for people: nobody moves its clock


# Traffic


async def _play(client: httpx2.AsyncClient, address: str, sandbox: str) -> None:
    await client.post(f"{sandbox}/_sandbox/reset")  # what the gateway asked while it started is no caller's
    told = Told()
    screen = Screen(address)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(client, address, sandbox, told, screen))
        async with asyncio.TaskGroup() as calls:
            for scene in SCENES:
                told.caption = scene.caption
                await client.post(f"{sandbox}/_sandbox/script", json={"faults": list(scene.faults)})
                ends = time.monotonic() + scene.seconds
                while time.monotonic() < ends:
                    calls.create_task(_call(client, address, told))
                    await _rest(1 / scene.per_second)
            told.caption = "No new calls; those that wait are served."
        watching.cancel()
    await _learn(client, address, sandbox, told)
    screen.last(told)


async def _call(client: httpx2.AsyncClient, address: str, told: Told) -> None:
    """One caller's call; every second one streams."""
    number = sum(told.callers[name] for name in ("answered", "refused", "failed", "waiting"))
    is_stream = bool(number % 2)
    told.callers["waiting"] += 1
    began = time.monotonic()
    body = {"model": "gpt-4o", "stream": is_stream, "messages": [{"role": "user", "content": f"call {number}"}]}
    attempts, result = 1, "failed"
    try:
        headers = {"authorization": "Bearer anything"}  # calls are open on loopback; SDKs send a key all the same
        answer = await client.post(f"{address}/v1/chat/completions", json=body, headers=headers)
        attempts = int(answer.headers.get("x-gateway-attempts", "1"))
        is_whole = b"[DONE]" in answer.content if is_stream else answer.status_code == 200
        result = "answered" if answer.status_code == 200 and is_whole else result
        result = "refused" if answer.status_code == 429 else result
    except httpx2.HTTPError:
        pass  # a cut answer or no answer: counted as failed
    told.callers["waiting"] -= 1
    told.callers[result] += 1
    told.callers["saved"] += result == "answered" and attempts > 1
    told.times.append(time.monotonic() - began)


async def _watch(client: httpx2.AsyncClient, address: str, sandbox: str, told: Told, screen: Screen) -> None:
    while True:
        await _learn(client, address, sandbox, told)
        screen.draw(told)
        await _rest(0.25)


async def _learn(client: httpx2.AsyncClient, address: str, sandbox: str, told: Told) -> None:
    stats = (await client.get(f"{sandbox}/_sandbox/stats")).json()
    told.upstream = {key: _by_kind(counts) for key, counts in stats["keys"].items()}
    with contextlib.suppress(httpx2.HTTPError, ValueError, KeyError):
        told.rests = await _rests(client, address)


def _by_kind(statuses: dict[str, int]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for status, count in statuses.items():
        kinds["served" if status == "200" else "limited" if status == "429" else "failed"] += count
    return kinds


async def _rests(client: httpx2.AsyncClient, address: str) -> dict[str, str]:
    """Who rests, as the gateway's admin API tells it."""
    listed = (await client.get(f"{address}/api/v1/accounts", params={"provider_id": "sandbox"})).json()
    found = {}
    for account in listed["data"]:
        status = (await client.get(f"{address}/api/v1/accounts/{account['id']}/status")).json()
        words = [_rest_words(scope) for scope in status["scopes"] if scope["state"] not in {"ready", "working"}]
        found[account["label"]] = ", ".join(dict.fromkeys(words))
    return found


def _rest_words(scope: dict[str, Any]) -> str:
    reason = str(scope.get("reason") or scope["state"]).replace("_", " ")
    if scope.get("until_at") is None:
        return reason
    left_s = (datetime.fromisoformat(scope["until_at"]) - datetime.now(UTC)).total_seconds()
    return f"{reason}, rests {max(0.0, left_s):.1f} s more"


if __name__ == "__main__":
    sys.exit(main())
