"""The whole gateway inside a test: the real app on uvicorn, in the test's own event loop, on a free port.

async with running_gateway(database_url) as gateway, connected(database_url) as registry:
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    await gateway.serves(accounts=1)
    answer = await gateway.chat("hello")

Two gateways on one database are two replicas. `registry` writes the public tables with plain SQL, as operators do.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import msgspec

from gateway.app import Service, build_app
from gateway.core.ids import Secret
from gateway.core.snapshot import Snapshot
from gateway.notify.neighbours import Line
from gateway.relay.clock import SystemClock
from gateway.settings import ServerSettings, Settings, WorkerContext, WorkerOrder
from gateway.store.cipher import new_key
from gateway.worker import WorkerServer, _config
from tests.databases import quick_folder
from tests.waits import PATIENCE_S

POLL_S = 0.005
KEYS = new_key("k1")
"""All gateways of a test process seal with the same key, as replicas do."""
CHAT = "/v1/chat/completions"
DEFAULTS = Settings(server=ServerSettings(drain_s=5.0))


class Gateway:
    """A running gateway: its address, a client, and its inside where HTTP does not tell."""

    def __init__(self, service: Service, server: WorkerServer, url: str, client: httpx2.AsyncClient) -> None:
        self.service = service
        self.server = server
        self.url = url
        self.client = client

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def snapshot(self) -> Snapshot:
        return self.service.board.snapshot

    async def serves(self, *, accounts: int) -> None:
        """Returns once the registry that serves has so many accounts."""
        await until(lambda: len(self.snapshot.accounts) == accounts, f"{accounts} accounts")

    async def chat(
        self, content: str = "hi", *, model: str = "gpt-4", headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx2.Response:
        body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
        return await self.client.post(CHAT, json=body, headers=headers)

    async def chat_is_ok(self) -> bool:
        return (await self.chat()).status_code == 200

    async def get(self, path: str) -> httpx2.Response:
        return await self.client.get(path)


class Registry:
    """The public tables, in plain SQL."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self.connection = connection

    async def execute(self, statement: str, *values: object) -> None:
        await self.connection.execute(statement, *values)

    async def add_provider(self, provider_id: str, base_url: str, **columns: object) -> None:
        """`supported_models` and `settings` are given as JSON values."""
        given = {"supported_models": ["gpt-4", "gpt-4o"], **columns}
        await self._insert("providers", {"id": provider_id, "name": provider_id, "base_url": base_url, **given})

    async def add_account(self, key: str, provider_id: str = "openai", **columns: object) -> str:
        """Its id. The label is the key's text unless given."""
        given = {"label": key, "auth_data": {"api_key": key}, **columns}
        return await self._insert("accounts", {"provider_id": provider_id, **given})

    async def add_route(self, pattern: str, provider_id: str = "openai", **columns: object) -> None:
        await self._insert("model_routes", {"pattern": pattern, "provider_id": provider_id, **columns})

    async def _insert(self, table: str, columns: Mapping[str, object]) -> str:
        values = [_json(value) if isinstance(value, dict | list) else value for value in columns.values()]
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) RETURNING id::text"  # noqa: S608  # a test's own names
        made: str = await self.connection.fetchval(statement, *values)
        return made


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Registry]:
    connection = await asyncpg.connect(database_url)
    try:
        yield Registry(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def running_gateway(
    database_url: str,
    settings: Settings = DEFAULTS,
    *,
    is_loopback: bool = True,
    lines: Sequence[Line] = (),
    place: int = 0,
) -> AsyncIterator[Gateway]:
    """Serves until the block ends, then drains as a worker does on SIGTERM. `lines`: it is one of a service's workers,
    at that place.
    """
    with tempfile.TemporaryDirectory(prefix="gw-metrics-", dir=quick_folder()) as folder, _listener() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        context = _context(database_url, Path(folder), url, is_loopback=is_loopback)
        if lines:
            others = [line for number, line in enumerate(lines) if number != place]
            context = msgspec.structs.replace(
                context,
                service="service",
                hears_fd=os.dup(lines[place].hears.fileno()),
                tells_fds=tuple(os.dup(line.tells.fileno()) for line in others),
            )
        app = build_app(settings, context)
        service = app.state.drain.__self__
        service.watcher._poll_s = 1e6  # what a test writes is heard of, or never seen
        reader, writer = os.pipe()
        order = WorkerOrder(
            settings=settings, context=context, app="", listen_fds=(), ready_fd=writer, parent_pid=os.getpid()
        )
        server = WorkerServer(_config(app, settings), order, app)  # type: ignore[arg-type]  # Litestar's scope is narrower
        serving = asyncio.create_task(server._serve(sockets=[listener]), name="gateway")  # without signal handlers
        try:
            await _ready(reader, serving)
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
            async with httpx2.AsyncClient(
                base_url=url, timeout=PATIENCE_S, limits=limits, trust_env=False, verify=False
            ) as client:  # nothing to verify on plain HTTP, and reading all roots takes 30 ms
                yield Gateway(service, server, url, client)
        finally:
            server.should_exit = True
            await serving


async def until(is_met: Callable[[], Any], what: str) -> None:
    """Returns once `is_met()`; for what only a look from outside can tell. Fails with `what` when that never comes."""

    async def met() -> Any:
        return is_met()

    await until_answered(met, what)


async def until_answered(ask: Callable[[], Awaitable[Any]], what: str) -> None:
    """The same with a question that takes time."""
    clock = SystemClock()
    deadline = clock.now() + PATIENCE_S
    while not await ask():
        assert clock.now() < deadline, f"not within {PATIENCE_S} s: {what}"
        await clock.sleep(POLL_S)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _listener() -> socket.socket:
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # without it asyncio leaves Nagle's algorithm on: 40 ms a call
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    return listener


def _context(database_url: str, folder: Path, url: str, *, is_loopback: bool) -> WorkerContext:
    return WorkerContext(
        index=0,
        count=1,
        dsn=Secret(database_url),
        listen_dsn=Secret(database_url),
        encryption_keys=Secret(KEYS),
        metrics_dir=folder,
        address=url,
        is_loopback=is_loopback,
        started_at=datetime.now(UTC),
    )


async def _ready(reader: int, serving: "asyncio.Task[None]") -> None:
    """Until the worker said `ready`; raises what ended it instead."""
    loop, said = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(reader, said.set)
    waiting = asyncio.create_task(said.wait())
    try:
        await asyncio.wait({waiting, serving}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        if not said.is_set():
            waiting.cancel()
            await serving
            raise AssertionError("the gateway ended before it was ready")
    finally:
        loop.remove_reader(reader)
        os.close(reader)
