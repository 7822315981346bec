import httpx2
import pytest
from litestar import Litestar

from gateway.core.ids import Secret
from gateway.ingress.admin.problems import PROBLEM_HANDLERS
from gateway.ingress.home import home_page

TOKEN = "token-of-the-administrator"  # noqa: S105  # a test value


async def asked(headers=None, *, token=None, is_loopback=True):
    handler = home_page("1.2.3", None if token is None else Secret(token), is_loopback=is_loopback)
    app = Litestar(route_handlers=[handler], exception_handlers=PROBLEM_HANDLERS, openapi_config=None)
    transport = httpx2.ASGITransport(app, client=("127.0.0.1", 40000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        return await client.get("/", headers=headers)


async def test_the_page_says_which_base_url_to_use_and_where_things_are():
    answer = await asked()

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<code>http://127.0.0.1:8080/v1</code>" in answer.text
    assert "1.2.3" in answer.text
    for path in ("/schema", "/health", "/metrics", "/v1/models", "/api/v1/calls"):
        assert f'href="{path}' in answer.text


async def test_the_page_runs_nothing_and_asks_nobody():
    answer = await asked()

    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"authorization": "Bearer wrong"}, 401), ({"authorization": f"Bearer {TOKEN}"}, 200)],
)
async def test_where_a_token_is_set_the_page_needs_it(headers, status):
    answer = await asked(headers, token=TOKEN, is_loopback=False)

    assert answer.status_code == status


async def test_without_a_token_the_page_is_for_this_machine_alone():
    assert (await asked(is_loopback=False)).status_code == 403
    assert (await asked({"host": "evil.example"})).status_code == 403


async def test_a_host_that_is_markup_stays_text():
    answer = await asked({"host": 'a"><b>', "authorization": f"Bearer {TOKEN}"}, token=TOKEN)

    assert "<b>" not in answer.text
