"""Claude's thoughts through a real gateway: an app of OpenAI's sends the message back as it came."""

import json

import pytest

from tests.fakes.anthropic_api import STOP, AnthropicApi, written
from tests.unit.wire.openai_anthropic.samples import USAGE, arguments, begin, delta, end, start, stop_block, text

MODEL = "claude-opus-5-5"
HI = [{"role": "user", "content": "How warm is Rome?"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
THOUGHT = {"type": "thinking", "thinking": "I should look.", "signature": "EqQB+/="}
HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}
SAID = {"type": "text", "text": "Let me look."}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
BLOCKS = [THOUGHT, SAID, HIDDEN, CALL]

WHOLE = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": BLOCKS}
STREAM = (
    *(start(), begin(0, type="thinking", thinking="", signature="")),
    *(delta(0, type="thinking_delta", thinking=piece) for piece in ("I should ", "look.")),
    *(delta(0, type="signature_delta", signature="EqQB+/="), stop_block()),
    *(begin(1, type="text", text=""), text("Let me ", 1), text("look.", 1), stop_block(1)),
    *(begin(2, **HIDDEN), stop_block(2), begin(3, **CALL | {"input": {}}), arguments('{"city":"Rome"}', 3)),
    *(stop_block(3), end("tool_use"), STOP),
)


async def answered(client, **fields):
    completion = await client.chat.completions.create(model=MODEL, messages=HI, tools=[TOOL], **fields)
    return completion.choices[0].message


async def streamed(client, **fields):
    async with client.chat.completions.stream(model=MODEL, messages=HI, tools=[TOOL], **fields) as stream:
        return (await stream.get_final_completion()).choices[0].message


@pytest.mark.parametrize(
    ("script", "ask"),
    [
        pytest.param(written(200, {**WHOLE, "stop_reason": "tool_use", "usage": USAGE}), answered, id="whole"),
        pytest.param(STREAM, streamed, id="stream"),
    ],
)
async def test_a_thought_that_led_to_a_tool_comes_back_with_its_result(client, api: AnthropicApi, script, ask):
    api.script("sk-ant-a", script)
    message = await ask(client, reasoning_effort="high")
    api.script("sk-ant-a")

    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 °C"}
    last = await client.chat.completions.create(
        model=MODEL, messages=[*HI, message, result], tools=[TOOL], reasoning_effort="high"
    )

    assert message.reasoning_content == "I should look."
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Rome"}
    assert last.choices[0].message.content == "echo: tool_result"
    asked = api.seen[1].body
    assert asked["messages"][1] == {"role": "assistant", "content": BLOCKS}
    assert asked["thinking"] == {"type": "adaptive", "display": "summarized"}
