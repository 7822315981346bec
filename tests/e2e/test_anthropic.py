"""Claude through a real gateway: chat completions with OpenAI's SDK, messages as Anthropic's SDKs send them."""

import json

import openai
import pytest

from gateway.settings import AuthMode, Settings
from tests.fakes.anthropic_api import STOP, UNLISTED, AnthropicApi, refused, written
from tests.fakes.gateway_fixture import Gateway, connected, running_gateway, until
from tests.unit.wire.openai_anthropic.samples import begin, event, start, text

MODEL = "claude-opus-5-5"
HI = [{"role": "user", "content": "hi there"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
NATIVE = {"model": MODEL, "max_tokens": 50, "messages": HI}
VERSION = {"anthropic-version": "2023-06-01", "x-api-key": "anything"}
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


async def messages(gateway: Gateway, path="/v1/messages", headers=VERSION, **fields):
    return await gateway.client.post(path, json={**NATIVE, **fields}, headers=headers)


def events_of(answer):
    return [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]


async def last_call(gateway: Gateway):
    return (await gateway.get("/api/v1/calls?limit=1")).json()["data"][0]


# -- OpenAI's SDK ------------------------------------------------------------------------------------------------


async def test_a_chat_reaches_claude(client, claude, api: AnthropicApi):
    answer = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "system", "content": "Be brief."}, *HI], user="u-1"
    )

    assert answer.choices[0].message.content == "echo: hi there"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (35, 20)
    seen = api.seen[0]
    assert (seen.method, seen.target, seen.key) == ("POST", "/v1/messages", "sk-ant-a")
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in seen.headers
    assert seen.body["system"] == [{"type": "text", "text": "Be brief."}]
    assert seen.body["metadata"] == {"user_id": "u-1"}
    told = await last_call(claude)
    assert (told["provider"], told["input_tokens"], told["output_tokens"]) == ("anthropic", 35, 9)


async def test_a_stream_reaches_claude(client, claude):
    stream = await client.chat.completions.create(
        model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "echo: hi there "
    assert chunks[-1].usage.total_tokens == 44
    assert (await last_call(claude))["input_tokens"] == 35


async def test_tools_are_called_and_their_results_go_back(client, api: AnthropicApi):
    first = await client.chat.completions.create(model=MODEL, messages=HI, tools=[TOOL])
    call = first.choices[0].message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 °C"}
    second = await client.chat.completions.create(
        model=MODEL, messages=[*HI, first.choices[0].message, result], tools=[TOOL]
    )

    assert (first.choices[0].finish_reason, call.function.name) == ("tool_calls", "weather")
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    assert second.choices[0].message.content == "echo: tool_result"
    asked, told = api.seen[1].body["messages"][1:]
    assert asked["content"][-1] == {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
    assert told["content"][0]["tool_use_id"] == "toolu_1"


async def test_tools_are_called_in_streams_too(client):
    async with client.chat.completions.stream(model=MODEL, messages=HI, tools=[TOOL]) as stream:
        final = await stream.get_final_completion()

    call = final.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == (
        "toolu_1",
        "weather",
        {"city": "Rome"},
    )


@pytest.mark.parametrize(
    "failed",
    [
        pytest.param(refused(429, "rate_limit_error", "Slow", **{"retry-after": "30"}), id="429"),
        pytest.param(refused(529, "overloaded_error", "Overloaded"), id="529"),
        pytest.param(refused(401, "authentication_error", "invalid x-api-key"), id="401"),
        pytest.param((start(), OVERLOADED, STOP), id="first-event"),
        pytest.param((start(), begin(0, type="text", text="")), id="cut-before-content"),
    ],
)
async def test_another_account_answers(client, api: AnthropicApi, failed):
    api.script("sk-ant-a", failed)

    stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "echo: hi there "
    assert api.keys == ["sk-ant-a", "sk-ant-b"]


async def test_a_limited_account_rests_as_long_as_it_was_told(client, claude, api: AnthropicApi):
    api.script("sk-ant-a", refused(429, "rate_limit_error", "Slow", **{"retry-after": "30"}))

    for _ in range(3):
        await client.chat.completions.create(model=MODEL, messages=HI)

    assert api.keys == ["sk-ant-a", "sk-ant-b", "sk-ant-b", "sk-ant-b"]


async def test_a_stream_that_breaks_is_told_to_its_end(client, api: AnthropicApi):
    api.script("sk-ant-a", (start(), begin(0, type="text", text=""), text("echo: "), text("hi "), OVERLOADED))

    stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "echo: hi there "


async def test_a_stream_that_breaks_for_good_raises(client, api: AnthropicApi):
    broken = (start(), begin(0, type="text", text=""), text("echo: "), OVERLOADED)
    api.script("sk-ant-a", broken)
    api.script("sk-ant-b", broken)

    stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
    with pytest.raises(openai.APIError) as caught:
        [chunk async for chunk in stream]

    assert caught.value.code == "server_is_overloaded"


async def test_errors_about_the_call_are_the_sdks_own(client, api: AnthropicApi):
    api.script("sk-ant-a", refused(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"))

    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model=MODEL, messages=HI)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model=MODEL, messages=HI, n=2)
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "n")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model=MODEL, input="x")
    assert caught.value.code == "endpoint_not_supported"
    assert len(api.seen) == 1


async def test_models_are_listed(client, claude):
    await claude.service.catalog.refresh(claude.snapshot, only_changed=False)

    assert [model.id async for model in client.models.list()] == ["claude-haiku-4-5", "claude-opus-5-5"]
    listed = (await claude.client.get("/v1/models", headers=VERSION)).json()
    assert listed["first_id"] == "claude-haiku-4-5"
    missing = await claude.client.get("/v1/models/claude-x", headers=VERSION)
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")


# -- Anthropic's own API -----------------------------------------------------------------------------------------


async def test_a_message_passes_as_it_is(claude, api: AnthropicApi):
    odd = json.dumps({**NATIVE, "of_tomorrow": 1.0}, indent=1).encode()
    headers = {**VERSION, "anthropic-beta": "b1", "content-type": "application/json"}

    answer = await claude.client.post("/v1/messages?beta=true", content=odd, headers=headers)

    assert answer.json()["content"][0]["text"] == "echo: hi there"
    assert answer.headers["request-id"] == "req_011"
    assert "anthropic-organization-id" not in answer.headers
    seen = api.seen[0]
    assert (seen.target, seen.key) == ("/v1/messages?beta=true", "sk-ant-a")
    assert (seen.body, seen.headers["anthropic-beta"]) == (json.loads(odd), "b1")
    assert (await last_call(claude))["input_tokens"] == 35


async def test_a_stream_of_messages_passes_as_it_is(claude):
    answer = await messages(claude, stream=True)

    types = [event["type"] for event in events_of(answer)]
    assert (types[0], types[-1]) == ("message_start", "message_stop")
    assert answer.text.startswith("event: message_start\n")
    told = await last_call(claude)
    assert (told["input_tokens"], told["output_tokens"], told["is_stream"]) == (35, 9, True)


async def test_another_account_answers_messages(claude, api: AnthropicApi):
    api.script("sk-ant-a", refused(529, "overloaded_error", "Overloaded"), (start(), OVERLOADED, STOP))

    whole = await messages(claude)
    streamed = await messages(claude, stream=True)

    assert (whole.status_code, streamed.status_code) == (200, 200)
    assert api.keys == ["sk-ant-a", "sk-ant-b"] * 2
    assert events_of(streamed)[-1]["type"] == "message_stop"


async def test_a_truncated_stream_of_messages_is_told_to_its_end(claude, api: AnthropicApi):
    api.script("sk-ant-a", (start(id="msg_0"), begin(0, type="text", text=""), text("ec")))

    events = events_of(await messages(claude, stream=True))

    assert "".join(said["delta"].get("text", "") for said in events if "delta" in said) == "echo: hi there "
    assert (events[0]["message"]["id"], events[-1]["type"]) == ("msg_0", "message_stop")
    assert api.keys == ["sk-ant-a", "sk-ant-b"]


async def test_a_truncated_stream_of_messages_says_so(claude, api: AnthropicApi):
    api.script("sk-ant-a", (start(), begin(0, type="text", text=""), text("Something else")))

    answer = await messages(claude, stream=True)

    last = events_of(answer)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert "event: error\n" in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/agents", {"model": {"id": MODEL}, "name": "a"}, id="a-path-that-both-have"),
        pytest.param("/v1/vaults", {"name": "a"}, id="another"),
        pytest.param("/v1/memory_stores", {"name": "a"}, id="a-path-of-anthropics-alone"),
    ],
)
async def test_other_paths_of_its_api_go_to_claude_whatever_else_there_is(
    claude, registry, sandbox, api: AnthropicApi, path, body
):
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a", "openai")
    await claude.serves(accounts=3)
    api.script("sk-ant-a", written(200, {"id": "x"}))

    answer = await claude.client.post(path, json=body, headers=VERSION)

    assert (answer.status_code, answer.json()) == (200, {"id": "x"})
    assert answer.headers["x-gateway-provider"] == "anthropic"


async def test_of_a_model_that_no_list_has_claude_is_asked(claude):
    answer = await claude.client.get(f"/v1/models/{UNLISTED}", headers=VERSION)

    assert (answer.status_code, answer.json()["id"]) == (200, UNLISTED)


async def test_tokens_are_counted(claude, api: AnthropicApi):
    counted = await messages(claude, "/v1/messages/count_tokens")

    assert counted.json() == {"input_tokens": 14}
    assert api.seen[0].target == "/v1/messages/count_tokens"


async def test_a_batch_is_found_in_the_account_that_made_it(claude, api: AnthropicApi):
    api.script("sk-ant-a", refused(429, "rate_limit_error", "Slow", **{"retry-after": "1"}))
    made = await claude.client.post("/v1/messages/batches", json={"requests": []}, headers=VERSION)
    api.script("sk-ant-a")
    claude.service.board.clear(next(iter(claude.snapshot.accounts)))
    found = await claude.client.get(f"/v1/messages/batches/{made.json()['id']}", headers=VERSION)

    results = await claude.client.get(found.json()["results_url"], headers=VERSION)

    assert (made.status_code, found.json()) == (200, made.json())
    assert results.json()["custom_id"] == "a"
    assert api.keys == ["sk-ant-a", "sk-ant-b", "sk-ant-b", "sk-ant-b"]


async def test_what_tools_are_called_with_names_nothing(claude, registry, sandbox, api: AnthropicApi):
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-o", "openai")
    await claude.serves(accounts=3)
    made = await claude.client.post("/v1/threads", json={}, headers={"x-provider": "openai"})
    called = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "f",
        "input": {"thread_id": made.json()["id"], "file_id": "f"},
    }
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    talk = [*HI, {"role": "assistant", "content": [called]}, {"role": "user", "content": [result]}]

    answer = await messages(claude, messages=talk)

    assert (made.status_code, answer.status_code) == (200, 200)
    assert api.keys == ["sk-ant-a"]


async def test_a_container_leads_back_to_its_account(claude, api: AnthropicApi):
    message = {"id": "msg_1", "type": "message", "content": [], "container": {"id": "container_1"}}
    api.script("sk-ant-a", refused(529, "overloaded_error"))
    api.script("sk-ant-b", written(200, message))
    tools = [{"type": "code_execution_20250825", "name": "code_execution"}]
    await messages(claude, tools=tools)
    api.script("sk-ant-a")

    answers = [await messages(claude, tools=tools, container="container_1") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert api.keys == ["sk-ant-a", "sk-ant-b", "sk-ant-b", "sk-ant-b"]


async def test_batches_of_all_accounts_are_one_list(claude, api: AnthropicApi):
    for number in range(5):
        api.script("sk-ant-a", *([refused(529, "overloaded_error", "Overloaded")] if number in {1, 4} else []))
        await claude.client.post("/v1/messages/batches", json={"requests": []}, headers=VERSION)
    api.script("sk-ant-a")
    for account_id in claude.snapshot.accounts:
        claude.service.board.clear(account_id)

    shown, after = [], ""
    while True:
        page = (await claude.client.get(f"/v1/messages/batches?limit=2{after}", headers=VERSION)).json()
        shown += [batch["id"] for batch in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after_id={page['last_id']}"

    assert shown == [f"msgbatch_{number}" for number in range(5, 0, -1)]
    assert api.keys[:7] == ["sk-ant-a", "sk-ant-a", "sk-ant-b", "sk-ant-a", "sk-ant-a", "sk-ant-a", "sk-ant-b"]


async def test_errors_of_the_gateway_are_anthropics(claude, api: AnthropicApi):
    api.script("sk-ant-a", refused(429, "rate_limit_error", "Slow", **{"retry-after": "300"}))
    api.script("sk-ant-b", refused(429, "rate_limit_error", "Slow", **{"retry-after": "200"}))

    limited = await messages(claude)
    wrong = await claude.client.post("/v1/messages", content=b"{", headers=VERSION)

    assert (limited.status_code, limited.json()["type"]) == (429, "error")
    error = limited.json()["error"]
    assert (error["type"], error["details"]) == ("rate_limit_error", {"error_code": "rate_limit_exceeded"})
    assert 190 < int(limited.headers["retry-after"]) <= 201
    assert limited.json()["request_id"] == limited.headers["request-id"] == limited.headers["x-request-id"]
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_a_model_of_openais_has_no_messages(claude, registry, sandbox):
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-o", "openai")
    await claude.serves(accounts=3)

    answer = await messages(claude, model="gpt-4")

    assert (answer.status_code, answer.json()["error"]["details"]["error_code"]) == (400, "endpoint_not_supported")


async def test_a_client_key_goes_where_anthropics_sdk_puts_it(database_url, api):
    settings = Settings(auth=AuthMode.KEYS)
    async with running_gateway(database_url, settings) as gateway, connected(database_url) as registry:
        await registry.add_provider("anthropic", api.url, kind="anthropic", supported_models=[])
        await registry.add_account("sk-ant-a", "anthropic")
        await gateway.serves(accounts=1)
        asked = {"name": "app", "models": ["claude-opus-*"]}
        key = (await gateway.client.post("/api/v1/keys", json=asked)).json()["key"]
        await until(lambda: gateway.snapshot.keys, "a key")

        refused_ = await messages(gateway)
        answered = await messages(gateway, headers={**VERSION, "x-api-key": key})
        batch = {"requests": [{"custom_id": "a", "params": {**NATIVE, "model": "claude-haiku-4-5"}}]}
        forbidden = await gateway.client.post("/v1/messages/batches", json=batch, headers={**VERSION, "x-api-key": key})

    assert (refused_.status_code, refused_.json()["error"]["type"]) == (401, "authentication_error")
    assert answered.status_code == 200
    assert (forbidden.status_code, forbidden.json()["error"]["type"]) == (403, "permission_error")
    assert api.keys == ["sk-ant-a"]
