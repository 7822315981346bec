"""Ids in messages: known before the caller reads them, their owner's, and met where they live."""

import msgspec

from gateway.core.affinity import Binding
from tests.e2e.realtime.kit import bearer, made_key
from tests.e2e.responses.kit import ask, heard, opened, refusal, said, told


def learn(gateway, id_: str, label: str, kind: str = "responses", owner: str | None = None) -> None:
    holder = next(each for each in gateway.snapshot.accounts.values() if each.label == label)
    now = gateway.service.clock.wall_now()
    gateway.service.affinity.known.learn([Binding(id_, kind, holder.provider_id, holder.id, owner, None, now)])


async def test_a_response_is_known_before_its_caller_can_name_it(keyed, talk):
    _, key = await made_key(keyed, name="one")
    _, other = await made_key(keyed, name="two")
    async with opened(keyed, additional_headers=bearer(key)) as socket:
        await ask(socket, input="a")
        first = await said(socket)
        found, _ = await keyed.service.affinity.known.find([first["response"]["id"]])
        await heard(socket)

    assert found["resp_1"].owner is not None
    async with opened(keyed, additional_headers=bearer(other)) as socket:
        refused = await told(socket, input="b", previous_response_id="resp_1", stream_id="x")
    assert (refused["status"], refused["stream_id"]) == (400, "x")
    assert refused["error"]["code"] == "previous_response_not_found"
    async with opened(keyed, additional_headers=bearer(key)) as socket:
        assert (await told(socket, input="c", previous_response_id="resp_1"))["type"] == "response.completed"
    assert [asked["input"] for _, asked in talk.asked] == ["a", "c"]


async def test_a_response_that_is_not_stored_is_its_connections_alone(keyed, talk):
    _, key = await made_key(keyed)
    async with opened(keyed, additional_headers=bearer(key)) as socket:
        await told(socket, input="a", store=False)
        found, _ = await keyed.service.affinity.known.find(["resp_1"])

    assert found == {}


async def test_the_first_message_goes_where_what_it_names_lives(gateway, talk):
    learn(gateway, "resp_b", "sk-b")
    learn(gateway, "conv_b", "sk-b", "conversations")

    for named in ({"previous_response_id": "resp_b"}, {"conversation": {"id": "conv_b"}}):
        async with opened(gateway) as socket:
            await told(socket, input="a", **named)

    assert [key for key, _ in talk.asked] == ["sk-b", "sk-b"]


async def test_what_lives_elsewhere_is_refused_and_the_connection_stays(gateway, talk):
    learn(gateway, "file-b", "sk-b", "files")
    inputs = [{"role": "user", "content": [{"type": "input_file", "file_id": "file-b"}]}]
    async with opened(gateway) as socket:
        await told(socket, input="a")
        assert await refusal(socket, input=inputs) == (400, "mixed_account_references")
        steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": inputs}
        await socket.send(msgspec.json.encode(steer).decode())
        assert (await heard(socket))[-1]["error"]["code"] == "mixed_account_references"
        assert (await told(socket, input="b"))["type"] == "response.completed"

    assert [asked["input"] for _, asked in talk.asked] == ["a", "b"]
    assert talk.heard == []


async def test_ids_that_are_written_twice_are_refused(gateway, talk):
    async with opened(gateway) as socket:
        for message in (
            '{"type":"response.create","model":"gpt-4o","previous_response_id":"a","previous_response_id":"b"}',
            '{"type":"response.create","type":"response.steer","model":"gpt-4o"}',
        ):
            await socket.send(message)
            assert (await heard(socket))[-1]["error"]["code"] == "duplicate_member"

    assert talk.asked == []
