"""Responses over a WebSocket with the sandbox, by OpenAI's own client."""

import pytest
from websockets.exceptions import InvalidStatus

from gateway.sandbox.config import LimitRule, SandboxConfig
from tests.fakes.sandbox_fixture import running_sandbox
from tests.integration.sandbox.test_realtime import client_of

LIMITED = SandboxConfig(limits=(LimitRule(requests=1, tokens=1000),))


async def answered(connection) -> list:
    events = []
    while not events or events[-1].type not in {"response.completed", "error"}:
        events.append(await connection.recv())
    return events


async def test_turns_go_on_from_what_the_connection_remembers() -> None:
    async with running_sandbox() as sandbox, client_of(sandbox) as client:
        async with client.responses.connect() as connection:
            await connection.response.create(model="gpt-4o", input="hi there", store=False, stream_id="one")
            first = await answered(connection)
            previous = first[-1].response.id
            await connection.response.create(model="gpt-4o", input="more", previous_response_id=previous)
            second = await answered(connection)
        async with client.responses.connect() as connection:
            await connection.response.create(model="gpt-4o", input="more", previous_response_id=previous)
            (elsewhere,) = await answered(connection)

    text = "".join(event.delta for event in first if event.type == "response.output_text.delta")
    assert text == "echo: hi there"
    assert {event.stream_id for event in first} == {"one"}
    assert second[-1].response.previous_response_id == previous
    assert (elsewhere.status, elsewhere.error.code) == (400, "previous_response_not_found")
    assert [(seen.method, seen.status) for seen in sandbox.log] == [
        *[("GET", 101), ("POST", 200), ("POST", 200)],
        *[("GET", 101), ("POST", 400)],
    ]


async def test_messages_are_charged_and_meet_faults_as_calls_do() -> None:
    async with running_sandbox(LIMITED) as sandbox, client_of(sandbox) as client:
        sandbox.script("invalid_api_key")
        with pytest.raises(InvalidStatus) as refused:
            await client.responses.connect().enter()
        async with client.responses.connect() as connection:
            sandbox.script("server_error")
            for _ in range(2):
                await connection.response.create(model="gpt-4o", input="hi")
            (broken,), fine = await answered(connection), await answered(connection)
            await connection.response.create(model="gpt-4o", input="hi")
            (limited,) = await answered(connection)

    assert refused.value.response.status_code == 401
    assert (broken.status, fine[-1].type) == (500, "response.completed")
    assert (limited.status, limited.error.code) == (429, "rate_limit_exceeded")
    assert limited.error.headers["x-ratelimit-limit-requests"] == "1"


async def test_what_is_no_request_for_a_response_is_told_so() -> None:
    async with (
        running_sandbox() as sandbox,
        client_of(sandbox) as client,
        client.responses.connect() as connection,
    ):
        for message in ("hello", '{"type":"response.steer"}'):
            await connection.send_raw(message)
            (event,) = await answered(connection)
            assert event.status == 400
