"""Realtime sessions through a gateway with the sandbox behind it: as a user tries them without an API key."""

from openai import AsyncOpenAI

from gateway.sandbox.faults import Fault


async def test_sessions_rotate_over_the_sandboxs_accounts(shared):
    shared.sandbox.script(Fault("rate_limited", key="sk-a", retry_after="60"))

    async with (
        AsyncOpenAI(base_url=f"{shared.gateway.url}/v1", api_key="any") as client,
        client.realtime.connect(model="gpt-4") as session,
    ):
        await session.recv()
        await session.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        )
        await session.response.create()
        types = []
        while not types or types[-1] != "response.done":
            types.append((await session.recv()).type)

    assert types[0] == "conversation.item.added"
    assert [seen.key for seen in shared.sandbox.log if seen.path == "/v1/realtime"] == ["sk-a", "sk-b"]
