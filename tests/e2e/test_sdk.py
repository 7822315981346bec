"""The official OpenAI Python SDK against the gateway."""

import asyncio

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from gateway.sandbox.faults import Fault
from gateway.settings import AuthMode, Settings
from tests.fakes.gateway_fixture import running_gateway

HI = [{"role": "user", "content": "hi there"}]


@pytest.fixture
async def client(shared):
    async with AsyncOpenAI(base_url=f"{shared.gateway.url}/v1", api_key="sk-anything", max_retries=0) as client:
        yield client


async def test_chat(client):
    answer = await client.chat.completions.create(model="gpt-4", messages=HI)

    assert answer.choices[0].message.content == "echo: hi there"
    assert answer.usage.completion_tokens == 3


async def test_a_stream(client):
    stream = await client.chat.completions.create(model="gpt-4", messages=HI, stream=True)
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "echo: hi there"
    assert all(chunk.usage is None for chunk in chunks)


async def test_a_stream_with_usage(client):
    stream = await client.chat.completions.create(
        model="gpt-4", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3


async def test_completions(client):
    whole = await client.completions.create(model="gpt-4", prompt="hi there")
    stream = await client.completions.create(model="gpt-4", prompt="hi there", stream=True)

    assert whole.choices[0].text == "".join([chunk.choices[0].text async for chunk in stream])


async def test_models(client):
    listed = [model.id async for model in client.models.list()]

    assert sorted(listed) == ["gpt-4", "gpt-4o"]
    assert (await client.models.retrieve("gpt-4")).id == "gpt-4"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-99")


async def test_raw_answers_show_the_gateways_headers(client):
    raw = await client.chat.completions.with_raw_response.create(model="gpt-4", messages=HI)

    assert raw.headers["x-gateway-provider"] == "openai"
    assert raw.headers["x-gateway-attempts"] == "1"
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.parse().choices


ERRORS = {
    "bad_request": openai.BadRequestError,
    "context_length_exceeded": openai.BadRequestError,
    "unprocessable": openai.UnprocessableEntityError,
    "conflict": openai.ConflictError,
    "not_found": openai.NotFoundError,
    "rate_limited_per_day": openai.RateLimitError,
    "insufficient_quota": openai.RateLimitError,
    "unsupported_region": openai.PermissionDeniedError,
    "server_error": openai.InternalServerError,
    "overloaded": openai.InternalServerError,
    "invalid_api_key": openai.InternalServerError,
}


@pytest.mark.parametrize(("kind", "error"), ERRORS.items(), ids=ERRORS)
async def test_errors_have_the_sdks_classes(client, shared, kind, error):
    shared.sandbox.script(Fault(kind, times=None, retry_after="60" if kind == "rate_limited_per_day" else None))

    with pytest.raises(error) as caught:
        await client.chat.completions.create(model="gpt-4", messages=HI)

    assert type(caught.value) is error
    assert caught.value.request_id.startswith("req_")


async def test_a_wrong_parameter_is_a_bad_request_that_names_it(client):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="gpt-4", messages=HI, temperature=9.5)

    assert (caught.value.param, caught.value.code) == ("temperature", "decimal_above_max_value")


async def test_a_broken_stream_raises(client, shared):
    shared.sandbox.script(Fault("stream_error", after=0, times=None))

    with pytest.raises(openai.APIError):
        async for _ in await client.chat.completions.create(model="gpt-4", messages=HI, stream=True):
            pass


async def test_the_sdk_retries_when_it_is_told_a_short_time(shared):
    shared.sandbox.script([Fault("rate_limited", key=key, retry_after_ms="300") for key in ("sk-a", "sk-b")])
    async with AsyncOpenAI(base_url=f"{shared.gateway.url}/v1", api_key="x", max_retries=2) as client:
        answer = await client.chat.completions.create(
            model="gpt-4", messages=HI, extra_headers={"x-gateway-max-wait": "0"}
        )

    assert answer.choices[0].message.content == "echo: hi there"


async def test_the_sdk_does_not_retry_an_empty_purse(shared):
    shared.sandbox.script(Fault("insufficient_quota", times=None))
    async with AsyncOpenAI(base_url=f"{shared.gateway.url}/v1", api_key="x", max_retries=5) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="gpt-4", messages=HI)

    assert len(shared.sandbox.log) == 2


async def test_a_missing_key_is_an_authentication_error(database_url):
    async with (
        running_gateway(database_url, Settings(auth=AuthMode.KEYS)) as gateway,
        AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="gw-nobody", max_retries=0) as client,
    ):
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="gpt-4", messages=HI)


async def test_the_blocking_client(shared):
    def use():
        with OpenAI(base_url=f"{shared.gateway.url}/v1", api_key="x", http_client=None, max_retries=0) as client:
            whole = client.chat.completions.create(model="gpt-4", messages=HI)
            stream = client.chat.completions.create(model="gpt-4", messages=HI, stream=True)
            return whole.choices[0].message.content, "".join(part.choices[0].delta.content or "" for part in stream)

    assert await asyncio.to_thread(use) == ("echo: hi there", "echo: hi there")


async def test_a_caller_of_another_kind_gets_the_same(shared):
    """No SDK at all, HTTP/1.0-like: a plain client that closes."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{shared.gateway.url}/v1/chat/completions",
            json={"model": "gpt-4", "messages": HI},
            headers={"connection": "close"},
        )

    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
