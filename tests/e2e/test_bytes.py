"""Bytes pass through unchanged, both ways."""

import gzip
import re

import httpx2
import pytest

from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault
from tests.fakes.sandbox_fixture import running_sandbox

CHAT = "/v1/chat/completions"
HI = b'"model": "gpt-4", "messages": [{"role": "user", "content": "x"}]'
BODIES = {
    "odd-whitespace": b'\n\t{ "messages" :[ {"role":"user" ,\r\n"content": "hi"}],"model"\t:  "gpt-4"  }\n\n',
    "key-order": b'{"z": 1, "model": "gpt-4", "a": 2, "messages": [{"content": "x", "role": "user"}], "b": 3}',
    "duplicate-keys": b'{"x": 1, "x": 2, "seed": 1, "seed": 2, ' + HI + b"}",
    "big-numbers": b'{"k": 123456789012345678901234567890, "f": 1e300, "g": 1.10, ' + HI + b"}",
    "escapes": rb'{"\u0061": "\u0000 \u00e9\ud83d\ude00 \/ \b \u2028", ' + HI + b"}",
    "lone-surrogate": rb'{"y": "\ud83d", ' + HI + b"}",
    "escaped-key": rb'{"mod\u0065l": "gpt-4", "messages": [{"role": "user", "content": "x"}]}',
    "utf-8": '{"y": "naïve 日本語 🎉", '.encode() + HI + b"}",
    "unknown-fields": b'{"future": {"x": [true, false, {"deep": [1, {"a": null}]}]}, ' + HI + b"}",
    "model-elsewhere": b'{"metadata": {"model": "gpt-4"}, "user": "\\"model\\": \\"gpt-4\\"", ' + HI + b"}",
    "parts-unchecked": b'{"model": "gpt-4", "messages": [{"role": "user", "content": [{"type": "hologram"}]}]}',
    "nulls": b'{"temperature": null, "stop": null, "stream": null, ' + HI + b"}",
}


async def post(gateway, body, **headers):
    return await gateway.client.post(CHAT, content=body, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_request_reaches_the_upstream_byte_for_byte(shared, body):
    pair, sandbox = shared
    await post(pair, body)

    assert [seen.body for seen in sandbox.log] == [body]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_route_replaces_the_model_and_not_a_byte_more(pair, registry, sandbox, body):
    await registry.add_route("gpt-4", upstream_model="GPT-4-tuned")
    while not any(route.upstream_model for route in pair.snapshot.exact_routes.get("gpt-4", ())):
        await pair.get("/health/live")

    await post(pair, body)

    (seen,) = sandbox.log
    assert seen.body.count(b'"GPT-4-tuned"') == 1
    assert seen.body.replace(b"GPT-4-tuned", b"gpt-4") == body


async def test_an_answer_reaches_the_caller_byte_for_byte(shared):
    pair, sandbox = shared
    answer = await pair.chat("Ünïcode ✓", n=3)

    assert answer.content == sandbox.log[0].answer
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_odd_json_reaches_the_caller_byte_for_byte(shared):
    pair, sandbox = shared
    body = '  {"id": "x", "id": "y",\r\n "n": 1.50, "big": 99999999999999999999, "u": "\\u00e9" }\n\n'
    sandbox.script(Fault("raw", body=body, headers={"content-type": "application/json"}))

    assert (await pair.chat()).text == body


async def test_an_error_of_the_caller_comes_back_byte_for_byte(shared):
    pair, sandbox = shared
    sandbox.script("context_length_exceeded")

    assert (await pair.chat()).content == sandbox.log[0].answer


def timeless(stream):
    """Without the ids and times that differ from answer to answer."""
    return re.sub(rb'"(id|created)": ?("[^"]*"|[0-9]+)', rb'"\1":0', stream)


async def direct_stream(content, path=CHAT, **fields):
    """What the sandbox itself streams to who asks for the same."""
    async with running_sandbox() as other, httpx2.AsyncClient(base_url=other.url, trust_env=False) as client:
        body = {"model": "gpt-4", "stream": True, **fields} | content
        return (await client.post(path, json=body, headers={"authorization": "Bearer sk-x"})).content


async def test_a_stream_without_usage_is_as_if_it_were_never_asked_for(shared):
    pair, sandbox = shared
    messages = {"messages": [{"role": "user", "content": "one two three"}]}

    mine = (await pair.client.post(CHAT, json={"model": "gpt-4", "stream": True} | messages)).content

    assert b'"include_usage":true' in sandbox.log[0].body.replace(b" ", b"")
    assert timeless(mine) == timeless(await direct_stream(messages))
    assert b"usage" not in mine


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": True, "include_obfuscation": False}])
async def test_a_stream_whose_usage_was_asked_for_has_it(shared, options):
    pair, sandbox = shared
    messages = {"messages": [{"role": "user", "content": "one two"}], "stream_options": options}

    mine = (await pair.client.post(CHAT, json={"model": "gpt-4", "stream": True} | messages)).content

    assert mine == sandbox.log[0].answer
    assert timeless(mine) == timeless(await direct_stream(messages))


async def test_a_stream_of_completions_is_the_same_too(shared):
    prompt = {"prompt": "one two three"}

    mine = (
        await shared.gateway.client.post("/v1/completions", json={"model": "gpt-4", "stream": True} | prompt)
    ).content

    assert timeless(mine) == timeless(await direct_stream(prompt, "/v1/completions"))


async def test_a_stream_in_tiny_pieces_is_the_same(shared):
    pair, sandbox = shared
    sandbox.script(Fault("slow_drip", size=7, seconds=0.0))
    messages = {"messages": [{"role": "user", "content": "é ✓ 🎉"}]}

    mine = (await pair.client.post(CHAT, json={"model": "gpt-4", "stream": True} | messages)).content

    assert timeless(mine) == timeless(await direct_stream(messages))


async def test_stream_usage_leave_changes_nothing(pair, registry, sandbox):
    await registry.execute("""UPDATE providers SET settings = '{"stream_usage": "leave"}'""")
    while pair.snapshot.providers["openai"].settings.stream_usage is None:
        await pair.get("/health/live")

    answer = await post(pair, b'{"model": "gpt-4","stream": true, "messages": [{"role":"user","content":"x"}]}')

    assert b"include_usage" not in sandbox.log[0].body
    assert answer.content == sandbox.log[0].answer


async def test_a_compressed_body_arrives_unpacked(shared):
    pair, sandbox = shared
    body = BODIES["odd-whitespace"]

    answer = await post(pair, gzip.compress(body, mtime=0), **{"content-encoding": "gzip"})

    assert answer.status_code == 200
    assert sandbox.log[0].body == body
    assert "content-encoding" not in sandbox.log[0].headers


async def test_a_chunked_body_arrives_whole(shared):
    pair, sandbox = shared
    body = BODIES["unknown-fields"]

    async def pieces():
        for place in range(0, len(body), 10):
            yield body[place : place + 10]

    answer = await post(pair, pieces())

    assert answer.status_code == 200
    assert sandbox.log[0].body == body


async def test_headers_that_belong_to_the_account_stay_with_it(shared):
    pair, sandbox = shared
    answer = await pair.chat(
        headers={"authorization": "Bearer sk-of-the-caller", "openai-organization": "org-of-caller", "cookie": "a=b",
            "x-forwarded-for": "10.0.0.1", "x-custom": "kept", "openai-beta": "kept"}
    )  # fmt: skip

    sent, got = sandbox.log[0].headers, answer.headers
    assert sent["authorization"] == "Bearer sk-a"
    assert (sent["x-custom"], sent["openai-beta"]) == ("kept", "kept")
    assert not {"openai-organization", "cookie", "x-forwarded-for", "x-provider"} & set(sent)
    assert sent["x-client-request-id"] == got["x-request-id"]
    assert not {"set-cookie", "openai-organization", "openai-project", "server", "cf-ray"} & set(got)
    assert not [name for name in got if name.startswith("x-ratelimit-")]
    assert got["openai-processing-ms"] == "1"


async def test_a_body_of_some_megabytes_passes(shared):
    pair, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(tokens=1))
    image = "A" * 8_000_000

    answer = await pair.chat([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}])

    assert answer.status_code == 200
    assert len(sandbox.log[0].body) > 8_000_000
