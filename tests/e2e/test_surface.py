"""Endpoints beyond chat: forms, files, sound, pictures, unknown paths; the official client and raw bytes."""

import gzip
import re

import msgspec
import pytest

from gateway.core.call import BodyKind, Schema
from gateway.sandbox.faults import Fault
from gateway.settings import LimitSettings, Settings
from gateway.wire.endpoints import ENDPOINTS
from tests.e2e.raw import raw
from tests.fakes.gateway_fixture import running_gateway, until
from tests.fakes.plain_sdk import plain_sdk
from tests.fakes.sandbox_fixture import running_sandbox

BOUNDARY = "XX"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
AUDIO = b"RIFF\r\n--X\r\n\x00" * 10


def form(*fields, file=AUDIO):
    """A form whose file comes first."""
    head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    parts = [head + file]
    for name, value in fields:
        parts.append(f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode())
    return b"\r\n".join(parts) + b"\r\n--XX--\r\n"


WHISPER = form(("model", "whisper-1"))


def calls(sandbox):
    """What callers asked; the gateway's own look at the list of models, whenever it comes, is none."""
    return [seen for seen in sandbox.log if seen.path != "/v1/models"]


@pytest.fixture
async def any_model(database_url, registry, sandbox):
    """A gateway with one account that may serve every model."""
    await registry.add_provider("openai", sandbox.url, supported_models=[])
    async with running_gateway(database_url) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)
        yield gateway


@pytest.fixture
async def client(any_model):
    async with plain_sdk(any_model.url) as client:
        yield client


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_official_client_hears_speaks_and_draws(client):
    heard = await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", AUDIO))
    text = await client.audio.translations.create(model="whisper-1", file=("a.wav", AUDIO), response_format="text")
    speech = await client.audio.speech.create(model="tts-1", voice="alloy", input="hello")
    image = await client.images.generate(prompt="a point")
    edit = await client.images.edit(model="gpt-image-1", image=[("a.png", b"1"), ("b.png", b"2")], prompt="a line")

    assert heard.text == text.strip() == f"echo: a.wav of {len(AUDIO)} bytes"
    assert (speech.content, speech.response.headers["content-type"]) == (b"ID3hello", "audio/mpeg")
    assert len(image.data) == len(edit.data) == 1


async def test_the_official_client_hears_in_a_stream(client):
    stream = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", AUDIO), stream=True)

    kinds = [event.type async for event in stream]

    assert set(kinds[:-1]) == {"transcript.text.delta"}
    assert kinds[-1] == "transcript.text.done"


async def test_the_official_client_keeps_files_and_batches(client):
    file = await client.files.create(file=("a.jsonl", b'{"custom_id": "1"}\n'), purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = await client.batches.retrieve(batch.id)

    assert (await client.files.content(file.id)).content == b'{"custom_id": "1"}\n'
    assert b'"custom_id":"1"' in (await client.files.content(done.output_file_id)).content
    assert file.id in [found.id async for found in client.files.list(limit=1)]
    assert (await client.files.delete(file.id)).deleted


async def test_a_form_arrives_as_it_was_sent(any_model, sandbox):
    answer = await any_model.client.post(
        "/v1/audio/transcriptions?x=%20y", content=WHISPER, headers={"content-type": FORM_TYPE}
    )

    assert answer.status_code == 200, answer.text
    seen = calls(sandbox)[-1]
    assert (seen.body, seen.query, seen.model) == (WHISPER, "x=%20y", "whisper-1")
    assert seen.headers["content-type"] == FORM_TYPE
    assert seen.headers["content-length"] == str(len(WHISPER))


async def test_the_model_of_a_form_is_routed_and_renamed(any_model, registry, sandbox):
    await registry.add_route("my-ears", upstream_model="whisper-1")
    await until(lambda: "my-ears" in any_model.snapshot.exact_routes, "the route")

    answer = await any_model.client.post(
        "/v1/audio/transcriptions", content=form(("model", "my-ears")), headers={"content-type": FORM_TYPE}
    )

    assert answer.status_code == 200
    assert calls(sandbox)[-1].body == WHISPER


async def test_a_form_without_the_model_it_needs_is_a_400(any_model, sandbox):
    answer = await any_model.client.post(
        "/v1/audio/transcriptions", content=form(), headers={"content-type": FORM_TYPE}
    )

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert calls(sandbox) == []


async def test_the_default_model_is_put_into_a_form(database_url, registry, sandbox):
    await registry.add_provider("openai", sandbox.url, supported_models=[], settings={"default_model": "whisper-1"})
    async with running_gateway(database_url) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)

        answer = await gateway.client.post(
            "/v1/audio/transcriptions", content=form(), headers={"content-type": FORM_TYPE}
        )

    assert answer.status_code == 200
    assert calls(sandbox)[-1].model == "whisper-1"
    assert calls(sandbox)[-1].body.endswith(form())


@pytest.mark.parametrize("size", [1_000, 3_000_000], ids=["held", "filed"])
async def test_a_refused_upload_is_sent_again_to_another_account(database_url, registry, size):
    body = form(("model", "whisper-1"), file=b"\x01" * size)
    async with running_sandbox() as sandbox:
        await registry.add_provider("openai", sandbox.url, supported_models=[])
        async with running_gateway(database_url) as gateway:
            await registry.add_account("sk-a", tier=0)
            await registry.add_account("sk-b", tier=1)
            await gateway.serves(accounts=2)
            sandbox.script(Fault("rate_limited", key="sk-a", path="/v1/audio/transcriptions"))

            answer = await gateway.client.post(
                "/v1/audio/transcriptions", content=body, headers={"content-type": FORM_TYPE}
            )

        assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
        assert [(seen.key, seen.body == body) for seen in calls(sandbox)] == [("sk-a", True), ("sk-b", True)]


@pytest.mark.parametrize("pieces", [1, 7, 100])
async def test_forms_come_chunked_packed_and_awaited(any_model, sandbox, pieces):
    packed = gzip.compress(WHISPER)
    step = len(packed) // pieces + 1
    async with raw(any_model.port) as client:
        await client.send(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\nexpect: 100-continue\r\n"
            b"transfer-encoding: chunked\r\ncontent-type: " + FORM_TYPE.encode() + b"\r\n\r\n"
        )
        for at in range(0, len(packed), step):
            piece = packed[at : at + step]
            await client.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        await client.send(b"0\r\n\r\n")
        assert (await client.answer())[0] == 100
        status, _ = await client.answer()

    assert status == 200
    assert calls(sandbox)[-1].body == WHISPER
    assert "content-encoding" not in calls(sandbox)[-1].headers


async def test_bodies_are_bounded_by_kind(database_url, registry, sandbox):
    limits = LimitSettings(max_json_bytes=1_000, max_body_bytes=5_120)
    await registry.add_provider("openai", sandbox.url, supported_models=[])
    async with running_gateway(database_url, Settings(limits=limits)) as gateway:
        await registry.add_account("sk-a")
        await gateway.serves(accounts=1)

        async def status(path, content, content_type):
            answer = await gateway.client.post(path, content=content, headers={"content-type": content_type})
            return answer.status_code, answer.json().get("error", {}).get("code")

        spoken = form(("model", "whisper-1"), file=b"x" * 4_900)
        assert await status("/v1/audio/transcriptions", spoken, FORM_TYPE) == (200, None)
        spoken = form(("model", "whisper-1"), file=b"x" * 5_120)
        assert await status("/v1/audio/transcriptions", spoken, FORM_TYPE) == (413, "request_too_large")
        drawn = msgspec.json.encode({"prompt": "x" * 1_000})
        assert await status("/v1/images/generations", drawn, "application/json") == (413, "request_too_large")
        assert await status("/v1/images/edits", drawn, "application/json") == (413, "request_too_large")


async def test_unknown_paths_and_methods_are_proxied_as_they_are(any_model, sandbox):
    answer = await any_model.client.request(
        "PATCH", "/v1/brand/new%20thing?a=b&model=x", content=b"\x00raw", headers={"content-type": "x/y"}
    )

    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("Invalid URL (PATCH")
    seen = calls(sandbox)[-1]
    assert (seen.method, seen.path, seen.query) == ("PATCH", "/v1/brand/new%20thing", "a=b&model=x")
    assert (seen.body, seen.headers["content-type"], seen.key) == (b"\x00raw", "x/y", "sk-a")


async def test_the_path_goes_upstream_with_its_ids(any_model, sandbox):
    await any_model.client.get("/v1/files/file-1%2F2")
    await any_model.client.delete("/v1/models/ft:gpt-4o:acme::1")

    assert [(seen.method, seen.path) for seen in calls(sandbox)[-2:]] == [
        ("GET", "/v1/files/file-1%2F2"),
        ("DELETE", "/v1/models/ft:gpt-4o:acme::1"),
    ]


async def test_the_head_of_a_file_is_asked_for_alone(any_model, sandbox):
    made = await any_model.client.post(
        "/v1/files", content=form(("purpose", "batch")), headers={"content-type": FORM_TYPE}
    )
    path = f"/v1/files/{made.json()['id']}/content"

    head = await any_model.client.head(path)

    assert calls(sandbox)[-1].method == "HEAD"
    assert (head.content, head.headers["content-type"]) == (b"", "application/octet-stream")
    assert (await any_model.client.get(path)).content == AUDIO


async def test_calls_without_a_model_need_a_provider_that_can_be_told(any_model, registry, sandbox):
    await registry.add_provider("other", sandbox.url)
    await until(lambda: len(any_model.snapshot.providers) == 2, "the provider")

    answer = await any_model.client.post("/v1/vector_stores", json={})
    named = await any_model.client.get("/v1/files", headers={"x-provider": "openai"})

    assert answer.json()["error"]["code"] == "provider_required"
    assert named.status_code == 200


async def test_where_an_answer_leads_is_below_the_gateway(any_model):
    answer = await any_model.client.post(
        "/v1/realtime/calls", content=b"v=0", headers={"content-type": "application/sdp"}
    )

    assert (answer.status_code, answer.content) == (201, b"v=0")
    assert answer.headers["location"].startswith("/v1/realtime/calls/rtc_")


SAMPLE = {"model": "gpt-4o", "input": "x", "prompt": "x", "messages": [{"role": "user", "content": "x"}], "voice": "a"}
ENCODED = msgspec.json.encode(SAMPLE)
NAMES = re.compile(r"\{[^}]+\}")
TOLD = {BodyKind.JSON: "application/json", BodyKind.ANY: "application/json", BodyKind.MULTIPART: FORM_TYPE}


async def test_every_endpoint_of_the_table_arrives_as_it_was_asked(any_model, sandbox):
    rows = [row for row in ENDPOINTS if not (row.is_own or row.is_list or row.gives_secret)]
    for row in (row for row in rows if row.schema is Schema.OPENAI):
        path = "/v1" + NAMES.sub("x-1", row.path)
        body = b"" if row.body is BodyKind.NONE else WHISPER if row.body is BodyKind.MULTIPART else ENCODED
        headers = {"content-type": TOLD[row.body]} if row.body in TOLD else {}

        answer = await any_model.client.request(row.method, f"{path}?q=%2f", content=body, headers=headers)

        seen = calls(sandbox)[-1]
        assert (seen.method, seen.path, seen.query, seen.body) == (row.method, path, "q=%2f", body), row.name
        assert seen.headers.get("content-type", "") == TOLD.get(row.body, ""), row.name
        assert answer.status_code == seen.status, row.name
        assert answer.headers["x-gateway-attempts"] == "1", row.name
