"""A model that nobody serves is served by its route's fallbacks, at whichever provider they are."""

import pytest

from gateway.sandbox.faults import Fault
from tests.fakes.sandbox_fixture import running_sandbox

CHAT = "/v1/chat/completions"


@pytest.fixture
async def other():
    async with running_sandbox() as running:
        yield running


@pytest.fixture
async def two_providers(gateway, registry, other):
    """`gpt-4` at `openai`; it falls back to `spare-1`, which another provider calls `spare-1-2026`."""
    await registry.add_provider("other", other.url, kind="openai_compatible", supported_models=[])
    await registry.add_route("gpt-4", fallbacks=["spare-1"])
    await registry.add_route("spare-*", "other", upstream_model="spare-1-2026")
    await registry.add_account("sk-a")
    await registry.add_account("sk-other", "other")
    await gateway.serves(accounts=2)
    return gateway


def served(sandbox):
    return [(seen.key, seen.model) for seen in sandbox.log if seen.path == CHAT]


async def test_a_model_at_its_limit_is_served_by_its_fallback_at_another_provider(two_providers, sandbox, other):
    sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60"))

    answer = await two_providers.chat()

    assert answer.status_code == 200
    assert answer.headers["x-gateway-model"] == "spare-1"
    assert answer.headers["x-gateway-provider"] == "other"
    assert answer.headers["x-gateway-attempts"] == "2"
    assert served(sandbox) == [("sk-a", "gpt-4")]
    assert served(other) == [("sk-other", "spare-1-2026")]


async def test_a_stream_falls_back_before_its_first_content(two_providers, sandbox, other):
    sandbox.script(Fault("overloaded_529", key="sk-a", times=4))

    answer = await two_providers.chat(stream=True)

    assert answer.headers["x-gateway-model"] == "spare-1"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "error" not in answer.text


async def test_a_policy_refusal_is_the_callers_answer(two_providers, sandbox, other):
    sandbox.script("content_filter", key="sk-a")

    answer = await two_providers.chat()

    assert answer.status_code == 400
    assert "x-gateway-model" not in answer.headers
    assert served(other) == []
