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
from tests.unit.wire.openai_anthropic.samples import BEGIN_TEXT, HELLO, STOP, begin, end, event, start, text


def compact_text(piece):
    """As we write it."""
    data = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
    return b"event: content_block_delta\ndata: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


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
    kit = Kit(stream(start(), OVERLOADED), stream(*HELLO))

    assert await kit.text("/messages") == b"".join(HELLO)
    assert kit.upstream.keys == ["sk-a", "sk-b"]


GONE = Fault(FaultKind.RESET, "gone", is_body_sent=True)
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
SECOND = [piece.replace(b"msg_1", b"msg_2").replace(b'"output_tokens": 9', b'"output_tokens": 11') for piece in HELLO]


@pytest.mark.parametrize("tail", [[], [GONE], [OVERLOADED]], ids=["ended", "reset", "overloaded"])
async def test_a_stream_of_messages_that_breaks_is_finished_by_another_account(tail):
    kit = Kit(stream(start(), BEGIN_TEXT, text("H"), *tail), stream(*SECOND))

    answer, job = await kit.said("/messages", stream=True)
    sent = await kit.streamed(answer)

    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert sent == b"".join((start(), BEGIN_TEXT, text("H"), compact_text("el"), text("lo"), *SECOND[-3:]))
    assert job.progress.is_spliced
    assert (job.progress.usage.input_tokens, job.progress.usage.output_tokens) == (35, 11)
    kit.assert_idle()


@pytest.mark.parametrize("tail", [[], [GONE], [end()]], ids=["ended", "reset", "no-message-stop"])
async def test_a_truncated_stream_of_messages_never_ends_cleanly(tail):
    kit = Kit(stream(start(), BEGIN_TEXT, text("Hal"), *tail), stream(*HELLO))

    sent = await kit.text("/messages")

    last = data_of(sent)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert b"event: error\n" in sent
    assert STOP not in sent


async def test_what_thinks_or_calls_tools_is_not_asked_for_again():
    for block in ({"type": "thinking", "thinking": "Hm"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}):
        kit = Kit(stream(start(), begin(0, **block), text("Hel"), GONE), stream(*HELLO))

        sent = await kit.text("/messages")

        assert kit.upstream.keys == ["sk-a"]
        assert data_of(sent)[-1]["type"] == "error"


async def test_an_error_in_the_middle_reaches_the_caller_in_anthropics_form():
    kit = Kit(stream(start(), BEGIN_TEXT, text("Hel"), OVERLOADED), stream(OVERLOADED))

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
