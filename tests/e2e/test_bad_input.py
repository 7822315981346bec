"""Bad input of every kind: a clear 4xx that names the parameter, and nothing reaches the upstream."""

import gzip

import msgspec
import pytest

from gateway import http_protocol
from gateway.sandbox.config import Behaviour
from gateway.settings import LimitSettings, Settings
from tests.e2e.raw import chat, post, raw
from tests.fakes.gateway_fixture import running_gateway

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def pair(shared):
    return shared.gateway


@pytest.fixture
def sandbox(shared):
    return shared.sandbox


def is_openai_error(answer):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["code"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    return error


PARAMETERS = {
    "temperature-high": ({"temperature": 2.1}, "temperature"),
    "temperature-low": ({"temperature": -0.1}, "temperature"),
    "temperature-text": ({"temperature": "hot"}, "temperature"),
    "temperature-bool": ({"temperature": True}, "temperature"),
    "top-p-high": ({"top_p": 1.01}, "top_p"),
    "top-p-low": ({"top_p": -1}, "top_p"),
    "frequency-high": ({"frequency_penalty": 2.5}, "frequency_penalty"),
    "frequency-low": ({"frequency_penalty": -2.5}, "frequency_penalty"),
    "presence-high": ({"presence_penalty": 3}, "presence_penalty"),
    "presence-low": ({"presence_penalty": -3}, "presence_penalty"),
    "n-zero": ({"n": 0}, "n"),
    "n-high": ({"n": 129}, "n"),
    "n-float": ({"n": 1.5}, "n"),
    "max-tokens-zero": ({"max_tokens": 0}, "max_tokens"),
    "max-tokens-high": ({"max_tokens": 131073}, "max_tokens"),
    "max-tokens-text": ({"max_tokens": "100"}, "max_tokens"),
    "max-completion-tokens-zero": ({"max_completion_tokens": 0}, "max_completion_tokens"),
    "top-logprobs-high": ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    "top-logprobs-alone": ({"top_logprobs": 5}, "top_logprobs"),
    "stop-many": ({"stop": list("abcde")}, "stop"),
    "stop-empty": ({"stop": ""}, "stop"),
    "stop-empty-in-list": ({"stop": ["a", ""]}, "stop[1]"),
    "stop-number": ({"stop": 5}, "stop"),
    "stream-text": ({"stream": "yes"}, "stream"),
    "stream-number": ({"stream": 1}, "stream"),
    "seed-text": ({"seed": "x"}, "seed"),
    "logit-bias-list": ({"logit_bias": []}, "logit_bias"),
    "tools-object": ({"tools": {}}, "tools"),
    "response-format-text": ({"response_format": "json"}, "response_format"),
    "stream-options-text": ({"stream_options": "x"}, "stream_options"),
    "messages-empty": ({"messages": []}, "messages"),
    "messages-null": ({"messages": None}, "messages"),
    "messages-text": ({"messages": "hi"}, "messages"),
    "message-text": ({"messages": ["hi"]}, "messages[0]"),
    "role-missing": ({"messages": [{"content": "x"}]}, "messages[0].role"),
    "role-unknown": ({"messages": [*HI, {"role": "boss", "content": "x"}]}, "messages[1].role"),
    "role-number": ({"messages": [{"role": 5, "content": "x"}]}, "messages[0].role"),
    "model-missing": ({"model": None}, "model"),
    "model-number": ({"model": 5}, "model"),
    "model-list": ({"model": ["gpt-4"]}, "model"),
    "model-empty": ({"model": ""}, "model"),
}


@pytest.mark.parametrize(("fields", "param"), PARAMETERS.values(), ids=PARAMETERS)
async def test_a_wrong_parameter_is_named(pair, sandbox, fields, param):
    answer = await pair.client.post(CHAT, json={"model": "gpt-4", "messages": HI} | fields)

    assert answer.status_code == 400, answer.text
    error = is_openai_error(answer)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert sandbox.log == []


EDGES = [
    {"temperature": 0}, {"temperature": 2}, {"top_p": 1.0}, {"frequency_penalty": -2}, {"presence_penalty": 2.0},
    {"n": 1},
    {"max_tokens": 1}, {"max_tokens": 131072}, {"stop": list("abcd")}, {"stop": "x"}, {"stop": None},
    {"logprobs": True, "top_logprobs": 20}, {"unknown": {"a": 1}}, {"temperature": None},
]  # fmt: skip


@pytest.mark.parametrize("fields", EDGES, ids=str)
async def test_what_is_allowed_passes(pair, fields):
    assert (await pair.chat(**fields)).status_code == 200


COMPLETIONS = {
    "no-prompt": ({}, "prompt"),
    "prompt-number": ({"prompt": 5}, "prompt"),
    "best-of": ({"prompt": "x", "best_of": 21}, "best_of"),
    "logprobs": ({"prompt": "x", "logprobs": 6}, "logprobs"),
    "temperature": ({"prompt": "x", "temperature": 3}, "temperature"),
}


@pytest.mark.parametrize(("fields", "param"), COMPLETIONS.values(), ids=COMPLETIONS)
async def test_completions_are_checked_as_well(pair, sandbox, fields, param):
    answer = await pair.client.post("/v1/completions", json={"model": "gpt-4"} | fields)

    assert (answer.status_code, is_openai_error(answer)["param"]) == (400, param)
    assert sandbox.log == []


BODIES = {
    "empty": b"",
    "blank": b"  \n",
    "no-json": b"hello",
    "half": b'{"model": "gpt-4", "messages": [',
    "two": b"{}{}",
    "trailing-comma": b'{"model": "gpt-4",}',
    "single-quotes": b"{'model': 'gpt-4'}",
    "nan": b'{"model": "gpt-4", "temperature": NaN}',
    "list": b"[]",
    "text": b'"hi"',
    "null": b"null",
    "number": b"5",
    "not-utf-8": b'{"model": "gpt-4\xff"}',
    "utf-16": '{"model": "gpt-4"}'.encode("utf-16"),
    "nul": b"\x00" * 20,
    "deep": b"[" * 100_000,
    "deep-within": b'{"model": "gpt-4", "messages": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_that_is_no_json_object_is_a_400(pair, sandbox, body):
    answer = await pair.client.post(CHAT, content=body)

    assert answer.status_code == 400
    assert is_openai_error(answer)["type"] == "invalid_request_error"
    assert sandbox.log == []


PATHS = {
    "nothing": ("GET", "/v1/", 404, "unknown_url"),
    "connect": ("CONNECT", "/v1/chat/completions", 405, "method_not_allowed"),
    "trace": ("TRACE", "/v1/anything", 405, "method_not_allowed"),
    "below": ("GET", "/v1/files/../models", 400, "invalid_path"),
    "below-encoded": ("DELETE", "/v1/files/%2e%2e", 400, "invalid_path"),
    "control": ("GET", "/v1/files/a%0d%0ab", 400, "invalid_path"),
    "organization": ("GET", "/v1/organization/users", 403, "admin_path_refused"),
    "organization-post": ("POST", "/v1/organization/admin_api_keys", 403, "admin_path_refused"),
    "projects": ("GET", "/v1/projects/x", 403, "admin_path_refused"),
    "organization-disguised": ("GET", "/v1/./organization/users", 403, "admin_path_refused"),
    "organization-encoded": ("GET", "/v1/%6frganization/users", 403, "admin_path_refused"),
    "organization-doubled": ("GET", "/v1//organization/users", 403, "admin_path_refused"),
    "organization-below": ("GET", "/v1/chat/../organization/users", 403, "admin_path_refused"),
}


@pytest.mark.parametrize(("method", "path", "status", "code"), PATHS.values(), ids=PATHS)
async def test_paths_that_are_not_served(pair, sandbox, method, path, status, code):
    async with raw(pair.port) as client:
        await client.send(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
        got, body = await client.answer()

    assert got in {status, 400} if status == 403 else got == status, body
    assert set(msgspec.json.decode(body)) == {"error"}
    assert sandbox.log == []


async def test_an_unknown_model_is_a_404_that_says_why(pair, sandbox):
    answer = await pair.chat(model="gpt-99")

    assert answer.status_code == 404
    error = is_openai_error(answer)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "supported_models" in error["message"]
    assert sandbox.log == []


@pytest.mark.parametrize("name", ["nobody", "openai,openai", "ü", "x" * 5000])
async def test_an_unknown_provider_is_a_400(pair, sandbox, name):
    answer = await pair.chat(headers={"x-provider": name.encode()})

    assert answer.status_code == 400
    assert is_openai_error(answer)["param"] == "x-provider"
    assert sandbox.log == []


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", b"xxxx", 415),
        ("zstd", b"xxxx", 415),
        ("gzip, gzip", b"xxxx", 415),
        ("gzip", b"not gzip", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-6], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"tail", 400),
        ("gzip", b"", 400),
    ],
    ids=["brotli", "zstd", "twice", "no-gzip", "cut", "with-a-tail", "empty"],
)
async def test_packed_bodies_that_cannot_be_unpacked(pair, sandbox, encoding, body, status):
    answer = await pair.client.post(CHAT, content=body, headers={"content-encoding": encoding})

    assert answer.status_code == status
    assert is_openai_error(answer)["param"] == "Content-Encoding"
    assert sandbox.log == []


@pytest.fixture
async def narrow(database_url, registry, sandbox):
    """Takes 10 kB."""
    await registry.add_provider("openai", sandbox.url)
    await registry.add_account("sk-a")
    async with running_gateway(database_url, Settings(limits=LimitSettings(max_json_bytes=10_000))) as gateway:
        yield gateway


async def test_a_body_too_large_is_a_413_however_it_comes(narrow, sandbox):
    body = b'{"model": "gpt-4", "x": "' + b"x" * 20_000 + b'"}'

    async def pieces():
        for place in range(0, len(body), 1000):
            yield body[place : place + 1000]

    plain = await narrow.client.post(CHAT, content=body)
    chunked = await narrow.client.post(CHAT, content=pieces())
    packed = await narrow.client.post(CHAT, content=gzip.compress(body, mtime=0), headers={"content-encoding": "gzip"})

    for answer in (plain, chunked, packed):
        assert (answer.status_code, is_openai_error(answer)["code"]) == (413, "request_too_large")
    assert [seen for seen in sandbox.log if seen.method == "POST"] == []
    assert (await narrow.chat()).status_code == 200


async def test_expect_100_continue_is_answered(pair, sandbox):
    request = post(chat(), "expect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    async with raw(pair.port) as client:
        await client.send(head + b"\r\n\r\n")
        assert (await client.head()).startswith(b"HTTP/1.1 100")
        await client.send(body)
        status, _ = await client.answer()

    assert status == 200
    assert "expect" not in sandbox.log[0].headers


async def test_expect_100_continue_is_not_answered_for_a_body_too_large(narrow):
    async with raw(narrow.port) as client:
        await client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\nexpect: 100-continue\r\n\r\n"
        )
        assert (await client.head()).startswith(b"HTTP/1.1 413")


async def test_a_head_too_large_is_a_431(pair):
    async with raw(pair.port) as client:
        await client.send(b"GET /v1/models HTTP/1.1\r\nx: " + b"a" * 150_000)
        status, body = await client.answer()

    assert (status, msgspec.json.decode(body)["error"]["code"]) == (431, "request_head_too_large")


@pytest.mark.parametrize(
    "begun",
    [b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-", post(chat())[:-5]],
    ids=["half-a-head", "half-a-body"],
)
async def test_a_request_that_stays_half_is_a_408(pair, sandbox, monkeypatch, begun):
    monkeypatch.setattr(http_protocol, "SILENCE_S", 0.05)
    async with raw(pair.port) as client:
        await client.send(begun)
        status, body = await client.answer()

    assert (status, msgspec.json.decode(body)["error"]["code"]) == (408, "request_timeout")
    assert [seen for seen in sandbox.log if seen.method == "POST"] == []


async def test_a_connection_on_which_nothing_comes_is_closed(pair, monkeypatch):
    monkeypatch.setattr(http_protocol, "SILENCE_S", 0.05)
    async with raw(pair.port) as client:
        assert await client.rest() == b""


async def test_a_slow_answer_is_nobodys_silence(pair, sandbox, monkeypatch):
    monkeypatch.setattr(http_protocol, "SILENCE_S", 0.05)
    sandbox.behave("gpt-4", Behaviour(delay_s=0.2))
    begun = post(chat())
    async with raw(pair.port) as client:
        await client.send(begun[:-5])
        await client.send(begun[-5:] + b"POST /v1/chat")  # the next one waits for this answer
        status, _ = await client.answer()

    assert status == 200
    assert len([seen for seen in sandbox.log if seen.method == "POST"]) == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "half-a-line", "negative", "two-lengths", "smuggling", "bad-chunk"],
)
async def test_what_is_no_http_harms_nobody(pair, sandbox, request_bytes):
    async with raw(pair.port) as client:
        await client.send(request_bytes)
        said = await client.rest()

    if said:
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert msgspec.json.decode(body)["error"]["code"] == "invalid_http"
    assert sandbox.log == []
    assert (await pair.chat()).status_code == 200


@pytest.mark.parametrize("length", [70_000, 200_000])
async def test_a_url_that_nobody_needs_is_refused_in_openais_shape(pair, sandbox, length):
    async with raw(pair.port) as client:
        await client.send(b"GET /v1/models?" + b"a" * length + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        status, body = await client.answer()

    assert (status, msgspec.json.decode(body)["error"]["code"]) == (431, "request_head_too_large")
    assert sandbox.log == []


async def test_an_offer_of_http_2_is_passed_over_and_the_body_kept(pair, sandbox):
    """As Java's own client makes it."""
    offer = ("connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    spoken_of = chat("x\r\nUpgrade: h2c\r\n")
    async with raw(pair.port) as client:
        for request in (post(chat(), *offer), post(chat()), post(spoken_of, *offer)):
            await client.send(request)
            assert (await client.answer())[0] == 200

    assert [msgspec.json.decode(seen.body) for seen in sandbox.log] == [chat(), chat(), spoken_of]
    assert "http2-settings" not in sandbox.log[0].headers
