"""The programs of `make bench-goodput`: sandboxes, and gateways over one embedded Postgres."""

import base64
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S = 120.0
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Gateways:
    """How many of them."""

    workers: int
    replicas: int


@contextlib.contextmanager
def sandbox(home: Path, name: str, config: dict[str, object]) -> Iterator[str]:
    """Its address."""
    file, log = home / f"{name}.json", home / f"{name}.log"
    file.write_text(json.dumps(config))
    with _running(log, {}, "gateway.sandbox", "--port", "0", "--config", str(file)) as process:
        _until(lambda: "sandbox on" in log.read_text(), process, log)
        yield re.findall(r"http://[0-9.:]+", log.read_text())[0]


@contextlib.contextmanager
def gateways(home: Path, kind: Gateways, config: dict[str, object]) -> Iterator[list[str]]:
    """Their addresses; replicas share one Postgres and nothing else."""
    home.mkdir()
    home.chmod(0o755)
    shared = {"GATEWAY_ENCRYPTION_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"}
    addresses = []
    with contextlib.ExitStack() as stack:
        for number in range(kind.replicas):
            folder, port = home / f"replica-{number}", _free_port()
            folder.mkdir()
            (folder / "gateway.yaml").write_text(json.dumps(config))  # JSON is YAML
            environment = {**shared, "GATEWAY_HOME": str(folder / ".gateway")}
            log, words = folder / "log", ["--port", str(port), "--workers", str(kind.workers)]
            process = stack.enter_context(_running(log, environment, "gateway", "serve", *words, folder=folder))
            address = f"http://127.0.0.1:{port}"
            _until(lambda address=address: _answers(address), process, log)  # type: ignore[misc]  # bound now
            addresses.append(address)
            if "DATABASE_URL" not in shared:
                shared["DATABASE_URL"] = _database_url(folder, environment)
        yield addresses


def _database_url(folder: Path, environment: dict[str, str]) -> str:
    """Of the first replica's embedded Postgres, for the others."""
    command = [sys.executable, "-m", "gateway", "db", "url"]
    done = subprocess.run(command, cwd=folder, env=_environment(environment), check=True, capture_output=True)  # noqa: S603  # ours
    return done.stdout.decode().strip()


def stats(sandboxes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Key → status → answers."""
    found: dict[str, dict[str, int]] = {}
    for address in sandboxes:
        found |= json.loads(_get(f"{address}/_sandbox/stats"))["keys"]
    return found


def _get(url: str) -> bytes:
    with _HTTP.open(url, timeout=10) as answer:  # loopback
        body: bytes = answer.read()
    return body


def _answers(address: str) -> bool:
    try:
        _get(f"{address}/health/ready")
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _running(
    log: Path, environment: dict[str, str], module: str, *arguments: str, folder: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603  # our own programs
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env=_environment(environment),
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def _environment(own: dict[str, str]) -> dict[str, str]:
    """With none of the caller's settings: no real key is ever used."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"(OPENAI|GATEWAY|DATABASE|PG)", name)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **own}


def _until(is_so: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < ends:
        if is_so():
            return
        time.sleep(0.1)
    raise SystemExit(f"goodput: a program did not start. It said:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
