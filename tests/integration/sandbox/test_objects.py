"""Objects of the sandbox, met through the official client: they lie in the project that made them."""

import json

import pytest
from openai import APIStatusError, BadRequestError, NotFoundError

from gateway.sandbox.config import KeyConfig, SandboxConfig
from tests.fakes.plain_sdk import plain_sdk
from tests.fakes.sandbox_fixture import running_sandbox

KEYS = SandboxConfig(
    keys={
        "sk-a": KeyConfig(org="org-1", project="proj_1"),
        "sk-a2": KeyConfig(org="org-1", project="proj_1"),
        "sk-b": KeyConfig(org="org-1", project="proj_2"),
        "sk-c": KeyConfig(org="org-2", project="proj_3"),
    }
)


@pytest.fixture
async def clients():
    async with running_sandbox(KEYS) as sandbox:
        made = {key: plain_sdk(sandbox.url, key) for key in KEYS.keys}
        yield made
        for client in made.values():
            await client.close()


async def test_a_file_is_seen_by_its_project_alone(clients):
    file = await clients["sk-a"].files.create(file=("a.jsonl", b"\x00 one\r\n\r\n--two"), purpose="batch")

    assert (file.bytes, file.filename) == (14, "a.jsonl")
    assert (await clients["sk-a2"].files.content(file.id)).content == b"\x00 one\r\n\r\n--two"
    assert [found.id async for found in clients["sk-a"].files.list()] == [file.id]
    for key in ("sk-b", "sk-c"):
        assert [found async for found in clients[key].files.list()] == []
        with pytest.raises(NotFoundError):
            await clients[key].files.retrieve(file.id)
    assert (await clients["sk-a"].files.delete(file.id)).deleted
    with pytest.raises(NotFoundError):
        await clients["sk-a"].files.retrieve(file.id)


async def test_lists_go_on_after_an_id(clients):
    made = [(await clients["sk-a"].vector_stores.create(name=str(number))).id for number in range(5)]

    page = await clients["sk-a"].vector_stores.list(limit=2)
    found = [store.id async for store in clients["sk-a"].vector_stores.list(limit=2)]
    in_order = [store.id async for store in clients["sk-a"].vector_stores.list(limit=2, order="asc")]

    assert (page.has_more, found, in_order) == (True, made[::-1], made)


async def test_a_batch_is_done_when_it_is_asked_for(clients):
    client = clients["sk-a"]
    lines = [{"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions", "body": {}} for n in range(3)]
    file = await client.files.create(file="\n".join(map(json.dumps, lines)).encode(), purpose="batch")

    batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = await client.batches.retrieve(batch.id)

    assert (batch.status, done.status, done.request_counts.completed) == ("validating", "completed", 3)
    content = (await client.files.content(done.output_file_id)).text
    assert [json.loads(line)["custom_id"] for line in content.splitlines()] == ["c0", "c1", "c2"]


async def test_responses_follow_each_other_within_a_project(clients):
    client = clients["sk-a"]
    first = await client.responses.create(model="gpt-4o", input="hi")
    second = await client.responses.create(model="gpt-4o", input="again", previous_response_id=first.id)

    assert second.output_text == "echo: again"
    assert (await client.responses.retrieve(first.id)).output_text == "echo: hi"
    with pytest.raises(BadRequestError) as refused:
        await clients["sk-c"].responses.create(model="gpt-4o", input="x", previous_response_id=first.id)
    assert refused.value.code == "previous_response_not_found"


async def test_a_response_that_is_not_stored_is_not_found(clients):
    response = await clients["sk-a"].responses.create(model="gpt-4o", input="hi", store=False)

    with pytest.raises(NotFoundError):
        await clients["sk-a"].responses.retrieve(response.id)


async def test_a_stream_of_events_is_read_by_the_client(clients):
    async with clients["sk-a"].responses.stream(model="gpt-4o", input="hi there") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == "echo: hi there"


async def test_encrypted_content_is_read_by_its_organisation_alone(clients):
    response = await clients["sk-a"].responses.create(
        model="o3-mini", input="hi", include=["reasoning.encrypted_content"], store=False
    )
    items = [item.model_dump() for item in response.output]

    await clients["sk-b"].responses.create(model="o3-mini", input=items, store=False)
    with pytest.raises(BadRequestError) as refused:
        await clients["sk-c"].responses.create(model="o3-mini", input=items, store=False)
    assert refused.value.code == "invalid_encrypted_content"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_threads_hold_messages_and_runs(clients):
    client = clients["sk-a"]
    assistant = await client.beta.assistants.create(model="gpt-4o")
    thread = await client.beta.threads.create()
    message = await client.beta.threads.messages.create(thread.id, role="user", content="hi")
    run = await client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
    both = await client.beta.threads.create_and_run(assistant_id=assistant.id)

    assert (await client.beta.threads.messages.retrieve(message.id, thread_id=thread.id)).thread_id == thread.id
    assert (await client.beta.threads.runs.retrieve(run.id, thread_id=thread.id)).id == run.id
    assert (await client.beta.threads.retrieve(both.thread_id)).id == both.thread_id
    with pytest.raises(NotFoundError):
        await clients["sk-b"].beta.threads.messages.list(thread.id)
    with pytest.raises(APIStatusError):
        await clients["sk-b"].beta.threads.runs.create(thread.id, assistant_id=assistant.id)


async def test_parts_of_an_upload_become_a_file(clients):
    client = clients["sk-a"]
    upload = await client.uploads.create(bytes=6, filename="a.bin", mime_type="x/y", purpose="assistants")
    parts = [await client.uploads.parts.create(upload.id, data=data) for data in (b"abc", b"def")]

    done = await client.uploads.complete(upload.id, part_ids=[part.id for part in parts])

    assert (await client.files.content(done.file.id)).content == b"abcdef"


async def test_a_trained_model_is_its_organisations(clients):
    client = clients["sk-a"]
    file = await client.files.create(file=b"{}", purpose="fine-tune")
    job = await client.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file.id)
    model = (await client.fine_tuning.jobs.retrieve(job.id)).fine_tuned_model
    hi = [{"role": "user", "content": "hi"}]

    assert model.startswith("ft:gpt-4o-mini:org-1::")
    await clients["sk-b"].chat.completions.create(model=model, messages=hi)
    with pytest.raises(NotFoundError):
        await clients["sk-c"].chat.completions.create(model=model, messages=hi)


async def test_a_stored_chat_can_be_read_again(clients):
    client = clients["sk-a"]
    chat = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "hi"}], store=True
    )

    assert (await client.chat.completions.retrieve(chat.id)).choices[0].message.content == "echo: hi"
    assert [found.id async for found in client.chat.completions.list()] == [chat.id]


async def test_images_and_sound_have_answers_of_their_own(clients):
    client = clients["sk-a"]
    image = await client.images.generate(prompt="a point", n=2)
    edit = await client.images.edit(image=("a.png", b"png"), prompt="a line")
    speech = await client.audio.speech.create(model="tts-1", voice="alloy", input="hello")
    heard = await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))
    text = await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"), response_format="text")

    assert (len(image.data), len(edit.data)) == (2, 1)
    assert speech.content == b"ID3hello"
    assert heard.text == "echo: a.wav of 4 bytes"
    assert (details := heard.usage.input_token_details) is not None, "LiteLLM fails without them"
    assert details.text_tokens + details.audio_tokens == heard.usage.input_tokens
    assert text == "echo: a.wav of 4 bytes\n"
