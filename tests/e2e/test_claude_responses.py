"""Claude behind OpenAI's Responses API, through a real gateway with OpenAI's own SDK."""

import json

import pytest
from openai import APIError, BadRequestError, NotFoundError

from tests.fakes.anthropic_api import STOP, AnthropicApi, refused, written
from tests.unit.wire.openai_anthropic.samples import USAGE, arguments, begin, delta, end, event, start, stop_block, text

MODEL = "claude-opus-5-5"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}
THOUGHT = {"type": "thinking", "thinking": "I should look.", "signature": "EqQB+/="}
SAID = {"type": "text", "text": "Let me look."}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
WHOLE = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [THOUGHT, SAID, CALL]}
STREAM = (
    *(start(), begin(0, type="thinking", thinking="", signature="")),
    *(delta(0, type="thinking_delta", thinking=piece) for piece in ("I should ", "look.")),
    *(delta(0, type="signature_delta", signature="EqQB+/="), stop_block()),
    *(begin(1, type="text", text=""), text("Let me ", 1), text("look.", 1), stop_block(1)),
    *(begin(2, **CALL | {"input": {}}), arguments('{"city":', 2), arguments('"Rome"}', 2), stop_block(2)),
    *(end("tool_use"), STOP),
)
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


async def answered(client, **fields):
    return await client.responses.create(model=MODEL, tools=[TOOL], **fields)


async def streamed(client, **fields):
    async with client.responses.stream(model=MODEL, tools=[TOOL], **fields) as stream:
        return await stream.get_final_response()


async def test_a_response_reaches_claude(client, claude, api: AnthropicApi):
    response = await client.responses.create(
        model=MODEL, instructions="Be brief.", input="hi there", metadata={"a": "b"}, max_output_tokens=50
    )

    assert (response.output_text, response.status, response.store) == ("echo: hi there", "completed", False)
    assert (response.usage.input_tokens, response.usage.input_tokens_details.cached_tokens) == (35, 20)
    assert (response.instructions, response.metadata, response.max_output_tokens) == ("Be brief.", {"a": "b"}, 50)
    seen = api.seen[0]
    assert (seen.method, seen.target, seen.key) == ("POST", "/v1/messages", "sk-ant-a")
    assert (seen.body["system"], seen.body["max_tokens"]) == ([{"type": "text", "text": "Be brief."}], 50)
    told = (await claude.get("/api/v1/calls?limit=1")).json()["data"][0]
    assert (told["endpoint"], told["input_tokens"], told["output_tokens"]) == ("responses.create", 35, 9)


async def test_its_input_is_counted(client, api: AnthropicApi):
    counted = await client.responses.input_tokens.count(
        model=MODEL, instructions="Be brief.", input="hi there", tools=[TOOL], reasoning={"effort": "low"}
    )

    assert (counted.input_tokens, counted.object) == (14, "response.input_tokens")
    (seen,) = api.seen
    assert seen.target == "/v1/messages/count_tokens"
    assert seen.body.keys() == {"model", "messages", "system", "tools", "thinking", "output_config"}


async def test_an_image_reaches_claude(client, api: AnthropicApi):
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"}
    words = {"type": "input_text", "text": "what is it?"}

    await client.responses.create(model=MODEL, input=[{"role": "user", "content": [image, words]}])

    assert [block["type"] for block in api.seen[0].body["messages"][0]["content"]] == ["image", "text"]


async def test_a_stream_reaches_claude(client, claude):
    stream = await client.responses.create(model=MODEL, input="hi there", stream=True)
    events = [said async for said in stream]

    pieces = [said.delta for said in events if said.type == "response.output_text.delta"]
    assert "".join(pieces) == events[-1].response.output_text == "echo: hi there "
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [said.sequence_number for said in events] == list(range(len(events)))
    assert events[-1].response.usage.total_tokens == 44


@pytest.mark.parametrize(
    ("script", "ask"),
    [
        pytest.param(written(200, {**WHOLE, "stop_reason": "tool_use", "usage": USAGE}), answered, id="whole"),
        pytest.param(STREAM, streamed, id="stream"),
    ],
)
async def test_a_tool_is_called_and_its_result_goes_back_with_the_thought(client, api: AnthropicApi, script, ask):
    api.script("sk-ant-a", script)
    first = await ask(client, input="How warm is Rome?", reasoning={"effort": "high", "summary": "auto"})
    api.script("sk-ant-a")

    thought, said, call = first.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "18 °C"}
    last = await answered(
        client,
        input=[{"role": "user", "content": "How warm is Rome?"}, *first.output, result],
        reasoning={"effort": "high"},
    )

    assert (thought.summary[0].text, said.content[0].text) == ("I should look.", "Let me look.")
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Rome"})
    assert last.output_text == "echo: tool_result"
    asked = api.seen[1].body
    assert asked["messages"][1] == {"role": "assistant", "content": [THOUGHT, SAID, CALL]}
    assert asked["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert api.keys == ["sk-ant-a", "sk-ant-a"]


async def test_items_bind_nothing_to_an_account(client, api: AnthropicApi):
    first = await client.responses.create(model=MODEL, input="hi")
    api.script("sk-ant-a", refused(429, "rate_limit_error", "Slow", **{"retry-after": "30"}))

    given = [{"role": "user", "content": "hi"}, *first.output, {"role": "user", "content": "on"}]
    second = await client.responses.create(model=MODEL, input=given)

    assert second.output_text == "echo: on"
    assert api.keys == ["sk-ant-a", "sk-ant-a", "sk-ant-b"]


@pytest.mark.parametrize(
    "failed",
    [
        pytest.param(refused(529, "overloaded_error", "Overloaded"), id="529"),
        pytest.param((start(), OVERLOADED, STOP), id="first-event"),
        pytest.param((start(), begin(0, type="text", text="")), id="cut-before-content"),
        pytest.param((start(), begin(0, type="text", text=""), text("echo: "), OVERLOADED), id="in-the-middle"),
    ],
)
async def test_another_account_answers(client, api: AnthropicApi, failed):
    api.script("sk-ant-a", failed)

    stream = await client.responses.create(model=MODEL, input="hi there", stream=True)
    events = [said async for said in stream]

    assert "".join(said.delta for said in events if said.type == "response.output_text.delta") == "echo: hi there "
    assert events[-1].type == "response.completed"
    assert api.keys == ["sk-ant-a", "sk-ant-b"]


async def test_a_stream_that_cannot_be_told_to_its_end_fails(client, api: AnthropicApi):
    api.script("sk-ant-a", (start(), begin(0, type="text", text=""), text("Something else")))

    stream = await client.responses.create(model=MODEL, input="hi there", stream=True)
    with pytest.raises(APIError, match="broke in the middle"):
        [said async for said in stream]


@pytest.mark.parametrize(
    "fields",
    [{"store": True}, {"previous_response_id": "resp_1"}, {"background": True}, {"tools": [{"type": "web_search"}]}],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_claude_does_not_keep_or_run_is_refused(client, api: AnthropicApi, fields):
    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(model=MODEL, input="hi", **fields)

    assert caught.value.param.startswith(next(iter(fields)))
    assert [seen for seen in api.seen if seen.method == "POST"] == []


async def test_errors_have_openais_form(client, api: AnthropicApi):
    api.script("sk-ant-a", refused(400, "invalid_request_error", "prompt is too long: 1 > 0"))

    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(model=MODEL, input="hi")

    assert caught.value.code == "context_length_exceeded"


async def test_nothing_of_it_can_be_read_again(client):
    response = await client.responses.create(model=MODEL, input="hi")

    with pytest.raises((NotFoundError, BadRequestError)):
        await client.responses.retrieve(response.id)
