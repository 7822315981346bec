"""Messages to Anthropic as they are, through the whole relay on fakes."""

import json
from datetime import timedelta

import pytest

from gateway.core.call import Call
from gateway.core.errors import InvalidCall
from gateway.core.ids import CallId
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.wire.endpoints import find
from tests.fakes.anthropic_kit import MESSAGE, NATIVE, OK, Kit, data_of, stream
from tests.fakes.scripted_upstream import JSON_HEADERS, Reply
from tests.unit.wire.openai_anthropic.samples import BEGIN_TEXT, HELLO, STOP, event, start, text


async def test_a_message_passes_byte_for_byte_with_its_usage_counted():
    kit = Kit(OK)

    answer, job = await kit.said("/messages")

    assert answer.body == json.dumps(MESSAGE).encode()
    assert kit.upstream.attempts[0].request.body == json.dumps(NATIVE).encode()
    assert (job.progress.usage.input_tokens, job.progress.usage.cached_tokens) == (15, 10)


async def test_a_stream_of_messages_passes_byte_for_byte():
    kit = Kit(stream(*HELLO))
    job = kit.made("/messages", stream=True)

    sent = await kit.streamed(await kit.finished(kit.relay.relay_call(job)))

    assert sent == b"".join(HELLO)
    assert (job.progress.usage.input_tokens, job.progress.usage.output_tokens) == (35, 9)
    kit.assert_idle()


async def test_a_stream_of_messages_that_fails_before_content_moves_on_unseen():
    overloaded = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    kit = Kit(stream(start(), overloaded), stream(*HELLO))

    assert await kit.text("/messages") == b"".join(HELLO)
    assert kit.upstream.keys == ["sk-a", "sk-b"]


@pytest.mark.parametrize("tail", [[], [Fault(FaultKind.RESET, "gone", is_body_sent=True)]], ids=["ended", "reset"])
async def test_a_truncated_stream_of_messages_never_ends_cleanly(tail):
    kit = Kit(stream(start(), BEGIN_TEXT, text("Hel"), *tail), stream(*HELLO))

    sent = await kit.text("/messages")

    assert kit.upstream.keys == ["sk-a"]
    last = data_of(sent)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert b"event: error\n" in sent


async def test_an_error_in_the_middle_reaches_the_caller_in_anthropics_form():
    overloaded = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    kit = Kit(stream(start(), BEGIN_TEXT, text("Hel"), overloaded))

    sent = await kit.text("/messages")

    assert data_of(sent)[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert STOP not in sent


async def test_an_error_in_place_of_an_answer_is_anthropics_too():
    wrong = Reply(pieces=(b'{"type":"error","error":{"type":"invalid_request_error","message":"No"}}',))
    kit = Kit(wrong, wrong)

    answer, _ = await kit.said("/messages")

    assert answer.status == 400
    assert json.loads(answer.body) == {"type": "error", "error": {"type": "invalid_request_error", "message": "No"}}


def test_a_model_of_openais_has_no_messages():
    kit = Kit()

    with pytest.raises(InvalidCall) as caught:
        kit.made("/messages", model="gpt-4")

    assert caught.value.code == "endpoint_not_supported"


def test_calls_without_a_model_go_where_claude_goes():
    kit = Kit()
    endpoint = find("GET", "/messages/batches")

    pool = kit.board.pools.pool_for(Call(id=CallId("req_1"), endpoint=endpoint))

    assert pool.provider.id == "anthropic"


async def test_limits_are_learned_from_anthropics_headers():
    kit = Kit()
    full_at = kit.clock.wall_now() + timedelta(seconds=50)
    headers = (
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"0"),
        (b"anthropic-ratelimit-requests-reset", full_at.isoformat().encode()),
        (b"anthropic-ratelimit-input-tokens-limit", b"30000"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"29000"),
    )
    kit.upstream.on("sk-a", Reply(200, JSON_HEADERS + headers, OK.pieces))
    kit.upstream.on("sk-b", OK)

    _, job = await kit.said()
    answer, _ = await kit.said()

    levels = job.pool.members[0].headrooms[0]
    assert (levels.level_of("requests").limit, levels.level_of("tokens").limit) == (50, 30_000)
    assert answer.outcome is OutcomeKind.OK
    assert kit.upstream.keys == ["sk-a", "sk-b"]
