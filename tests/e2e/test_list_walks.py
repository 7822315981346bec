"""Walks through lists that are not like the others: no order, no way back, an order that objects do not show."""

import pytest

from gateway.sandbox.server import Sandbox
from tests.e2e.owners import made_outside
from tests.fakes.gateway_fixture import Gateway

PLAIN = ["batches", "fine_tuning/jobs"]


async def made(sandbox: Sandbox, kind: str, count: int = 5) -> list[str]:
    """Objects of both accounts, in turns, a second apart; the oldest first."""
    for key in ("sk-a", "sk-b"):
        await made_outside(sandbox, key)
    places = dict(zip(("sk-a", "sk-b"), sandbox._service._objects._shelves.values(), strict=True))
    ids: list[str] = []
    for number in range(count):
        for key, shelf in places.items():
            id_ = f"{kind[0]}_{key[-1]}{number}"
            made_at = 1_700_000_000 + len(ids)
            shelf.put(f"/{kind}", {"id": id_, "object": kind, "created_at": made_at, "status": "completed"})
            ids.append(id_)
    return ids


async def page(gateway: Gateway, kind: str, query: str) -> tuple[list[str], bool]:
    answer = await gateway.get(f"/v1/{kind}?{query}")
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]], answer.json()["has_more"]


async def walked(gateway: Gateway, kind: str, query: str, cursor: str = "after", take: int = -1) -> list[str]:
    """All ids, page by page."""
    found: list[str] = []
    at = ""
    for _ in range(40):
        ids, has_more = await page(gateway, kind, query + at)
        found = found + ids if cursor == "after" else ids + found
        if not has_more:
            return found
        at = f"&{cursor}={ids[take]}"
    raise AssertionError("no end")


@pytest.mark.parametrize("limit", [1, 3, 4, 20])
@pytest.mark.parametrize("kind", PLAIN)
async def test_a_list_without_a_way_back_is_walked_both_ways(
    pair: Gateway, sandbox: Sandbox, kind: str, limit: int
) -> None:
    ids = await made(sandbox, kind)

    assert await walked(pair, kind, f"limit={limit}") == ids[::-1]
    assert await walked(pair, kind, f"limit={limit}&order=asc") == ids
    before, has_more = await page(pair, kind, f"limit={limit}&before={ids[2]}")
    newer = ids[::-1][:-3]
    assert (before, has_more) == (newer[-limit:], limit < len(newer))
    assert await walked(pair, kind, f"limit={limit}&before={ids[0]}", "before", 0) == ids[:0:-1]


async def test_upstreams_are_asked_for_nothing_that_they_do_not_know(pair: Gateway, sandbox: Sandbox) -> None:
    ids = await made(sandbox, "batches")

    await page(pair, "batches", f"limit=2&order=asc&before={ids[3]}")

    asked = [one.query for one in sandbox.log if one.path == "/v1/batches"]
    assert asked
    assert not [query for query in asked if "order" in query or "before" in query]


@pytest.mark.parametrize("limit", [1, 3, 10])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_an_order_that_objects_do_not_show_is_each_accounts_own(
    pair: Gateway, sandbox: Sandbox, limit: int, order: str
) -> None:
    ids = await made(sandbox, "evals")

    found = await walked(pair, "evals", f"limit={limit}&order={order}&order_by=updated_at")

    assert sorted(found) == sorted(ids), "each once"
    for account in "ab":
        own = [one for one in ids if one[2] == account]
        assert [one for one in found if one[2] == account] == (own if order == "asc" else own[::-1])
    assert all("order_by=updated_at" in one.query for one in sandbox.log if one.path == "/v1/evals")
    back, _ = await page(pair, "evals", f"limit={limit}&order={order}&order_by=updated_at&before={found[-1]}")
    assert back == found[:-1][-limit:]


async def test_by_their_creation_evals_are_merged_by_time(pair: Gateway, sandbox: Sandbox) -> None:
    ids = await made(sandbox, "evals")

    assert await walked(pair, "evals", "limit=3&order_by=created_at&order=asc") == ids
