"""Lists of Anthropic's over several accounts, forth by `after_id` and back by `before_id`."""

import pytest

from tests.fakes.anthropic_api import AnthropicApi, written
from tests.fakes.gateway_fixture import Gateway

BATCHES = "/v1/messages/batches"
VERSION = {"anthropic-version": "2023-06-01", "x-api-key": "anything"}
MODEL = "claude-opus-5-5"
ASKED = {"requests": [{"custom_id": "a", "params": {"model": MODEL, "max_tokens": 5, "messages": []}}]}
KEYS = ["sk-ant-a", "sk-ant-a", "sk-ant-b", "sk-ant-a", "sk-ant-b", "sk-ant-b", "sk-ant-a"]
NEWEST_FIRST = [f"msgbatch_{number}" for number in range(len(KEYS), 0, -1)]


@pytest.fixture
def batches(api: AnthropicApi):
    """Made outside of the gateway, so that nobody here knows them beforehand."""
    return [api.add_batch(key)["id"] for key in KEYS]


async def page_of(claude: Gateway, **query: object):
    answer = await claude.client.get(BATCHES, params=query, headers=VERSION)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def walked(claude: Gateway, limit: int, cursor: str, end: str, **start: str):
    """The ids of each page, until there is no more."""
    pages, query = [], start
    while True:
        page = await page_of(claude, limit=limit, **query)
        ids = [batch["id"] for batch in page["data"]]
        assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1]) if ids else (None, None)
        pages.append(ids)
        if not page["has_more"]:
            return pages
        query = {cursor: page[end]}


@pytest.mark.parametrize("limit", [1, 2, 3, 20])
async def test_both_ways_show_everything_once(claude, batches, limit):
    forth = await walked(claude, limit, "after_id", "last_id")
    back = await walked(claude, limit, "before_id", "first_id", before_id=batches[0])

    assert [id_ for page in forth for id_ in page] == NEWEST_FIRST
    assert [id_ for page in reversed(back) for id_ in page] == NEWEST_FIRST[:-1]
    assert all(len(page) == limit for page in [*forth[:-1], *back[:-1]])


@pytest.mark.parametrize("cursor", NEWEST_FIRST)
async def test_the_page_before_a_batch_is_the_one_right_before_it(claude, batches, cursor):
    page = await page_of(claude, limit=2, before_id=cursor)

    place = NEWEST_FIRST.index(cursor)
    assert [batch["id"] for batch in page["data"]] == NEWEST_FIRST[max(0, place - 2) : place]
    assert page["has_more"] is (place > 2)


async def test_the_way_back_knows_what_the_gateway_made(claude, batches, api: AnthropicApi):
    made = (await claude.client.post(BATCHES, json=ASKED, headers=VERSION)).json()["id"]
    await page_of(claude)

    page = await page_of(claude, limit=3, before_id=batches[4])

    assert [batch["id"] for batch in page["data"]] == [made, batches[6], batches[5]]
    assert page["has_more"] is False


async def test_a_cursor_that_nobody_has_is_the_upstreams_to_refuse(claude, batches, api: AnthropicApi):
    answer = await claude.client.get(BATCHES, params={"before_id": "msgbatch_0"}, headers=VERSION)

    assert answer.status_code == 404
    assert answer.json()["type"] == "error"


async def test_files_at_both_kinds_of_providers_are_two_lists(claude, registry, sandbox, api: AnthropicApi):
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-o", "openai")
    await claude.serves(accounts=3)
    form = {"files": {"file": ("a.txt", b"x")}, "data": {"purpose": "assistants"}}
    uploaded = await claude.client.post("/v1/files", headers={"x-provider": "openai"}, **form)
    assert uploaded.status_code == 200, uploaded.text
    files = [{"id": f"file_0{number}", "created_at": f"2026-11-20T00:00:0{number}Z"} for number in (2, 1)]
    for key, file in zip(("sk-ant-a", "sk-ant-b"), files, strict=True):
        api.script(key, written(200, {"data": [file], "has_more": False}))

    listed = await claude.client.get("/v1/files", headers=VERSION)

    assert listed.status_code == 200, listed.text
    assert listed.json() == {"data": files, "first_id": "file_02", "last_id": "file_01", "has_more": False}
