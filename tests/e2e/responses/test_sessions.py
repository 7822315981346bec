"""Responses over a WebSocket: with the official SDK, and what passes."""

import asyncio

import msgspec
from openai.lib.responses_websocket import AsyncResponsesWebSocketSession, ResponsesWebSocketLimits

from tests.e2e.realtime.kit import bearer, made_key
from tests.e2e.realtime.node import by_node
from tests.e2e.responses.kit import ask, calls_of, heard, opened, told
from tests.fakes.gateway_fixture import until
from tests.waits import PATIENCE_S

LIMITS = ResponsesWebSocketLimits(
    max_lanes=8, max_events_per_lane=128, max_events=512, max_bytes_per_lane=1 << 20, max_bytes=1 << 20
)


async def answered(connection) -> tuple[str, object]:
    """Text, and the last event."""
    text = ""
    async for event in connection:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type in {"response.completed", "response.failed", "error"}:
            return text, event
    raise AssertionError("the connection ended")


async def test_a_response_over_a_websocket_comes_as_from_openai(client, talk):
    async with client.responses.connect() as connection:
        await connection.response.create(model="gpt-4o", input="hi")
        text, last = await answered(connection)

    assert text == "one two"
    assert last.response.usage.total_tokens == 7
    assert talk.asked == [("sk-a", {"type": "response.create", "model": "gpt-4o", "input": "hi"})]


async def test_a_turn_may_go_on_from_one_that_only_the_connection_remembers(client, upstream, talk):
    async with client.responses.connect() as connection:
        for id_ in (None, "resp_1", "resp_2"):
            previous = {} if id_ is None else {"previous_response_id": id_}
            await connection.response.create(model="gpt-4o", input="hi", store=False, **previous)
            assert (await answered(connection))[1].type == "response.completed"

    assert [asked.get("previous_response_id") for _, asked in talk.asked] == [None, "resp_1", "resp_2"]
    assert upstream.keys() == ["sk-a"]
    assert upstream.requests == []  # nobody was asked who has it


async def test_lanes_run_side_by_side_on_one_connection(client, upstream, talk):
    talk.between.clear()
    async with (
        client.responses.connect() as connection,
        AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session,
    ):
        one, two = session.lane("one"), session.lane("two")
        for lane in (one, two, session.default):
            await lane.send({"type": "response.create", "model": "gpt-4o", "input": "hi"})
        await until(lambda: len(talk.asked) == 3, "three responses at once")
        talk.between.set()
        ids = {(await lane.get_final_response()).id for lane in (one, two, session.default)}

    assert len(ids) == 3
    assert upstream.keys() == ["sk-a"]


async def test_within_a_lane_one_response_follows_the_other(gateway, talk):
    talk.between.clear()
    async with opened(gateway) as socket:
        await ask(socket, input="first")
        await ask(socket, input="second")
        await until(lambda: talk.asked, "the first")
        assert [asked["input"] for _, asked in talk.asked] == ["first"]
        talk.between.set()
        both = await heard(socket) + await heard(socket)

    assert [event["response"]["id"] for event in both if "response" in event] == [*["resp_1"] * 2, *["resp_2"] * 2]


async def test_messages_pass_both_ways_as_they_were_written(gateway, upstream, talk):
    said = '{"type": "response.create",  "model":"gpt-4o", "input":"\\u00fc", "x": 1.0}'
    answer = '{"type": "response.completed",\n  "response": {"id": "resp_9", "y": 1.0, "org": "caf\\u00e9"}}'

    async def script(socket, seen):
        seen.received.append(await socket.recv())
        await socket.send('{"type":"response.created", "response":{"id":"resp_9"}}')
        await socket.send('{"type":"of.tomorrow",  "delta":"x"}')
        await socket.send(answer)
        await socket.send('{"type":"after",  "all": true}')
        await socket.wait_closed()

    upstream.script = script
    async with opened(gateway) as socket:
        await socket.send(said)
        got = [await asyncio.wait_for(socket.recv(), PATIENCE_S) for _ in range(4)]

    assert upstream.last.received == [said]
    assert got == [
        '{"type":"response.created", "response":{"id":"resp_9"}}',
        '{"type":"of.tomorrow",  "delta":"x"}',
        answer,
        '{"type":"after",  "all": true}',
    ]


async def test_a_model_is_renamed_by_its_route(gateway, registry, talk):
    await registry.add_route("my-model", upstream_model="gpt-4o-mini")
    await until(lambda: "my-model" in gateway.snapshot.exact_routes, "the route")

    async with opened(gateway) as socket:
        await told(socket, model="my-model", input="a")
        await told(socket, model="gpt-4", input="b")

    assert [asked["model"] for _, asked in talk.asked] == ["gpt-4o-mini", "gpt-4"]


async def test_headers_and_query_of_the_handshake_go_along_without_keys(gateway, upstream, talk):
    headers = {"openai-beta": "responses_multi_agent=v1", "x-mine": "1", "authorization": "Bearer gw-secret"}
    async with opened(gateway, query="?beta=true&api-key=gw-secret", additional_headers=headers) as socket:
        assert socket.response.headers["x-request-id"].startswith("req_")
        await told(socket, input="a")

    seen = upstream.last
    assert seen.path == "/v1/responses?beta=true"
    assert (seen.headers["openai-beta"], seen.headers["x-mine"]) == ("responses_multi_agent=v1", "1")
    assert "gw-secret" not in str(seen.headers)
    assert "content-type" not in seen.headers


async def test_a_browsers_key_is_taken_from_the_subprotocols_and_never_said_again(keyed, upstream, talk):
    _, key = await made_key(keyed)
    async with opened(keyed, subprotocols=["realtime", f"openai-insecure-api-key.{key}"]) as socket:
        assert socket.subprotocol == "realtime"
        assert (await told(socket, input="a"))["type"] == "response.completed"

    assert key not in str(upstream.last.headers)


async def test_every_response_is_a_call_and_the_session_is_one(keyed, talk):
    id_, key = await made_key(keyed)
    async with opened(keyed, additional_headers=bearer(key)) as socket:
        request_id = socket.response.headers["x-request-id"]
        await told(socket, input="a")
        await told(socket, input="b", model="gpt-4")
    first, second, session = await calls_of(keyed, 3)

    assert [(call["endpoint"], call["status"], call["model"]) for call in (first, second, session)] == [
        ("responses.create", 200, "gpt-4o"),
        ("responses.create", 200, "gpt-4"),
        ("responses.socket", 101, None),
    ]
    assert [call["call_id"] for call in (first, second, session)] == [f"{request_id}.1", f"{request_id}.2", request_id]
    assert [call["attempts"] for call in (first, second, session)] == [1, 1, 0]
    assert {call["client_key_id"] for call in (first, second, session)} == {id_}
    assert [(call["input_tokens"], call["output_tokens"]) for call in (first, second, session)] == [
        (5, 2),
        (5, 2),
        (0, 0),
    ]
    assert len({call["account_id"] for call in (first, second, session)}) == 1


async def test_what_is_steered_goes_home_and_the_response_that_follows_is_counted(gateway, registry, talk):
    async with opened(gateway) as socket:
        first = await told(socket, input="a")
        await registry.execute("UPDATE accounts SET tier = 1 - tier")  # others would go to the other one now
        await until(lambda: {one.tier for one in gateway.snapshot.accounts.values() if one.label == "sk-a"} == {1}, "")
        steer = {"type": "response.steer", "previous_response_id": first["response"]["id"], "input": "more"}
        talk.on_other = lambda _heard: [{"type": "response.steer.accepted"}, *talk.usual({"model": "gpt-4o"})]
        await socket.send(msgspec.json.encode(steer).decode())
        events = await heard(socket)
        await told(socket, input="b", previous_response_id=events[-1]["response"]["id"])

    assert talk.heard == [steer]
    assert [event["type"] for event in events[:2]] == ["response.steer.accepted", "response.created"]
    calls = await calls_of(gateway, 4)
    assert [call["output_tokens"] for call in calls] == [2, 2, 2, 0]
    assert len({call["account_id"] for call in calls}) == 1
    found, _ = await gateway.service.affinity.known.find(["resp_1", "resp_2"])
    assert found["resp_1"].account_id == found["resp_2"].account_id == calls[0]["account_id"]


async def test_the_node_sdk_goes_on_from_turn_to_turn(gateway, upstream, talk, tmp_path):
    assert await by_node(gateway, "responses.mjs", tmp_path) == ["one two", "one two"]
    assert "gw-anything" not in str([each.headers for each in upstream.seen])
