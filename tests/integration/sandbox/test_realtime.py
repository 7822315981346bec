"""Realtime sessions with the sandbox, by OpenAI's own client."""

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import InvalidStatus

from gateway.sandbox.config import LimitRule, SandboxConfig
from gateway.sandbox.server import Sandbox
from tests.fakes.sandbox_fixture import running_sandbox

MODEL = "gpt-realtime"
LIMITED = SandboxConfig(limits=(LimitRule(requests=2, tokens=1000),))


def client_of(sandbox: Sandbox) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="sk-a", base_url=f"{sandbox.url}/v1", max_retries=0)


def said(text: str) -> dict[str, object]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def until_done(session) -> list:
    events = []
    while not events or events[-1].type != "response.done":
        events.append(await session.recv())
    return events


async def test_a_session_says_again_what_it_hears() -> None:
    async with (
        running_sandbox() as sandbox,
        client_of(sandbox) as client,
        client.realtime.connect(model=MODEL) as session,
    ):
        created = await session.recv()
        await session.conversation.item.create(item=said("hi there"))
        await session.response.create()
        events = await until_done(session)

        assert (created.type, created.session.model) == ("session.created", MODEL)
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert text.strip() == "echo: hi there"
        assert events[-1].response.usage.total_tokens == 5
        assert (sandbox.log[0].status, sandbox.log[0].model) == (101, MODEL)

    assert sandbox.log[0].ended_at is not None


async def test_an_upgrade_is_charged_and_refused_like_a_call() -> None:
    async with running_sandbox(LIMITED) as sandbox, client_of(sandbox) as client:
        sandbox.script("invalid_api_key")
        with pytest.raises(InvalidStatus) as refused:
            await client.realtime.connect(model=MODEL).enter()
        async with client.realtime.connect(model=MODEL) as session:
            await session.recv()
            await session.response.create()
            events = await until_done(session)
        with pytest.raises(InvalidStatus) as limited:
            await client.realtime.connect(model=MODEL).enter()

    assert refused.value.response.status_code == 401
    assert [event.type for event in events][:2] == ["response.created", "rate_limits.updated"]
    assert events[-1].response.status == "failed"
    assert events[-1].response.status_details.error.code == "rate_limit_exceeded"
    assert limited.value.response.status_code == 429


async def test_what_it_does_not_know_is_an_error_and_ends_nothing() -> None:
    async with (
        running_sandbox() as sandbox,
        client_of(sandbox) as client,
        client.realtime.connect(model=MODEL) as session,
    ):
        await session.recv()
        await session.send_raw("no json")
        first = await session.recv()
        await session.send_raw('{"type": "dance"}')
        second = await session.recv()
        await session.session.update(session={"type": "realtime", "instructions": "be brief"})
        third = await session.recv()

    assert (first.type, second.type, third.type) == ("error", "error", "session.updated")
    assert third.session.instructions == "be brief"


async def test_a_client_that_hangs_up_is_seen() -> None:
    async with running_sandbox() as sandbox, client_of(sandbox) as client:
        session = await client.realtime.connect(model=MODEL).enter()
        await session.recv()
        session._connection.transport.abort()
        await sandbox.wait_for(lambda log: log[0].is_hung_up)

        assert sandbox.connections == 0
