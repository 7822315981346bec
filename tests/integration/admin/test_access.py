import base64

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.cipher import Cipher
from gateway.store.engine import make_engine
from tests.integration.admin.conftest import TOKEN, Admin, admin_of

LOCAL = {"host": "127.0.0.1:8080"}


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer ", basic(TOKEN)]
)
async def test_without_the_token_nothing_is_answered(engine: AsyncEngine, cipher: Cipher, authorization: str | None):
    headers = {} if authorization is None else {"authorization": authorization}

    async with admin_of(engine, cipher, headers=headers) as admin:
        response = await admin.call("GET", "/accounts")

    assert response.status_code == 401
    assert response.json()["code"] == "unauthenticated"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in response.text


async def test_token_is_enough_from_anywhere(engine: AsyncEngine, cipher: Cipher):
    headers = {"authorization": f"bearer {TOKEN}", "host": "gateway.example", "origin": "https://elsewhere.example"}

    async with admin_of(engine, cipher, headers=headers, peer="203.0.113.9", is_loopback=False) as admin:
        response = await admin.call("GET", "/accounts")

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("peer", "is_loopback", "headers"),
    [
        pytest.param("127.0.0.1", False, {}, id="listening-elsewhere-too"),
        pytest.param("203.0.113.9", True, {}, id="peer-from-outside"),
        pytest.param("127.0.0.1", True, {"host": "evil.example"}, id="rebound-name"),
        pytest.param("127.0.0.1", True, {"host": "localhost.evil.example:8080"}, id="rebound-name-that-looks-local"),
        pytest.param("127.0.0.1", True, {"origin": "https://evil.example"}, id="page-of-another-origin"),
        pytest.param("127.0.0.1", True, {"origin": "null"}, id="page-of-no-origin"),
        pytest.param("127.0.0.1", True, {"origin": "http://127.0.0.1:9999"}, id="page-of-another-port"),
        pytest.param("127.0.0.1", True, {"x-forwarded-for": "203.0.113.9"}, id="through-a-proxy"),
    ],
)
async def test_without_a_token_only_this_machine_is_answered(
    engine: AsyncEngine, cipher: Cipher, peer: str, is_loopback: bool, headers: dict[str, str]
):
    async with admin_of(
        engine, cipher, token=None, peer=peer, is_loopback=is_loopback, headers={**LOCAL, **headers}
    ) as admin:
        response = await admin.call("POST", "/keys", {"name": "stolen"})
        page = await admin.client.get("/schema/openapi.json")

    assert (response.status_code, response.json()["code"]) == (403, "not_allowed")
    assert page.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "LOCALHOST"])
async def test_without_a_token_this_machine_is_answered(engine: AsyncEngine, cipher: Cipher, host: str):
    headers = {"host": host, "origin": f"http://{host}"}

    async with admin_of(engine, cipher, token=None, peer="::1", headers=headers) as admin:
        response = await admin.call("GET", "/accounts")

    assert response.status_code == 200


async def test_a_browser_opens_the_pages_with_the_token_as_password(engine: AsyncEngine, cipher: Cipher):
    async with admin_of(engine, cipher, headers={}) as admin:
        asked = await admin.client.get("/schema")
        opened = await admin.client.get("/schema", headers={"authorization": basic(TOKEN)})
        refused = await admin.client.get("/schema", headers={"authorization": basic("wrong")})
        file = await admin.client.get("/schema/ui/start.js")

    assert (asked.status_code, opened.status_code, refused.status_code, file.status_code) == (401, 200, 401, 401)
    assert asked.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/accounts/not-a-uuid", 404, "not_found"),
        ("PUT", "/api/v1/accounts", 405, "method_not_allowed"),
    ],
)
async def test_addresses_that_do_not_exist_have_problem_bodies_too(
    admin: Admin, method: str, path: str, status: int, code: str
):
    response = await admin.client.request(method, path)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'"text"', 400), (b"\xff", 400), (b'{"a":' * 100_000, 400)],
)
async def test_body_that_is_no_object_is_refused(admin: Admin, body: bytes, status: int):
    response = await admin.client.post("/api/v1/accounts", content=body, headers={"content-type": "application/json"})

    assert response.status_code == status, response.text
    assert response.json()["detail"]


async def test_body_past_the_limit_is_refused(admin: Admin):
    response = await admin.client.post("/api/v1/accounts/import", content=b" " * 5_000_000)

    assert (response.status_code, response.json()["code"]) == (413, "too_large")


async def test_postgres_away_is_said_with_a_time_to_come_back(cipher: Cipher):
    engine = make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    async with admin_of(engine, cipher) as admin:
        response = await admin.call("GET", "/accounts")
        problems = await admin.call("GET", "/problems")
    await engine.dispose()

    assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
    assert response.headers["retry-after"] == "2"
    assert problems.status_code == 200
