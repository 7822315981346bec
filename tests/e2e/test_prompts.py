"""Prompts and workflows: made in a provider's dashboard, in one account's project, known here by their use alone."""

import json

import httpx2
import pytest

from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.e2e.owners import made_outside
from tests.fakes.gateway_fixture import Gateway, Registry, until

PROMPT = "pmpt_" + "5" * 24
WORKFLOW = "wf_" + "6" * 24


@pytest.fixture
async def dashboards(pair: Gateway, registry: Registry, sandbox: Sandbox) -> Gateway:
    """Three accounts; the third one, the last to be chosen, has the prompt and the workflow."""
    await registry.add_account("sk-c", tier=2)
    await pair.serves(accounts=3)
    for key in ("sk-a", "sk-b", "sk-c"):
        await made_outside(sandbox, key)
    shelf = list(sandbox._service._objects._shelves.values())[2]
    shelf.put("/prompts", {"id": PROMPT})
    shelf.put("/workflows", {"id": WORKFLOW})
    return pair


async def respond(gateway: Gateway, prompt: str = PROMPT, **fields: object) -> httpx2.Response:
    body = {"model": "gpt-4", "input": "hi", "prompt": {"id": prompt, "variables": {"name": "x"}}, **fields}
    return await gateway.client.post("/v1/responses", json=body)


def asked(sandbox: Sandbox, path: str = "/v1/responses") -> list[str]:
    return [one.key for one in sandbox.log if one.path == path]


async def test_a_prompt_is_found_by_asking_and_kept_to_from_then_on(dashboards: Gateway, sandbox: Sandbox) -> None:
    first = await respond(dashboards)
    second = await respond(dashboards, stream=True)

    assert (first.status_code, first.headers["x-gateway-attempts"]) == (200, "3")
    assert second.text.count("response.completed") == 2
    assert asked(sandbox) == ["sk-a", "sk-b", "sk-c", "sk-c"]


async def test_so_is_a_workflow(dashboards: Gateway, sandbox: Sandbox) -> None:
    body = {"workflow": {"id": WORKFLOW}, "user": "u"}

    answers = [await dashboards.client.post("/v1/chatkit/sessions", json=body) for _ in range(2)]

    assert [one.status_code for one in answers] == [200, 200]
    assert asked(sandbox, "/v1/chatkit/sessions")[-2:] == ["sk-c", "sk-c"]


async def test_the_prompt_of_a_session_in_a_form(dashboards: Gateway, sandbox: Sandbox) -> None:
    session = json.dumps({"type": "realtime", "model": "gpt-4", "prompt": {"id": PROMPT}})
    await respond(dashboards)

    await dashboards.client.post("/v1/realtime/calls", files={"session": (None, session)})

    assert asked(sandbox, "/v1/realtime/calls") == ["sk-c"]


async def test_what_nobody_has_is_refused_as_it_came_and_believed_for_a_while(
    dashboards: Gateway, sandbox: Sandbox
) -> None:
    answers = [await respond(dashboards, "pmpt_" + "7" * 24) for _ in range(2)]

    assert [one.status_code for one in answers] == [404, 404]
    assert asked(sandbox) == ["sk-a", "sk-b", "sk-c", "sk-a"]


async def test_another_refusal_moves_nothing(dashboards: Gateway, sandbox: Sandbox) -> None:
    sandbox.script(Fault("bad_request", path="/v1/responses"))

    assert (await respond(dashboards)).status_code == 400
    assert asked(sandbox) == ["sk-a"]


async def test_an_account_that_rests_leaves_it_unsure(dashboards: Gateway, sandbox: Sandbox) -> None:
    sandbox.script(Fault("rate_limited", key="sk-c", path="/v1/responses", retry_after="60"))

    unsure = await respond(dashboards)

    assert (unsure.status_code, unsure.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    for account_id in dashboards.snapshot.accounts:
        dashboards.service.board.clear(account_id)
    assert (await respond(dashboards)).status_code == 200


async def test_a_deleted_account_makes_it_unknown_again(
    dashboards: Gateway, registry: Registry, sandbox: Sandbox
) -> None:
    await respond(dashboards)
    await registry.execute("DELETE FROM accounts WHERE label = 'sk-c'")
    await registry.add_account("sk-c", label="the same project again", tier=2)
    gone = next(row.id for row in dashboards.snapshot.accounts.values() if row.label == "sk-c")
    await until(lambda: gone not in dashboards.snapshot.accounts and len(dashboards.snapshot.accounts) == 3, "it")

    assert (await respond(dashboards)).status_code == 200


async def test_a_completions_prompt_is_a_text(dashboards: Gateway, sandbox: Sandbox) -> None:
    await dashboards.client.post("/v1/completions", json={"model": "gpt-4", "prompt": PROMPT})

    assert asked(sandbox, "/v1/completions") == ["sk-a"]
