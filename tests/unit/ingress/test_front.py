import asyncio
import threading

import pytest
from litestar import Litestar, get
from litestar.testing import AsyncTestClient

from gateway.ingress.front import Front


def front(seen, pages=None):
    """Nobody may make `pages` unless they are given."""

    async def data_plane(scope, receive, send):
        seen.append((scope["method"], scope["raw_path"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @get("/health/live")
    async def live() -> str:
        return "ok"

    return Front(
        data_plane=data_plane,
        sockets=data_plane,
        probes=Litestar([live], openapi_config=None, logging_config=None),
        pages=pages,
    )


def a_page():
    @get("/")
    async def home() -> str:
        return "a page"

    return Litestar([home], openapi_config=None, logging_config=None)


@pytest.mark.parametrize("path", ["/v1", "/v1/models", "/v1/chat/completions"])
async def test_calls_go_to_the_data_plane(path):
    seen = []

    async with AsyncTestClient(front(seen)) as client:
        await client.get(path)

    assert seen == [("GET", path.encode())]


async def test_probes_are_answered_without_the_pages():
    seen = []

    async with AsyncTestClient(front(seen)) as client:
        answer = await client.get("/health/live")

    assert (answer.status_code, answer.text, seen) == (200, "ok", [])


async def test_pages_are_made_once_for_all_who_ask_at_first_and_beside_the_loop():
    makers = []

    def pages():
        makers.append(threading.current_thread())
        return a_page()

    async with AsyncTestClient(front([], pages)) as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(3)))
        answers.append(await client.get("/"))

    assert [answer.text for answer in answers] == ["a page"] * 4
    assert len(makers) == 1
    assert makers[0] is not threading.current_thread()


async def test_pages_that_could_not_be_made_are_tried_again():
    answers = [RuntimeError("not today"), a_page()]

    def pages():
        answer = answers.pop(0)
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    async with AsyncTestClient(front([], pages)) as client:
        with pytest.raises(RuntimeError, match="not today"):
            await client.get("/")

        assert (await client.get("/")).text == "a page"


async def test_a_path_beside_a_probes_is_a_page():
    async with AsyncTestClient(front([], a_page)) as client:
        answer = await client.get("/health/other")

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/health/live", "/"])
async def test_a_head_of_a_page_is_answered_as_a_get(path):
    seen = []

    async with AsyncTestClient(front(seen, a_page)) as client:
        answer = await client.head(path)

    assert (answer.status_code, seen) == (200, [])


async def test_a_head_below_v1_stays_one():
    seen = []

    async with AsyncTestClient(front(seen)) as client:
        await client.head("/v1/models")

    assert seen == [("HEAD", b"/v1/models")]
