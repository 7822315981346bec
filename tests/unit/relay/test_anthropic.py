"""Calls to Anthropic: chat completions translated, through the whole relay on fakes."""

import json

import msgspec
import pytest

from gateway.core.errors import AllRateLimited, InvalidCall, UpstreamFailed
from gateway.core.ids import ModelName, ProviderId
from gateway.core.outcome import Fault, FaultKind
from gateway.core.snapshot import Route, Validation
from tests.fakes.anthropic_kit import ANTHROPIC, MODEL, OK, ROUTE, Kit, data_of, refusal, stream
from tests.fakes.relay_kit import RelayKit, account
from tests.fakes.scripted_upstream import Reply
from tests.unit.wire.openai_anthropic.samples import BEGIN_TEXT, HELLO, event, start, text


async def test_a_chat_is_asked_and_answered_in_the_callers_words():
    kit = Kit(OK)

    answer, job = await kit.said()

    request = kit.upstream.attempts[0].request
    assert (request.target, json.loads(request.body)["max_tokens"]) == (b"/v1/messages", 64_000)
    body = json.loads(answer.body)
    assert body["choices"][0]["message"]["content"] == "Hello"
    assert body["created"] == int(kit.clock.wall_now().timestamp())
    usage = job.progress.usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (15, 10, 7)
    kit.assert_idle()


@pytest.mark.parametrize(
    ("refused", "status", "type_", "code"),
    [
        pytest.param(
            refusal(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
            400, "invalid_request_error", "context_length_exceeded", id="too-long",
        ),
        pytest.param(
            refusal(404, "not_found_error", f"model: {MODEL}"),
            404, "invalid_request_error", "model_not_found", id="no-model",
        ),
    ],
)  # fmt: skip
async def test_refusals_reach_the_caller_in_openais_form(refused, status, type_, code):
    kit = Kit(refused, refused)

    answer, _ = await kit.said()

    error = json.loads(answer.body)["error"]
    assert (answer.status, error["type"], error["code"]) == (status, type_, code)
    assert dict(answer.headers)[b"content-type"] == b"application/json"


@pytest.mark.parametrize(
    "failed",
    [
        pytest.param(refusal(429, "rate_limit_error", "Slow", (b"retry-after", b"20")), id="429"),
        pytest.param(refusal(529, "overloaded_error", "Overloaded"), id="529"),
        pytest.param(refusal(401, "authentication_error", "invalid x-api-key"), id="401"),
        pytest.param(refusal(400, "invalid_request_error", "Your credit balance is too low to access"), id="money"),
        pytest.param(refusal(500, "api_error", "Internal server error"), id="500"),
        pytest.param(
            Reply(pieces=(b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}',)), id="in-200"
        ),
        pytest.param(Reply(pieces=(b'{"completion":"of another API"}',)), id="no-answer"),
    ],
)
async def test_faults_of_an_account_are_answered_by_another(failed):
    kit = Kit(failed, OK)

    answer, _ = await kit.said()

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-a", "sk-b"]
    kit.assert_idle()


async def test_when_all_are_limited_the_caller_hears_of_the_soonest():
    slow = refusal(429, "rate_limit_error", "Slow", (b"retry-after", b"40"))
    kit = Kit(slow, slow)

    with pytest.raises(AllRateLimited) as caught:
        await kit.said()

    assert 39 < caught.value.retry_after_s < 42


async def test_no_answer_that_is_one_is_an_upstream_error():
    odd = Reply(pieces=(b'{"completion":"x"}',))
    kit = Kit(odd, odd)

    with pytest.raises(UpstreamFailed):
        await kit.said()


async def test_a_stream_comes_as_chunks_without_the_usage_nobody_asked_for():
    kit = Kit(stream(b"".join(HELLO)))
    job = kit.made(stream=True)

    answer = await kit.finished(kit.relay.relay_call(job))
    events = data_of(await kit.streamed(answer))

    assert json.loads(kit.upstream.attempts[0].request.body)["stream"] is True
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]) == "Hello"
    assert events[-1] == b"[DONE]"
    assert not any("usage" in event for event in events[:-1])
    assert (job.progress.usage.input_tokens, job.progress.usage.output_tokens) == (35, 9)
    kit.assert_idle()


async def test_usage_that_was_asked_for_comes_last():
    kit = Kit(stream(*HELLO))

    events = data_of(await kit.text(stream_options={"include_usage": True}))

    assert events[-1] == b"[DONE]"
    assert (events[-2]["choices"], events[-2]["usage"]["total_tokens"]) == ([], 44)


@pytest.mark.parametrize(
    "failed",
    [
        pytest.param(stream(event("error", error={"type": "overloaded_error", "message": "x"})), id="error-first"),
        pytest.param(stream(start(), event("error", error={"type": "api_error", "message": "x"})), id="error-held"),
        pytest.param(stream(start(), BEGIN_TEXT), id="ended"),
        pytest.param(stream(start(), Fault(FaultKind.RESET, "gone", is_body_sent=True)), id="reset"),
        pytest.param(stream(b'event: content_block_delta\ndata: {"delta"\n\n'), id="garbage"),
        pytest.param(stream(b'{"type":"error","error":{"type":"api_error","message":"x"}}'), id="json-error"),
    ],
)
async def test_a_stream_that_fails_before_content_moves_on_unseen(failed):
    kit = Kit(failed, stream(*HELLO))

    events = data_of(await kit.text())

    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert events[-1] == b"[DONE]"
    kit.assert_idle()


async def test_a_stream_that_breaks_is_told_to_its_end_by_another_account():
    broken = stream(
        start(), BEGIN_TEXT, text("Hel"), event("error", error={"type": "overloaded_error", "message": "x"})
    )
    kit = Kit(broken, stream(start(id="msg_2"), *HELLO[1:]))

    events = data_of(await kit.text())

    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]) == "Hello"
    assert {event["id"] for event in events[:-1]} == {"msg_1"}
    assert kit.upstream.keys == ["sk-a", "sk-b"]


async def test_a_stream_that_nobody_ends_ends_with_an_error():
    cut = stream(start(), BEGIN_TEXT, text("Hel"))
    kit = Kit(cut, cut)

    events = data_of(await kit.text())

    assert events[-1]["error"]["code"] == "upstream_error"


async def test_a_stream_without_its_stop_is_whole_all_the_same():
    kit = Kit(stream(*HELLO[:-1]))

    assert data_of(await kit.text())[-1] == b"[DONE]"


def test_what_has_no_form_is_refused_before_any_account():
    kit = Kit()

    with pytest.raises(InvalidCall) as caught:
        kit.made(n=2)

    assert caught.value.param == "n"
    assert kit.upstream.attempts == []


def test_checks_of_types_hold_though_they_are_off():
    settings = msgspec.structs.replace(ANTHROPIC.settings, validation=Validation.OFF)
    kit = Kit(provider=msgspec.structs.replace(ANTHROPIC, settings=settings))

    with pytest.raises(InvalidCall):
        kit.made(messages="hi")


def test_the_name_that_goes_upstream_is_the_routes():
    kit = Kit(route=msgspec.structs.replace(ROUTE, upstream_model="claude-opus-4-5"))

    assert json.loads(kit.made().body)["model"] == "claude-opus-4-5"


def test_prompts_are_charged_without_the_answer_and_without_what_a_cache_may_have():
    kit = Kit()
    part = {"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral"}}

    assert kit.made(max_tokens=9999).call.estimated_tokens < 50
    assert kit.made(messages=[{"role": "user", "content": "x" * 4000}]).call.estimated_tokens > 1000
    assert kit.made(messages=[{"role": "user", "content": [part]}]).call.estimated_tokens == 1


async def test_a_fallback_from_openai_to_anthropic_is_translated_and_charged_anew():
    route = Route(pattern="gpt-4", provider_id=ProviderId("openai"), fallbacks=(ModelName(MODEL),))
    kit = RelayKit(account("o"), account("a", provider_id=ANTHROPIC.id), others=[ANTHROPIC], routes=[route, ROUTE])
    kit.upstream.on("sk-o", refusal(500, "api_error"))
    heard = kit.upstream.attempt

    async def attempt(request):
        if request.target != b"/v1/messages":
            return await heard(request)
        shown = msgspec.structs.replace(request, headers=((b"authorization", b"Bearer sk-a"),))
        return await heard(shown)

    kit.upstream.attempt = attempt
    kit.upstream.on("sk-a", OK)

    answer = await kit.answer(model="gpt-4", estimated_tokens=999)

    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "Hello"
    assert json.loads(kit.upstream.attempts[-1].request.body)["messages"][0]["content"][0]["text"] == "hi"
