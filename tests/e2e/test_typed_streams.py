"""Typed streams through a real gateway: Responses, images, sound and runs, with the official SDK and with faults."""

import msgspec
import openai
import pytest

from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault
from tests.e2e.stream_faults import broken, unseen
from tests.fakes.plain_sdk import plain_sdk

RESPONSES = "/v1/responses"
ASKED = {"model": "gpt-4", "input": "one two three", "stream": True, "store": False}
HALF_AN_EVENT = 'event: response.output_text.delta\ndata: {"type": "response.output_te\n\n'


@pytest.fixture
async def client(shared):
    async with plain_sdk(shared.gateway.url) as client:
        yield client


async def streamed(gateway, path=RESPONSES, **fields):
    return await gateway.client.post(path, json={**ASKED, **fields})


def events(answer):
    """The decoded events, in order."""
    return [
        msgspec.json.decode(raw.partition(b"data: ")[2]) for raw in answer.content.split(b"\n\n") if b"data: {" in raw
    ]


def text_of(answer):
    return "".join(event["delta"] for event in events(answer) if event.get("type") == "response.output_text.delta")


async def last_call(gateway):
    """What the log and the admin API say of the newest call."""
    return (await gateway.client.get("/api/v1/calls?limit=1")).json()["data"][0]


# -- the official SDK --------------------------------------------------------------------------------------------


async def test_a_response(client):
    stream = await client.responses.create(model="gpt-4", input="hi there", stream=True)
    told = [event async for event in stream]

    assert [told[0].type, told[-1].type] == ["response.created", "response.completed"]
    assert "".join(event.delta for event in told if event.type == "response.output_text.delta") == "echo: hi there"
    assert told[-1].response.usage.output_tokens == 3


async def test_a_response_with_the_helper_that_puts_it_together(client):
    async with client.responses.stream(model="gpt-4", input="hi there") as stream:
        final = await stream.get_final_response()

    assert final.output_text == "echo: hi there"


async def test_a_response_that_is_read_again_as_a_stream(client):
    made = await client.responses.create(model="gpt-4", input="hi there", extra_headers={"x-gateway-max-wait": "1"})

    stream = await client.responses.retrieve(made.id, stream=True)

    assert [event.type async for event in stream][-1] == "response.completed"


async def test_images(client):
    made = await client.images.generate(model="gpt-4", prompt="a dot", stream=True)
    types = [event.type async for event in made]
    changed = await client.images.edit(model="gpt-4", prompt="a dot", image=b"PNG", stream=True)

    assert types == ["image_generation.partial_image", "image_generation.completed"]
    assert [event.type async for event in changed][-1] == "image_edit.completed"


async def test_a_transcript(client):
    stream = await client.audio.transcriptions.create(model="gpt-4", file=("hi.wav", b"sound"), stream=True)
    told = [event async for event in stream]

    assert "".join(event.delta for event in told[:-1]) == told[-1].text == "echo: hi.wav of 5 bytes"


async def test_speech_in_events(client):
    asked = {"model": "gpt-4", "input": "hi there", "voice": "coral", "stream_format": "sse"}
    async with client.audio.speech.with_streaming_response.create(**asked) as answer:
        body = await answer.read()

    assert body.count(b"event: speech.audio.delta\n") == 2
    assert b"event: speech.audio.done\n" in body


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_run(client):
    assistant = await client.beta.assistants.create(model="gpt-4")
    stream = await client.beta.threads.create_and_run(assistant_id=assistant.id, instructions="hi there", stream=True)
    told = [event async for event in stream]

    assert (told[0].event, told[-1].event) == ("thread.created", "thread.run.completed")
    words = [event.data.delta.content[0].text.value for event in told if event.event == "thread.message.delta"]
    assert "".join(words) == "echo: hi there"


async def test_a_response_that_breaks_raises(client, shared):
    shared.sandbox.script(Fault("reset_in_body", after=6))
    shared.sandbox.behave("gpt-4", Behaviour(gap_s=0.02))

    stream = await client.responses.create(model="gpt-4", input="one two three", stream=True)

    with pytest.raises(openai.APIError) as broken:
        [event async for event in stream]
    assert (broken.value.code, broken.value.type) == ("upstream_error", "server_error")


async def test_a_response_that_breaks_and_is_not_kept_is_told_to_its_end_by_another_account(client, shared):
    shared.sandbox.script(Fault("reset_in_body", after=6), key="sk-a")
    shared.sandbox.behave("gpt-4", Behaviour(gap_s=0.02))

    async with client.responses.stream(model="gpt-4", input="one two three", store=False) as stream:
        told = [event async for event in stream]
        final = await stream.get_final_response()

    assert final.output_text == "echo: one two three"
    assert "".join(event.delta for event in told if event.type == "response.output_text.delta") == final.output_text
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert {event.item_id for event in told if event.type == "response.output_text.delta"} == {final.output[0].id}
    assert [seen.key for seen in shared.sandbox.log] == ["sk-a", "sk-b"]


# -- faults ------------------------------------------------------------------------------------------------------

UNSEEN = unseen(2, HALF_AN_EVENT)
BROKEN = broken(6, HALF_AN_EVENT) | {"no-last-event": Fault("no_done")}


@pytest.mark.parametrize("fault", UNSEEN.values(), ids=UNSEEN)
async def test_a_failure_before_content_moves_to_another_account_unseen(shared, fault):
    gateway, sandbox = shared
    sandbox.script(fault, key="sk-a")

    answer = await streamed(gateway)

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
    assert text_of(answer) == "echo: one two three"
    assert events(answer)[-1]["type"] == "response.completed"


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_a_response_that_breaks_ends_with_an_error_and_never_cleanly(shared, fault):
    gateway, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(gap_s=0.02))
    sandbox.script(fault)

    answer = await streamed(gateway, store=True)
    told = events(answer)

    assert answer.status_code == 200
    assert (told[-1]["type"], told[-1]["message"]) == ("error", told[-1]["error"]["message"])
    assert told[-1]["sequence_number"] == told[-2]["sequence_number"] + 1
    assert b"response.completed" not in answer.content


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/audio/speech"])
async def test_an_early_end_of_other_streams_is_told_in_their_form(shared, path):
    gateway, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(gap_s=0.05))
    sandbox.script("no_done")

    answer = await streamed(gateway, path, prompt="a dot", voice="coral", stream_format="sse")

    assert events(answer)[-1]["error"]["code"] == "upstream_error"
    assert answer.content.rstrip().rpartition(b"\n\n")[2].startswith(b"event: error\n")


async def test_usage_of_a_stream_and_its_splice_are_shown(shared):
    gateway, sandbox = shared
    await streamed(gateway)
    plain = await last_call(gateway)
    sandbox.behave("gpt-4", Behaviour(gap_s=0.05))
    sandbox.script(Fault("reset_in_body", after=3), key="sk-a")
    await gateway.chat("one two three", stream=True)
    spliced = await last_call(gateway)

    assert (plain["input_tokens"], plain["output_tokens"], plain["is_spliced"]) == (7, 4, False)
    assert (spliced["outcome"], spliced["is_spliced"]) == ("ok", True)
    assert [attempt["broke"] for attempt in spliced["trail"]] == ["unreachable", None]
    assert b'gateway_streams_broken_total{provider="openai",spliced="true"}' in (await gateway.get("/metrics")).content


@pytest.mark.parametrize("fields", [{"background": True}, {"tools": [{"type": "mcp"}]}], ids=["background", "tools"])
async def test_a_response_that_acts_is_not_made_twice(shared, fields):
    gateway, sandbox = shared
    sandbox.script("close_before_headers", key="sk-a")

    plain = await streamed(gateway)
    sandbox.reset()
    sandbox.script("close_before_headers", key="sk-a")
    acting = await streamed(gateway, **fields)

    assert plain.status_code == 200
    assert (acting.status_code, acting.json()["error"]["code"]) == (504, "outcome_unknown")
    assert acting.headers["x-should-retry"] == "false"
    assert [seen.key for seen in sandbox.log] == ["sk-a"]
