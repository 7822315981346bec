import asyncio
import base64
import gzip
import json
import struct

import pytest
from openai import AsyncOpenAI, AuthenticationError, RateLimitError

from gateway.sandbox.config import Algorithm, Behaviour, KeyConfig, LimitRule, SandboxConfig
from gateway.sandbox.server import Sandbox
from tests.fakes.plain_sdk import plain_sdk
from tests.fakes.sandbox_fixture import running_sandbox
from tests.integration.sandbox.raw_client import CHAT, STREAM, ask, connect, receive, written
from tests.waits import PATIENCE_S

TWO_KEYS = SandboxConfig(
    keys={
        "sk-a": KeyConfig(org="org-1", project="proj_1"),
        "sk-b": KeyConfig(org="org-1", project="proj_2"),
        "sk-c": KeyConfig(org="org-2", models=("gpt-4o*",)),
    },
    limits=(LimitRule(requests=2, tokens=1000),),
)


def client_of(sandbox: Sandbox, key: str = "sk-a") -> AsyncOpenAI:
    return plain_sdk(sandbox.url, key)


async def test_openai_sdk_reads_a_chat() -> None:
    async with running_sandbox() as sandbox, client_of(sandbox) as client:
        chat = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])

        assert chat.choices[0].message.content == "echo: hi"
        assert chat.usage is not None
        assert chat.usage.total_tokens == 3


async def test_openai_sdk_reads_a_stream_with_usage() -> None:
    async with running_sandbox() as sandbox, client_of(sandbox) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "hi there"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]

        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "echo: hi there"
        assert chunks[-1].usage is not None
        assert sandbox.log[0].is_stream


async def test_openai_sdk_reads_the_other_endpoints() -> None:
    async with running_sandbox() as sandbox, client_of(sandbox) as client:
        completion = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["a", "b"])
        models = [model.id async for model in client.models.list()]
        model = await client.models.retrieve("gpt-4o")
        moderation = await client.moderations.create(input=["fine", "please flag me"])

        assert [choice.text for choice in completion.choices] == ["echo: a", "echo: b"]
        assert model.id in models
        assert [result.flagged for result in moderation.results] == [False, True]


async def test_embeddings_are_the_same_packed_and_unpacked() -> None:
    async with running_sandbox() as sandbox:
        asked = {"model": "text-embedding-3-small", "input": "x", "dimensions": 4}
        plain = await ask(sandbox.url, asked, path="/v1/embeddings")
        packed = await ask(sandbox.url, {**asked, "encoding_format": "base64"}, path="/v1/embeddings")

        vector = json.loads(plain.body)["data"][0]["embedding"]
        text = json.loads(packed.body)["data"][0]["embedding"]
        assert list(struct.unpack("<4f", base64.b64decode(text))) == pytest.approx(vector)
        assert sum(number * number for number in vector) == pytest.approx(1)


async def test_unknown_key_is_refused_as_openai_refuses_it() -> None:
    async with running_sandbox(TWO_KEYS) as sandbox, client_of(sandbox, "sk-wrong-0123456789") as client:
        with pytest.raises(AuthenticationError) as refused:
            await client.models.list()

        assert refused.value.code == "invalid_api_key"
        assert "sk-wrong-0123456789" not in str(refused.value)


async def test_keys_of_one_organisation_meet_its_limit_together() -> None:
    async with running_sandbox(TWO_KEYS) as sandbox:
        answers = [await ask(sandbox.url, CHAT, key=key) for key in ("sk-a", "sk-b", "sk-a", "sk-c")]

        assert [answer.status for answer in answers] == [200, 200, 429, 200]
        assert answers[1].headers["x-ratelimit-remaining-requests"] == "0"
        assert answers[1].headers["openai-organization"] == "org-1"
        assert answers[2].headers["retry-after"] == "30"
        assert answers[2].error["type"] == "requests"
        assert answers[2].error["code"] == "rate_limit_exceeded"


async def test_openai_sdk_raises_on_a_limit() -> None:
    config = SandboxConfig(limits=(LimitRule(requests=1, algorithm=Algorithm.FIXED),))
    async with running_sandbox(config) as sandbox, client_of(sandbox) as client:
        await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])

        with pytest.raises(RateLimitError, match=r"Limit 1, Used 1, Requested 1\. Please try again in"):
            await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])


async def test_too_large_a_call_names_no_delay() -> None:
    async with running_sandbox(TWO_KEYS) as sandbox:
        received = await ask(sandbox.url, {**CHAT, "max_tokens": 1001})

        assert received.status == 429
        assert "retry-after" not in received.headers
        assert str(received.error["message"]).startswith("Request too large")


async def test_headers_and_delays_are_left_out_where_the_settings_say_so() -> None:
    config = SandboxConfig(
        limits=(LimitRule(requests=1),),
        sends_rate_headers=False,
        sends_retry_after=False,
        sends_delay_text=False,
        sends_organization=False,
    )
    async with running_sandbox(config) as sandbox:
        answers = [await ask(sandbox.url, CHAT) for _ in range(2)]

        assert [answer.status for answer in answers] == [200, 429]
        names = set(answers[0].headers) | set(answers[1].headers)
        assert not [name for name in names if name.startswith(("x-ratelimit", "retry-after", "openai-organization"))]
        assert "try again" not in str(answers[1].error["message"])


async def test_scripted_failure_counts_against_the_limit() -> None:
    async with running_sandbox(TWO_KEYS) as sandbox:
        sandbox.script(["server_error", "reset_before_headers"])

        await ask(sandbox.url, CHAT)
        await ask(sandbox.url, CHAT)

        assert (await ask(sandbox.url, CHAT)).status == 429


async def test_model_out_of_a_keys_reach_is_not_found() -> None:
    async with running_sandbox(TWO_KEYS) as sandbox:
        received = await ask(sandbox.url, {**CHAT, "model": "o3-mini"}, key="sk-c")
        listed = await ask(sandbox.url, None, key="sk-c", path="/v1/models")

        assert (received.status, received.error["code"]) == (404, "model_not_found")
        assert [model["id"] for model in json.loads(listed.body)["data"]] == ["gpt-4o", "gpt-4o-mini"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"{", None, id="no-json"),
        pytest.param({"messages": CHAT["messages"]}, None, id="no-model"),
        pytest.param({"model": "gpt-4o"}, "missing_required_parameter", id="no-messages"),
        pytest.param({**CHAT, "stream": "yes"}, "invalid_type", id="wrong-type"),
        pytest.param({**CHAT, "n": 129}, "integer_above_max_value", id="too-many-choices"),
        pytest.param({**CHAT, "max_tokens": -1}, "integer_below_min_value", id="negative"),
    ],
)
async def test_wrong_body_is_refused_and_uncharged(body: object, code: str | None) -> None:
    async with running_sandbox(TWO_KEYS) as sandbox:
        received = await ask(sandbox.url, body)
        following = await ask(sandbox.url, CHAT)

        assert (received.status, received.error["code"]) == (400, code)
        assert following.headers["x-ratelimit-remaining-requests"] == "1"


async def test_log_keeps_what_came_and_what_went_byte_by_byte() -> None:
    sent = b'{ "model":"gpt-4o",\n"messages":[{"role":"user","content":"\xc3\xa9"}] ,"unknown":1}'
    async with running_sandbox() as sandbox:
        received = await ask(sandbox.url, sent, key="sk-z", path="/v1/chat/completions?x=1")

        seen = sandbox.log[0]
        assert seen.body == sent
        assert seen.answer == received.body
        assert (seen.key, seen.path, seen.query, seen.model, seen.status) == (
            "sk-z",
            "/v1/chat/completions",
            "x=1",
            "gpt-4o",
            200,
        )
        assert seen.headers["host"] == "sandbox"
        assert sandbox.statuses("sk-z") == {200: 1}


async def test_hang_up_in_the_middle_of_a_stream_is_seen() -> None:
    async with running_sandbox() as sandbox:
        sandbox.behave("gpt-4o", Behaviour(chunks=1000, gap_s=0.01))
        reader, writer = await connect(sandbox.url)
        writer.write(written(STREAM))
        await reader.readuntil(b"data: ")

        writer.close()
        await sandbox.wait_for(lambda log: log[0].is_hung_up)

        assert len(sandbox.log[0].events) < 1000
        assert sandbox.connections == 0


async def test_slow_reader_holds_the_stream_up() -> None:
    async with running_sandbox() as sandbox:
        sandbox.behave("gpt-4o", Behaviour(chunks=200_000))
        reader, writer = await connect(sandbox.url)
        writer.write(written(STREAM))
        await reader.readuntil(b"data: ")
        reader._transport.pause_reading()
        sandbox.script("server_error")
        await ask(sandbox.url, CHAT)

        assert len(sandbox.log[0].events) < 200_000
        reader._transport.resume_reading()
        async with asyncio.timeout(PATIENCE_S):
            while b"[DONE]" not in await reader.read(1 << 20):
                pass
        await sandbox.wait_for(lambda log: log[0].is_over)
        writer.close()

        assert len(sandbox.log[0].events) == 200_003


async def test_connection_serves_request_after_request_and_early_ones_in_turn() -> None:
    async with running_sandbox() as sandbox:
        reader, writer = await connect(sandbox.url)
        writer.write(written({**CHAT, "model": "one"}) + written({**STREAM, "model": "two"}))
        writer.write(written({**CHAT, "model": "three"}, extra="connection: close\r\n"))

        received = await receive(reader)
        writer.close()

        assert received.data.count(b"HTTP/1.1 200 OK") == 3
        assert [received.data.index(name) for name in (b'"one"', b'"two"', b'"three"')] == sorted(
            received.data.index(name) for name in (b'"one"', b'"two"', b'"three"')
        )
        assert [seen.model for seen in sandbox.log] == ["one", "two", "three"]


async def test_request_in_single_bytes_with_expectation_and_gzip_is_read() -> None:
    packed = gzip.compress(json.dumps(CHAT).encode())
    extra = "expect: 100-continue\r\ncontent-encoding: gzip\r\nconnection: close\r\n"
    async with running_sandbox() as sandbox:
        reader, writer = await connect(sandbox.url)
        for byte in written(packed, extra=extra):
            writer.write(bytes([byte]))
            await writer.drain()

        received = await receive(reader)
        writer.close()

        assert received.data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
        assert sandbox.log[0].body == packed


async def test_what_is_no_http_is_refused() -> None:
    async with running_sandbox() as sandbox:
        reader, writer = await connect(sandbox.url)
        writer.write(b"hello\r\n\r\n")

        received = await receive(reader)
        writer.close()

        assert received.status == 400


async def test_reset_forgets_all() -> None:
    async with running_sandbox(TWO_KEYS) as sandbox:
        sandbox.script("server_error")
        await ask(sandbox.url, CHAT)
        sandbox.script("server_error")

        sandbox.reset()
        received = await ask(sandbox.url, CHAT)

        assert received.headers["x-ratelimit-remaining-requests"] == "1"
        assert sandbox.total == 1


async def test_stopping_cuts_streams_and_leaves_no_connection() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("stall_in_body")
        reader, writer = await connect(sandbox.url)
        writer.write(written(STREAM))
        await reader.readuntil(b"data: ")

    assert sandbox.connections == 0
    await receive(reader)
    writer.close()
