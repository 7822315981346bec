"""Responses over a WebSocket through a gateway with the sandbox behind it: as a user tries them without an API key."""

from openai import AsyncOpenAI

from gateway.sandbox.faults import Fault


async def test_a_conversation_begins_at_the_account_that_has_room_and_stays_there(shared):
    shared.sandbox.script(Fault("rate_limited", key="sk-a", path="/v1/responses", retry_after="60", times=None))

    texts, previous = [], None
    async with (
        AsyncOpenAI(base_url=f"{shared.gateway.url}/v1", api_key="any") as client,
        client.responses.connect() as connection,
    ):
        for said in ("hi", "more"):
            named = {} if previous is None else {"previous_response_id": previous}
            await connection.response.create(model="gpt-4", input=said, store=False, **named)
            texts.append("")
            async for event in connection:
                texts[-1] += getattr(event, "delta", "")
                if event.type == "response.completed":
                    previous = event.response.id
                    break

    assert texts == ["echo: hi", "echo: more"]
    asked = [(seen.key, seen.status) for seen in shared.sandbox.log if seen.path == "/v1/responses"]
    assert asked == [("sk-a", 429), ("sk-b", 101), ("sk-b", 200), ("sk-b", 200)]
