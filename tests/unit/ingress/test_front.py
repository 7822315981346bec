import pytest
from litestar import Litestar, get
from litestar.testing import AsyncTestClient

from gateway.ingress.front import Front


def front(seen):
    async def data_plane(scope, receive, send):
        seen.append((scope["method"], scope["raw_path"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @get("/health/live")
    async def live() -> str:
        return "ok"

    return Front(
        data_plane=data_plane, sockets=data_plane, pages=Litestar([live], openapi_config=None, logging_config=None)
    )


@pytest.mark.parametrize("path", ["/v1", "/v1/models", "/v1/chat/completions"])
async def test_calls_go_to_the_data_plane(path):
    seen = []

    async with AsyncTestClient(front(seen)) as client:
        await client.get(path)

    assert seen == [("GET", path.encode())]


async def test_pages_are_litestars():
    seen = []

    async with AsyncTestClient(front(seen)) as client:
        answer = await client.get("/health/live")

    assert (answer.status_code, answer.text, seen) == (200, "ok", [])


async def test_a_head_of_a_page_is_answered_as_a_get():
    seen = []

    async with AsyncTestClient(front(seen)) as client:
        answer = await client.head("/health/live")

    assert (answer.status_code, seen) == (200, [])


async def test_a_head_below_v1_stays_one():
    seen = []

    async with AsyncTestClient(front(seen)) as client:
        await client.head("/v1/models")

    assert seen == [("HEAD", b"/v1/models")]
