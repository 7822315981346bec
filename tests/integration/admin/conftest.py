"""An app of just the admin router and the schema pages, on a database of its own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import pytest
from litestar import Litestar
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.cooldown import Phase
from gateway.core.ids import AccountId, Secret
from gateway.core.outcome import OutcomeKind, ScopeKind
from gateway.core.snapshot import Account, Provider, Snapshot
from gateway.ingress.admin.deps import AdminDeps, VerifyResult
from gateway.ingress.admin.problems import PROBLEM_HANDLERS
from gateway.ingress.admin.router import admin_router
from gateway.ingress.schema import schema_config
from gateway.relay.headroom_views import ScopeHeadroom
from gateway.relay.rests import ScopeStatus
from gateway.store.cipher import Cipher, new_key, parse_keys
from gateway.store.engine import make_engine
from gateway.telemetry.calls import Calls

TOKEN = "token-of-the-administrator"  # noqa: S105  # a test value
KEY = "sk-proj-0123456789abcdefgh"
OTHER = "sk-proj-9876543210zyxwvuts"
KINDS = frozenset({"openai", "openai_compatible"})


async def rows_of(engine: AsyncEngine, statement: str) -> list[dict]:
    async with engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(text(statement))).mappings()]


def scope_status(state: Phase, kind: ScopeKind = ScopeKind.ACCOUNT, what: str = "", reason: OutcomeKind | None = None):
    return ScopeStatus(
        kind=kind, what=what, state=state, reason=reason, strikes=1, until_at=None, probe_at=None, last_error=""
    )


class FakeHealth:
    def __init__(self) -> None:
        self.scopes: dict[str, list[ScopeStatus]] = {}
        self.cleared: list[str] = []

    def status_of(self, account_id: AccountId) -> list[ScopeStatus]:
        return self.scopes.get(account_id, [])

    def in_flight(self, account_id: AccountId) -> int:
        return 1 if account_id in self.scopes else 0

    def clear(self, account_id: AccountId) -> None:
        self.cleared.append(account_id)
        self.scopes.pop(account_id, None)


class FakeVerify:
    def __init__(self) -> None:
        self.seen: list[tuple[Provider, Account]] = []
        self.result = VerifyResult(is_ok=True, outcome=OutcomeKind.OK, status=200)

    async def __call__(self, provider: Provider, account: Account) -> VerifyResult:
        self.seen.append((provider, account))
        return self.result


class Admin:
    """The client, and what it talks to."""

    def __init__(self, client: httpx2.AsyncClient, deps: AdminDeps, health: FakeHealth, verify: FakeVerify) -> None:
        self.client = client
        self.deps = deps
        self.health = health
        self.verify = verify
        self.bodies: list[str] = []

    async def call(self, method: str, path: str, body: object = msgspec.UNSET, **options: object) -> httpx2.Response:
        """`path` below /api/v1. Every answer's text and headers are kept, so that a test can search all of them."""
        json = {} if body is msgspec.UNSET else {"json": body}
        response = await self.client.request(method, f"/api/v1{path}", **json, **options)
        self.bodies.append(f"{response.headers}{response.text}")
        return response

    async def add_provider(self, provider_id: str = "openai", **fields: object) -> dict:
        body = {"id": provider_id, "base_url": "https://api.openai.com", **fields}
        response = await self.call("POST", "/providers", body)
        assert response.status_code == 201, response.text
        return response.json()

    async def add_account(self, api_key: str, provider_id: str = "openai", **fields: object) -> dict:
        body = {"provider_id": provider_id, "auth_data": {"api_key": api_key}, **fields}
        response = await self.call("POST", "/accounts", body)
        assert response.status_code == 201, response.text
        return response.json()


@pytest.fixture
def cipher() -> Cipher:
    return Cipher(parse_keys(new_key("k1")))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database_url)
    yield engine
    await engine.dispose()


async def no_headroom(_account_id: object) -> list[ScopeHeadroom]:
    return []


@asynccontextmanager
async def admin_of(
    engine: AsyncEngine,
    cipher: Cipher,
    *,
    token: str | None = TOKEN,
    is_loopback: bool = True,
    peer: str = "127.0.0.1",
    snapshot: Snapshot | None = None,
    headers: dict[str, str] | None = None,
    calls: Calls | None = None,
) -> AsyncIterator[Admin]:
    health, verify = FakeHealth(), FakeVerify()
    secret = None if token is None else Secret(token)
    deps = AdminDeps(
        engine=engine,
        cipher=cipher,
        admin_token=secret,
        is_loopback=is_loopback,
        health=health,
        verify=verify,
        snapshot=lambda: snapshot or Snapshot(),
        kinds=KINDS,
        calls=calls or Calls(Path(os.devnull)),
        headroom=no_headroom,
        organization=lambda _account_id: None,
        breakers=lambda _account_id: [],
    )
    app = Litestar(
        route_handlers=[admin_router(deps)],
        exception_handlers=PROBLEM_HANDLERS,
        openapi_config=schema_config("1.2.3", secret, is_loopback=is_loopback),
    )
    if headers is None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
    transport = httpx2.ASGITransport(app, client=(peer, 40000), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers) as client:
        yield Admin(client, deps, health, verify)


@pytest.fixture
async def admin(engine: AsyncEngine, cipher: Cipher) -> AsyncIterator[Admin]:
    async with admin_of(engine, cipher) as admin:
        yield admin
