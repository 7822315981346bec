"""Which account serves: refusals before an answer has begun, limits, providers that have no such thing."""

import asyncio

import pytest

from gateway.core.outcome import OutcomeKind
from tests.e2e.realtime.kit import refused
from tests.e2e.responses.kit import ask, calls_of, heard, opened, refusal, said, told
from tests.fakes import socket_upstream
from tests.fakes.gateway_fixture import until
from tests.fakes.response_socket import RATE_LIMITED, error_event
from tests.fakes.socket_upstream import OVERLOADED, REJECTED, Refusal
from tests.waits import PATIENCE_S

HURRIED = {"x-gateway-max-wait": "0"}
QUOTA = error_event(None, "insufficient_quota", "You exceeded your current quota", "insufficient_quota")


@pytest.mark.parametrize("refusal", [socket_upstream.RATE_LIMITED, REJECTED, OVERLOADED], ids=["429", "401", "503"])
async def test_an_upgrade_that_is_refused_moves_on_to_another_account(gateway, upstream, talk, refusal):
    upstream.refusals["sk-a"] = refusal

    async with opened(gateway) as socket:
        assert (await told(socket, input="a"))["type"] == "response.completed"

    assert upstream.keys() == ["sk-a", "sk-b"]


@pytest.mark.parametrize("event", [RATE_LIMITED, QUOTA], ids=["rate-limit", "quota-without-status"])
async def test_an_error_in_place_of_an_answer_moves_on_unseen_and_parks(gateway, upstream, talk, event):
    talk.answers = lambda key, _asked: [event] if key == "sk-a" else None

    for _ in range(2):
        async with opened(gateway) as socket:
            await ask(socket, input="a")
            events = await heard(socket)

    assert [event["type"] for event in events][::3] == ["response.created", "response.completed"]
    assert upstream.keys() == ["sk-a", "sk-b", "sk-b"]
    await asyncio.wait_for(upstream.seen[0].ended.wait(), PATIENCE_S)


async def test_an_error_behind_what_holds_no_content_is_unseen_too(gateway, upstream, talk):
    def answers(key, asked):
        return [talk.usual(asked)[0], {**QUOTA}] if key == "sk-a" else None

    talk.answers = answers
    async with opened(gateway) as socket:
        await ask(socket, input="a")
        events = await heard(socket)

    assert [event["type"] for event in events].count("response.created") == 1
    assert events[-1]["type"] == "response.completed"
    assert upstream.keys() == ["sk-a", "sk-b"]


async def test_when_every_account_is_limited_the_caller_reads_when_to_come_back(gateway, talk):
    talk.answers = lambda _key, _asked: [RATE_LIMITED]

    async with opened(gateway, additional_headers=HURRIED) as socket:
        event = await told(socket, input="a", stream_id="one")
        talk.answers = lambda _key, _asked: None
        other = await told(socket, input="a", model="gpt-4")

    assert (event["status"], event["stream_id"], event["error"]["code"]) == (429, "one", "rate_limit_exceeded")
    assert 25 <= int(event["error"]["headers"]["retry-after"]) <= 31
    assert other["type"] == "response.completed"  # the connection is as good as new
    assert [call["outcome"] for call in await calls_of(gateway, 3)] == [OutcomeKind.RATE_LIMITED, "ok", "ok"]


async def test_a_limit_met_later_reaches_the_caller_and_parks_the_account_for_others(gateway, upstream, talk):
    async with opened(gateway, additional_headers=HURRIED) as socket:
        await told(socket, input="a")
        talk.answers = lambda key, _asked: [RATE_LIMITED] if key == "sk-a" else None
        limited = await told(socket, input="b", previous_response_id="resp_1")
        again = await refusal(socket, input="c", previous_response_id="resp_1")
        async with opened(gateway) as another:
            await told(another, input="d")

    assert (limited["status"], limited["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 25 <= int(limited["error"]["headers"]["retry-after"]) <= 31
    assert again == (429, "rate_limit_exceeded")
    assert [(key, asked["input"]) for key, asked in talk.asked] == [("sk-a", "a"), ("sk-a", "b"), ("sk-b", "d")]


async def test_an_error_in_the_middle_is_the_upstreams_own_without_the_accounts_identity(gateway, talk):
    talk.answers = lambda _key, asked: [*talk.usual(asked)[:2], RATE_LIMITED]

    async with opened(gateway) as socket:
        await ask(socket, input="a", stream_id="one")
        last = (await heard(socket))[-1]

    assert last["error"]["message"] == "Rate limit reached for gpt-4o in organization org-*** on requests per min."
    assert last["error"]["headers"] == {"retry-after": "30"}
    assert (last["status"], last["stream_id"], last["sequence_number"]) == (429, "one", 2)
    (account,) = [one for one in gateway.snapshot.accounts.values() if one.label == "sk-a"]
    status = await gateway.get(f"/api/v1/accounts/{account.id}/status")
    assert "rate_limited" in status.text


async def test_a_later_message_that_met_an_overload_is_sent_again_on_the_same_connection(gateway, upstream, talk):
    overloaded = error_event(503, "server_is_overloaded", "The engine is overloaded", "server_error")
    async with opened(gateway) as socket:
        await told(socket, input="a")
        # What belongs to no response must not wait for one that is still to be asked for again.
        talk.answers = lambda _key, _asked: [overloaded, {"type": "of.all", "stream_id": "z"}]
        await ask(socket, input="b")
        await until(lambda: len(talk.asked) == 2, "the message")
        talk.answers = lambda _key, _asked: None
        events = await heard(socket)

    assert events[-1]["type"] == "response.completed"
    assert [asked["input"] for _, asked in talk.asked] == ["a", "b", "b"]
    assert upstream.keys() == ["sk-a"]


async def test_a_callers_fault_is_told_in_the_upstreams_words_and_costs_nobody_anything(gateway, upstream, talk):
    gone = error_event(400, "previous_response_not_found", "Previous response with id 'resp_x' not found.")
    talk.answers = lambda _key, asked: [gone] if asked["input"] == "bad" else None

    async with opened(gateway) as socket:
        first = await told(socket, input="bad")
        assert (await told(socket, input="good"))["type"] == "response.completed"
        second = await told(socket, input="bad")

    assert first["error"] == second["error"] == gone["error"]
    assert [key for key, _ in talk.asked] == ["sk-a"] * 3


@pytest.mark.parametrize("status", [404, 405, 426])
async def test_a_provider_without_it_is_told_apart_from_a_model_that_is_not_there(gateway, upstream, talk, status):
    upstream.refusals["sk-a"] = Refusal(status, b"Not Found")

    async with opened(gateway) as socket:
        assert await refusal(socket, input="a") == (426, "websocket_not_supported")
        upstream.refusals.clear()
        assert (await told(socket, input="a"))["type"] == "response.completed"

    assert upstream.keys() == ["sk-a", "sk-a"]  # it does not rest
    told_at_once, _, _ = await refused(gateway, "", path="/v1/responses")
    assert told_at_once == 426


async def test_kinds_that_cannot_are_refused_at_the_handshake_where_there_are_no_others(gateway, registry, upstream):
    await registry.add_provider("azure", upstream.url, kind="azure_openai", settings={"api_version": "2024-10-21"})
    await registry.add_provider("anthropic", upstream.url, kind="anthropic")
    await until(lambda: len(gateway.snapshot.providers) == 3, "the providers")

    for name in ("azure", "anthropic"):
        status, _, body = await refused(gateway, "", path="/v1/responses", additional_headers={"x-provider": name})
        assert (status, body["error"]["code"]) == (426, "websocket_not_supported")

    async with opened(gateway) as socket:
        assert await refusal(socket, model="claude-sonnet-4-5", input="a") == (426, "websocket_not_supported")
        assert await refusal(socket, model="nothing-like-it", input="a") == (404, "model_not_found")
    assert upstream.seen == []


async def test_azure_takes_keys_as_bearer_tokens_at_its_path_without_a_date(gateway, registry, upstream, talk):
    settings = {"deployments": {"gpt-x": "prod"}}
    await registry.add_provider("azure", upstream.url, kind="azure_openai", settings=settings, supported_models=[])
    await registry.add_account("azure-key", "azure")
    await registry.add_route("gpt-x", "azure")
    await until(lambda: len(gateway.snapshot.providers) == 2 and "gpt-x" in gateway.snapshot.exact_routes, "azure")
    await gateway.serves(accounts=3)

    async with opened(gateway) as socket:
        last = await told(socket, model="gpt-x", input="a")

    assert last["type"] == "response.completed", last

    (upgrade,) = upstream.seen
    assert (upgrade.path, upgrade.key) == ("/openai/v1/responses", "azure-key")
    assert "api-key" not in upgrade.headers
    ((_, asked),) = talk.asked
    assert asked["model"] == "prod"


async def test_a_model_of_another_provider_needs_another_connection(gateway, registry, upstream, talk):
    await registry.add_provider("other", upstream.url, kind="openai_compatible")
    await registry.add_account("sk-o", "other")
    await registry.add_route("other-*", "other")
    await until(lambda: "other-*" in str(gateway.snapshot.prefix_routes), "the route")
    await gateway.serves(accounts=3)

    async with opened(gateway) as socket:
        await told(socket, input="a")
        assert await refusal(socket, model="other-1", input="b") == (400, "model_elsewhere")
        assert (await told(socket, input="c"))["type"] == "response.completed"

    assert [key for key, _ in talk.asked] == ["sk-a", "sk-a"]


async def test_a_first_message_goes_along_the_fallbacks_of_its_route(gateway, registry, talk):
    await registry.add_route("my-model", upstream_model="gpt-4o", fallbacks=["gpt-4o-mini"])
    await until(lambda: "my-model" in gateway.snapshot.exact_routes, "the route")
    talk.answers = lambda _key, asked: [RATE_LIMITED] if asked["model"] == "gpt-4o" else None

    async with opened(gateway) as socket:
        await ask(socket, model="my-model", input="a")
        assert (await heard(socket))[0]["response"]["model"] == "gpt-4o-mini"


async def test_an_account_that_is_gone_is_told_and_no_other_takes_its_place(gateway, registry, upstream, talk):
    async with opened(gateway) as socket:
        await told(socket, input="a")
        await registry.execute("UPDATE accounts SET is_active = false WHERE label = 'sk-a'")
        await gateway.serves(accounts=1)
        assert await refusal(socket, input="b") == (400, "model_elsewhere")

    assert upstream.keys() == ["sk-a"]


async def test_lanes_wait_for_each_other_where_the_account_has_one_place(gateway, registry, talk):
    await registry.execute("UPDATE accounts SET max_concurrency = 1")
    await until(lambda: all(one.max_concurrency == 1 for one in gateway.snapshot.accounts.values()), "the limit")
    talk.between.clear()
    async with opened(gateway) as socket:
        await ask(socket, input="a", stream_id="one")
        await said(socket)
        await ask(socket, input="b", stream_id="two")
        await until(lambda: gateway.service.waiting.calls == 1, "the second to wait")
        talk.between.set()
        ends = [(await heard(socket))[-1]["stream_id"] for _ in range(2)]

    assert ends == ["one", "two"]
    assert [key for key, _ in talk.asked] == ["sk-a", "sk-a"]
