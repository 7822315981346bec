"""Realtime sessions through a whole gateway: OpenAI's own clients, what passes, what is told of it."""

import asyncio
import contextlib

import msgspec
import openai
import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.realtime.kit import MODEL, dial, ended_call
from tests.e2e.realtime.node import by_node
from tests.fakes.gateway_fixture import until
from tests.fakes.socket_upstream import CREATED
from tests.waits import PATIENCE_S


async def test_openais_client_speaks_through_the_gateway(gateway, upstream):
    client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any")

    async with client.realtime.connect(model=MODEL) as session:
        created = await session.recv()
        await session.response.create(response={"instructions": "hi"})
        said = await session.recv_bytes()

    assert created.type == "session.created"
    assert msgspec.json.decode(said)["response"] == {"instructions": "hi"}
    assert upstream.last.key == "sk-a"
    assert upstream.last.path == f"/v1/realtime?model={MODEL}"
    await client.close()


async def test_text_and_bytes_pass_both_ways_as_they_are(gateway, upstream):
    async with dial(gateway) as socket:
        assert await socket.recv() == CREATED
        for message in ("tëxt", b"\x00\xff", "", b""):
            await socket.send(message)
            assert await socket.recv() == message

    await upstream.last.ended.wait()
    assert upstream.last.received == ["tëxt", b"\x00\xff", "", b""]


async def test_fragments_arrive_as_one_message(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        await socket.send(["one ", "two ", "three"])

        assert await socket.recv() == "one two three"


async def test_an_event_of_20_mib_passes_both_ways(gateway, upstream):
    message = "a" * (20 * 1024 * 1024)

    async with dial(gateway) as socket:
        await socket.recv()
        await socket.send(message)

        assert await socket.recv() == message


async def test_a_message_beyond_the_limit_ends_the_session_with_1009(gateway, upstream):
    async with dial(gateway) as socket:
        await socket.recv()
        with contextlib.suppress(ConnectionClosed):  # it may be told in the middle
            await socket.send("a" * (33 * 1024 * 1024))
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    assert socket.close_code == 1009
    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)


async def test_the_model_is_renamed_by_its_route_and_the_rest_of_the_query_stays(gateway, registry, upstream):
    await registry.add_route("my-voice", upstream_model="gpt-realtime-2025-08-28")
    await until(lambda: "my-voice" in gateway.snapshot.exact_routes, "the route")

    async with dial(gateway, "?a=%20b&model=my-voice&c=d") as socket:
        await socket.recv()

    assert upstream.last.path == "/v1/realtime?a=%20b&model=gpt-realtime-2025-08-28&c=d"


async def test_a_session_without_a_model_goes_to_the_only_provider(gateway, upstream):
    async with dial(gateway, "?intent=transcription") as socket:
        await socket.recv()

    assert upstream.last.path == "/v1/realtime?intent=transcription"


async def test_translations_have_their_own_path(gateway, upstream):
    async with dial(gateway, path="/v1/realtime/translations") as socket:
        await socket.recv()

    assert upstream.last.path == f"/v1/realtime/translations?model={MODEL}"


async def test_usage_is_read_from_the_events_and_shown_with_the_call(gateway, upstream):
    done = msgspec.json.encode(
        {
            "type": "response.done",
            "response": {
                "status": "completed",
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 5,
                    "input_token_details": {"cached_tokens": 4, "audio_tokens": 6},
                },
            },
        }
    ).decode()

    async def script(socket, seen):
        await socket.send(CREATED)
        await socket.send(done)
        await socket.send(done)
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway) as socket:
        for _ in range(3):
            await socket.recv()

    await until(lambda: gateway.service.board.in_flight_calls == 0, "the session's end")
    call = await ended_call(gateway)
    assert (call["endpoint"], call["model"], call["status"], call["outcome"]) == ("realtime", MODEL, 101, "ok")
    assert (call["input_tokens"], call["output_tokens"], call["cached_tokens"]) == (20, 10, 8)
    assert (call["chunks"], call["bytes"]) == (3, len(CREATED) + 2 * len(done))


async def test_limits_told_in_a_session_set_its_account_aside(gateway, upstream):
    limits = (
        '{"type":"rate_limits.updated","rate_limits":[{"name":"requests","limit":60,"remaining":0,"reset_seconds":60}]}'
    )

    async def script(socket, seen):
        await socket.send(CREATED)
        await socket.send(limits)
        await socket.wait_closed()

    upstream.script = script

    async with dial(gateway) as socket:
        await socket.recv()
        assert await socket.recv() == limits
        async with dial(gateway) as other:
            await other.recv()

    assert upstream.keys() == ["sk-a", "sk-b"]


async def test_the_node_sdk_speaks_as_a_server_and_as_a_browser(gateway, upstream, tmp_path):
    assert await by_node(gateway, "realtime.mjs", tmp_path) == {
        "server": ["session.created", "response.create"],
        "browser": ["session.created", "response.create"],
    }
    assert "gw-anything" not in str([each.headers for each in upstream.seen])
