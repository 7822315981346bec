"""What is measured: the direct call, nginx as a bare reverse proxy, the gateway. Each on core 0, on a free port."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from procfs import command_of, cpu_s, descendants
from programs import GENERATOR_CORE, TARGET_CORE, on_core

ACCOUNTS = 4
START_LIMIT_S = 90.0
_CHECKOUT = Path(__file__).resolve().parents[2]
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Target:
    """Something that answers calls."""

    name: str
    port: int
    pid: int | None
    """The process that serves; None for the mock itself, which is not measured."""
    root: int | None = None
    """The top of its process tree, where that is another process."""
    key: str = "none"
    """Sent as bearer token."""

    def cpu_s(self) -> tuple[float, float]:
        """Seconds used so far: of the process that serves, of the rest of its tree."""
        if self.pid is None:
            return 0.0, 0.0
        own = cpu_s(self.pid)
        return own, sum(cpu_s(pid) for pid in descendants(self.root or self.pid)) - own


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[Target]:
    """A bare reverse proxy: keep-alive to both sides, no log, no buffering; one process."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    home = folder / "nginx"
    home.mkdir()
    port = free_port()
    temporary = "".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(f"""
daemon off; master_process off; worker_processes 1; pid {home}/pid; error_log {home}/errors;
events {{ worker_connections 4096; }}
http {{
  access_log off; {temporary}
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000000;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
""")
    command = on_core(TARGET_CORE, program, "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "errors"))
    with running(command, home / "output") as process:
        wait_for_port(port, process)
        yield Target("nginx", port, process.pid)


@contextmanager
def gateway(folder: Path, upstream: int, extra_env: Sequence[str] = ()) -> Iterator[Target]:
    """One worker with everything on: four accounts, a client key, log lines into a file, counters, usage."""
    home = folder / "gateway"
    home.mkdir()
    port, token = free_port(), secrets.token_hex(16)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OPENAI_"))}
    environment |= {"GATEWAY_HOME": str(home), "GATEWAY_AUTH": "keys", "GATEWAY_ADMIN_TOKEN": token}
    environment |= dict(pair.split("=", 1) for pair in extra_env)
    program = [sys.executable, "-m", "gateway", "serve", "--port", str(port), "--workers", "1"]
    with running(on_core(TARGET_CORE, *program), home / "log", environment) as process:
        wait_until_ready(port, process, home / "log")
        key = register(port, token, f"http://127.0.0.1:{upstream}")
        worker = worker_of(process.pid)
        move_postgres_away(process.pid)
        wait_until_served(port, key, home / "log")
        yield Target("gateway", port, worker, process.pid, key)


@contextmanager
def running(
    command: list[str], output: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` in the checkout, its output in a file; asks it to end, and insists after 15 s."""
    with (
        output.open("wb") as file,
        subprocess.Popen(  # noqa: S603  # commands of this file
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=_CHECKOUT
        ) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def register(port: int, token: str, base_url: str) -> str:
    """A provider, its accounts and a client key by the admin API, as an operator would; gives the key."""
    provider = {
        "id": "openai",
        "name": "Bench",
        "base_url": base_url,
        "auth_type": "api_key",
        "auth_strategy": "api_key",
    }
    ask(port, "POST", "/api/v1/providers", token, provider | {"supported_models": ["gpt-4"], "is_active": True})
    for number in range(ACCOUNTS):
        auth = {"api_key": f"sk-bench-{number}-{secrets.token_hex(12)}"}
        account = {"provider_id": "openai", "label": f"Account {number}", "auth_data": auth, "is_active": True}
        ask(port, "POST", "/api/v1/accounts", token, account)
    return str(ask(port, "POST", "/api/v1/keys", token, {"name": "bench"})["key"])


def ask(port: int, method: str, path: str, token: str, body: object | None = None) -> dict[str, object]:
    """One request, its JSON answer. Raises `HTTPError` with the answer's text in it."""
    request = urllib.request.Request(  # loopback
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with _HTTP.open(request, timeout=30) as answer:
            found: dict[str, object] = json.loads(answer.read() or b"{}")
            return found
    except urllib.error.HTTPError as error:
        raise SystemExit(
            f"bench: {method} {path}: {error.code} {error.read(2_000).decode(errors='replace')}"
        ) from error


def wait_until_served(port: int, key: str, log: Path, limit_s: float = 10.0) -> None:
    """Until a call goes through: rows take a moment to reach the worker's snapshot."""
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hello"}]}
    deadline = time.monotonic() + limit_s
    while True:
        try:
            ask(port, "POST", "/v1/chat/completions", key, body)
        except SystemExit as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{error}\n{log.read_text(errors='replace')[-3_000:]}") from error
            pause(0.1)
        else:
            return


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), _HTTP.open(f"http://127.0.0.1:{port}/health/ready", timeout=2):
            return
        pause(0.1)
    raise SystemExit(f"bench: the gateway did not become ready:\n{log.read_text(errors='replace')[-3_000:]}")


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        pause(0.05)
    raise SystemExit(f"bench: nothing listens on port {port}")


def worker_of(root: int) -> int:
    """The Python process below `root` that has used the most CPU; `root` itself where it serves alone."""
    pythons = [pid for pid in descendants(root)[1:] if "python" in command_of(pid)]
    return max(pythons, key=cpu_s, default=root)


def move_postgres_away(root: int) -> None:
    """Postgres is another machine in earnest: it gets the generator's core, as the mock does."""
    for pid in descendants(root):
        if "postgres" in command_of(pid) and "python" not in command_of(pid):
            with suppress(OSError):
                os.sched_setaffinity(pid, {GENERATOR_CORE})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pause(seconds: float) -> None:
    time.sleep(seconds)
