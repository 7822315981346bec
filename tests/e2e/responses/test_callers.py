"""Who may ask for what: client keys, keys of callers' own, and messages that are none."""

import asyncio

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.realtime.kit import bearer, made_key, refused
from tests.e2e.responses.kit import ask, calls_of, heard, opened, refusal, said, told
from tests.fakes.gateway_fixture import DEFAULTS, running_gateway, until
from tests.fakes.response_socket import RATE_LIMITED
from tests.waits import PATIENCE_S


async def test_a_session_needs_a_client_key_where_calls_do(keyed, upstream):
    status, _, body = await refused(keyed, "", path="/v1/responses")

    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert upstream.seen == []


async def test_a_keys_models_hold_for_every_message(keyed, talk):
    _, key = await made_key(keyed, models=["gpt-4o"])

    async with opened(keyed, additional_headers=bearer(key)) as socket:
        before = await refusal(socket, model="gpt-4", input="a")
        assert (await told(socket, input="b"))["type"] == "response.completed"
        after = await refusal(socket, model="gpt-4", input="c")
        await socket.send('{"type":"of.tomorrow","model":"gpt-4"}')
        other = (await heard(socket))[-1]["error"]["code"]

    assert before == after == (403, "model_not_allowed")
    assert other == "model_not_allowed"
    assert [asked["input"] for _, asked in talk.asked] == ["b"]
    assert talk.heard == []
    outcomes = [(call["outcome"], call["status"], call["code"]) for call in await calls_of(keyed, 4)]
    assert outcomes == [
        ("refused", 403, "model_not_allowed"),
        ("ok", 200, None),
        ("refused", 403, "model_not_allowed"),
        ("ok", 101, None),
    ]


async def test_a_revoked_key_asks_no_more_and_ends_its_session(keyed, upstream, talk):
    id_, key = await made_key(keyed)

    async with opened(keyed, additional_headers=bearer(key)) as socket:
        await told(socket, input="a")
        await keyed.client.delete(f"/api/v1/keys/{id_}", headers={"authorization": "Bearer token"})
        await until(lambda: not keyed.snapshot.keys, "the key to be gone")
        assert await refusal(socket, input="b") == (401, "invalid_api_key")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), PATIENCE_S)

    assert closed.value.rcvd.code == 1008
    await asyncio.wait_for(upstream.last.ended.wait(), PATIENCE_S)


async def test_a_caller_may_bring_a_providers_key_of_its_own(database_url, registry, upstream, talk):
    talk.answers = lambda key, _asked: [RATE_LIMITED] if key == "sk-mine-2" else None
    await registry.add_provider("openai", upstream.url, supported_models=[])
    async with running_gateway(database_url, msgspec.structs.replace(DEFAULTS, byok=True)) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)
        for key in ("sk-mine", "sk-mine-2"):
            async with opened(gateway, additional_headers={"x-provider": "openai", **bearer(key)}) as socket:
                first = await told(socket, input="a")
                second = await told(socket, input="b", previous_response_id="resp_1")
        found, _ = await gateway.service.affinity.known.find(["resp_1"])

    assert upstream.keys()[0] == "sk-mine"
    assert [key for key, _ in talk.asked] == ["sk-mine", "sk-mine", "sk-mine-2", "sk-mine-2"]
    assert (first["status"], second["status"]) == (429, 429)
    assert found == {}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param("hello", "invalid_json", id="text"),
        pytest.param(b"\xff\x00", "invalid_json", id="bytes"),
        pytest.param("[]", "invalid_json", id="list"),
        pytest.param('{"type":"response.create","model":7}', "invalid_type", id="model"),
        pytest.param('{"type":"response.create","model":"gpt-4o","stream_id":7}', "invalid_type", id="lane"),
        pytest.param(
            f'{{"type":"response.create","model":"gpt-4o","stream_id":"{"a" * 257}"}}',
            "string_above_max_length",
            id="long",
        ),
        pytest.param('{"type":"response.steer","previous_response_id":"x","input":"a"}', "invalid_value", id="steer"),
        pytest.param('{"model":"gpt-4o"}', "invalid_value", id="no-type"),
    ],
)
async def test_a_message_that_is_none_is_told_so_and_the_connection_stays(gateway, upstream, talk, message, code):
    async with opened(gateway) as socket:
        await socket.send(message)
        (event,) = await heard(socket)
        assert (event["status"], event["error"]["code"]) == (400, code)
        assert (await told(socket, input="a"))["type"] == "response.completed"

    assert len(upstream.seen) == 1


async def test_a_message_may_come_as_bytes(gateway, talk):
    async with opened(gateway) as socket:
        await socket.send(b'{"type":"response.create","model":"gpt-4o","input":"a"}')
        assert (await heard(socket))[-1]["type"] == "response.completed"


async def test_a_cut_character_hides_no_message_from_the_books(gateway, talk):
    async with opened(gateway) as socket:
        for _ in range(2):
            await socket.send('{"type":"response.create","model":"gpt-4o","input":"cut \\ud83d"}')
            assert (await heard(socket))[-1]["type"] == "response.completed"

    assert [call["endpoint"] for call in await calls_of(gateway, 3)][:2] == ["responses.create"] * 2


async def test_more_responses_at_once_than_a_connection_may_ask_for_are_refused(gateway, talk):
    talk.between.clear()
    async with opened(gateway) as socket:
        for _ in range(65):
            await ask(socket, input="a")
        events = []
        while not events or events[-1]["type"] != "error":
            events.append(await said(socket))
        talk.between.set()

    assert (events[-1]["status"], events[-1]["error"]["code"]) == (429, "too_many_responses")
