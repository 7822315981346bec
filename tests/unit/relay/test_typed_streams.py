"""Typed events through the relay: Responses, images, runs, and answers whose type the request could not tell."""

import asyncio
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Usage
from gateway.core.errors import UpstreamTimedOut
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.telemetry.events import CallEnd
from tests.fakes.relay_kit import OK, error_json, refusal, stream, two_tiers
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Pause, Reply, Until

RESPONSES = "/responses"
IMAGES = "/images/generations"
RESET = Fault(FaultKind.RESET, "reset by peer", is_body_sent=True)
BODY = b'{"model":"gpt-4","input":"hi","store":false}'
STORED = b'{"model":"gpt-4","input":"hi"}'


def typed(type_, **members):
    return f"event: {type_}\n".encode() + b"data: " + json.dumps({"type": type_, **members}).encode() + b"\n\n"


CREATED = typed("response.created", sequence_number=0, response={"id": "resp_1", "status": "in_progress"})
HE = typed("response.output_text.delta", sequence_number=1, delta="he")
Y = typed("response.output_text.delta", sequence_number=2, delta="y")
COMPLETED = typed(
    "response.completed",
    sequence_number=3,
    response={"id": "resp_1", "usage": {"input_tokens": 3, "output_tokens": 2}},
)
WHOLE = (CREATED, HE, Y, COMPLETED)
PARTIAL = typed("image_generation.partial_image", b64_json="eA==")
IMAGE = typed("image_generation.completed", b64_json="eA==", usage={"input_tokens": 3, "output_tokens": 2})


def failed(code):
    error = {"code": code, "message": "No, org-abcdefgh."}
    return typed("response.failed", sequence_number=9, response={"id": "resp_1", "status": "failed", "error": error})


def kit_of(*pieces, second=OK, **settings):
    return two_tiers(pieces[0] if isinstance(pieces[0], Reply) else stream(*pieces), second, **settings)


async def begun(kit, path=RESPONSES, **fields):
    given = {"is_stream": True, "body": BODY, **fields}
    return await kit.answer(path=path, **given)


async def body_of(kit, path=RESPONSES, **fields):
    return await kit.streamed(await begun(kit, path, **fields))


def last_of(body):
    return json.loads(body.rstrip(b"\n").rpartition(b"data: ")[2])


async def test_response_comes_through_byte_for_byte_and_is_over_at_its_last_event():
    kit = kit_of(*WHOLE, b"data: [DONE]\n\n", Pause(1000.0))

    assert await body_of(kit) == b"".join(WHOLE)
    [record] = kit.meter.calls
    assert (record.outcome, record.is_stream, record.chunks) == (OutcomeKind.OK, True, 4)
    assert (record.input_tokens, record.output_tokens) == (3, 2)
    assert kit.clock.now() < 1001.0
    kit.assert_idle()


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        pytest.param((CREATED, failed("rate_limit_exceeded")), OutcomeKind.RATE_LIMITED, id="failed: rate limit"),
        pytest.param((failed("server_error"),), OutcomeKind.UPSTREAM_ERROR, id="failed at once"),
        pytest.param((CREATED, typed("error", message="x")), OutcomeKind.UPSTREAM_ERROR, id="error event"),
        pytest.param((CREATED,), OutcomeKind.UPSTREAM_ERROR, id="cut"),
        pytest.param((CREATED, RESET), OutcomeKind.UNREACHABLE, id="reset"),
        pytest.param((b"data: [DONE]\n\n",), OutcomeKind.UPSTREAM_ERROR, id="nothing but its end"),
        pytest.param((error_json("Overloaded", type_="overloaded_error"),), OutcomeKind.OVERLOADED, id="json error"),
    ],
)
async def test_failure_before_the_first_content_is_seen_by_nobody(pieces, kind):
    kit = kit_of(*pieces, second=stream(*WHOLE))

    assert await body_of(kit) == b"".join(WHOLE)
    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert kit.meter.kinds == [kind, OutcomeKind.OK]
    kit.assert_idle()


async def test_response_that_is_the_callers_fault_is_a_400():
    kit = kit_of(CREATED, failed("invalid_prompt"))

    answer = await begun(kit)

    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "invalid_prompt")
    assert b"org-abcdefgh" not in answer.body
    assert kit.upstream.keys == ["sk-a"]


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        pytest.param((RESET,), "upstream_error", id="reset"),
        pytest.param((), "upstream_error", id="clean end"),
        pytest.param((b"data: [DONE]\n\n",), "upstream_error", id="done in place of the end"),
        pytest.param((b'event: x\ndata: {"type":\n\n',), "upstream_error", id="half an event"),
        pytest.param((typed("error", code="server_error", message="x"),), "server_error", id="error event"),
        pytest.param((Pause(700.0),), "upstream_timeout", id="silence"),
    ],
)
async def test_response_that_breaks_ends_with_an_error_in_both_forms(pieces, code):
    kit = kit_of(CREATED, HE, *pieces, second=stream(*WHOLE))

    body = await body_of(kit, body=STORED)

    assert body.startswith(CREATED + HE + b"event: error\n")
    told = last_of(body)
    assert (told["type"], told["sequence_number"], told["code"], told["error"]["code"]) == ("error", 2, code, code)
    assert kit.upstream.keys == ["sk-a"]
    [record] = kit.meter.calls
    assert (record.outcome, record.code, record.is_complete) == (CallEnd.BROKEN, code, False)
    kit.assert_idle()


async def test_response_that_failed_in_the_middle_is_told_as_it_came():
    kit = kit_of(CREATED, HE, failed("rate_limit_exceeded"))

    body = await body_of(kit, body=STORED)

    assert body == CREATED + HE + failed("rate_limit_exceeded").replace(b"org-abcdefgh", b"org-***")
    assert kit.serving() == {"b"}
    assert kit.meter.calls[0].code == "rate_limit_exceeded"


async def test_responses_may_think_for_ten_minutes_whatever_the_model():
    patient = kit_of(Pause(599.0), CREATED, HE, Pause(599.0), COMPLETED, timeout_s=700.0)
    hurried = kit_of(Pause(61.0), PARTIAL, second=stream(PARTIAL, IMAGE))

    assert await body_of(patient) == CREATED + HE + COMPLETED
    await body_of(hurried, IMAGES)
    assert hurried.upstream.keys == ["sk-a", "sk-b"]


async def test_images_are_whole_when_their_framing_is():
    whole, cut = kit_of(PARTIAL, IMAGE, IMAGE), kit_of(PARTIAL, IMAGE, RESET)

    assert await body_of(whole, IMAGES) == PARTIAL + IMAGE + IMAGE
    body = await body_of(cut, IMAGES)
    assert body.startswith(PARTIAL + IMAGE + b"event: error\n")
    assert set(last_of(body)) == {"type", "error"}


async def test_what_comes_as_events_is_passed_on_as_events_though_nobody_asked():
    kit = kit_of(PARTIAL, IMAGE)

    body = await body_of(kit, IMAGES, is_stream=False)

    assert body == PARTIAL + IMAGE
    [record] = kit.meter.calls
    assert (record.is_stream, record.output_tokens) == (True, 2)


async def test_speech_is_counted_by_its_text():
    kit = kit_of(Reply(200, ((b"content-type", b"audio/mpeg"),), (b"sound",)))
    job = kit.job(path="/audio/speech", body=b'{"model":"gpt-4","input":"hello","voice":"coral"}')

    answer = await kit.finished(kit.relay.relay_call(job))

    assert await kit.streamed(answer) == b"sound"
    assert job.progress.usage == Usage(characters=5)


def response_json(code):
    error = {"code": code, "message": "No, org-abcdefgh."}
    return json.dumps({"id": "resp_1", "object": "response", "status": "failed", "error": error}).encode()


async def test_response_that_failed_whole_moves_on():
    done = b'{"id":"resp_2","object":"response","status":"completed","error":null}'
    kit = kit_of(Reply(200, JSON_HEADERS, (response_json("server_error"),)), second=Reply(200, JSON_HEADERS, (done,)))

    answer = await begun(kit, is_stream=False)

    assert (answer.status, answer.body) == (200, done)
    assert kit.meter.kinds == [OutcomeKind.UPSTREAM_ERROR, OutcomeKind.OK]


async def test_response_that_failed_for_good_is_the_answer_it_was():
    kit = kit_of(Reply(200, JSON_HEADERS, (response_json("invalid_prompt"),)))

    answer = await begun(kit, is_stream=False)

    assert (answer.status, answer.code) == (200, "invalid_prompt")
    assert answer.body == response_json("invalid_prompt").replace(b"org-abcdefgh", b"org-***")
    assert answer.outcome is OutcomeKind.CALLER_FAULT


@pytest.mark.parametrize(
    ("body", "is_stream"),
    [
        pytest.param(error_json("No", code="invalid_prompt"), False, id="no response at all"),
        pytest.param(error_json("No", code="invalid_prompt"), True, id="no stream at all"),
        pytest.param(response_json("invalid_prompt"), True, id="a failed response in place of its stream"),
    ],
)
async def test_error_with_200_is_an_error(body, is_stream):
    kit = kit_of(Reply(200, JSON_HEADERS, (body,)))

    answer = await begun(kit, is_stream=is_stream)

    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "invalid_prompt")


async def test_refusal_of_a_stream_is_as_of_any_call():
    kit = kit_of(refusal(400, "No", type_="invalid_request_error"))

    answer = await begun(kit)

    assert answer.status == 400
    assert dict(answer.headers)[b"content-type"] == b"application/json"
    assert EVENT_HEADERS[0] not in answer.headers


# -- begun anew --------------------------------------------------------------------------------------------------


def again(*pieces):
    """What another account says: the same but for the names and the pieces it is cut into."""
    said = pieces or (CREATED, typed("response.output_text.delta", sequence_number=1, delta="hey"), COMPLETED)
    return stream(*[piece.replace(b"resp_1", b"resp_2") for piece in said])


async def test_response_that_breaks_is_finished_by_another_account():
    kit = kit_of(CREATED, HE, RESET, second=again())

    body = await body_of(kit)

    told = [json.loads(raw.partition(b"data: ")[2]) for raw in body.split(b"\n\n") if raw]
    assert [event["sequence_number"] for event in told] == [0, 1, 2, 3]
    assert "".join(event.get("delta", "") for event in told) == "hey"
    assert (told[-1]["type"], told[-1]["response"]["id"]) == ("response.completed", "resp_1")
    [record] = kit.meter.calls
    assert (record.outcome, record.is_spliced, record.account_id, record.output_tokens) == (
        OutcomeKind.OK,
        True,
        "b",
        2,
    )
    kit.assert_idle()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(STORED, id="kept"),
        pytest.param(b'{"model":"gpt-4","store":true}', id="kept by wish"),
        pytest.param(b'{"model":"gpt-4","store":false,"conversation":"conv_1"}', id="conversation"),
        pytest.param(b'{"model":"gpt-4","store":false,"background":true}', id="background"),
    ],
)
async def test_response_that_is_kept_is_not_told_twice(body):
    kit = kit_of(CREATED, HE, RESET, second=again())

    assert last_of(await body_of(kit, body=body))["type"] == "error"
    assert kit.upstream.keys == ["sk-a"]


async def test_response_that_is_another_one_is_never_appended():
    other = typed("response.output_text.delta", sequence_number=1, delta="hm")
    kit = kit_of(CREATED, HE, RESET, second=again(CREATED, other, COMPLETED))

    body = await body_of(kit)

    assert body.startswith(CREATED + HE + b"event: error\n")
    assert last_of(body)["sequence_number"] == 2
    assert kit.meter.calls[0].outcome is CallEnd.BROKEN


async def test_second_break_ends_with_the_number_that_follows():
    deltas = [typed("response.output_text.delta", sequence_number=9, delta=word) for word in ("h", "ey", " yo")]
    kit = kit_of(CREATED, HE, RESET, second=again(CREATED, *deltas))

    body = await body_of(kit)

    assert (last_of(body)["type"], last_of(body)["sequence_number"]) == ("error", 4)
    assert b'"delta":"y"' in body


async def test_images_are_not_drawn_twice():
    kit = kit_of(PARTIAL, RESET, second=stream(PARTIAL, IMAGE))

    assert last_of(await body_of(kit, IMAGES))["type"] == "error"
    assert kit.upstream.keys == ["sk-a"]


TAILS = {
    "clean": (),
    "reset": (RESET,),
    "done": (b"data: [DONE]\n\n",),
    "half": (COMPLETED[:-20],),
    "silence": (Pause(2000.0),),
}


@given(st.integers(1, 3), st.sampled_from(sorted(TAILS)), st.lists(st.sampled_from([b": hi\n\n", HE, Y]), max_size=4))
def test_no_cut_response_ends_cleanly_and_no_account_stays_held(cut, tail, more):
    async def run():
        kit = kit_of(*WHOLE[:cut], *more, *TAILS[tail], second=refusal(400, "No"))
        try:
            answer = await begun(kit, body=STORED)
        except UpstreamTimedOut:
            return 504, b""
        body = answer.body if answer.coming is None else await kit.streamed(answer)
        kit.assert_idle()
        return answer.status, body

    status, body = asyncio.run(run())

    assert COMPLETED not in body
    assert status in {400, 504} or last_of(body)["type"] == "error"


async def test_session_in_which_nothing_happens_begins_at_once():
    happens = asyncio.Event()
    kit = kit_of(Until(happens), typed("agent.session.idle", session_id="s"))
    call = kit.start(path="/agents/sessions/s/events", method="GET")
    await kit.clock.settle()
    has_begun = call.done()

    happens.set()
    body = await kit.streamed(await call)

    assert has_begun
    assert body == typed("agent.session.idle", session_id="s")
    assert kit.meter.calls[0].outcome is OutcomeKind.OK
    kit.assert_idle()


async def test_what_an_answer_tells_beyond_the_usual_counts_is_recorded():
    usage = {"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 7}}
    last = typed("response.completed", sequence_number=2, response={"id": "resp_1", "usage": usage})
    kit = kit_of(CREATED, HE, last, second=stream(*WHOLE))

    await body_of(kit)
    kit.upstream.on("sk-a", stream(*WHOLE))
    await body_of(kit)

    assert [record.usage for record in kit.meter.calls] == [Usage(3, 9, reasoning_tokens=7), msgspec.UNSET]
