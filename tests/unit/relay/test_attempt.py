import gzip
import json

import pytest

from gateway.core.errors import AllOverloaded, UpstreamFailed
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.relay import attempt as attempt_module
from gateway.telemetry.events import CallEnd
from tests.fakes.relay_kit import ANSWER, OK, STREAM, RelayKit, account, error_json, one, refusal, two_tiers
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Pause, Reply

HTML = ((b"content-type", b"text/html"),)
PAGE = b"<html><title>502 Bad Gateway</title></html>"


# -- answers -----------------------------------------------------------------------------------------------------


async def test_answer_comes_through_byte_for_byte_with_its_usage_counted():
    body = b' {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2},"n":1.0}\n'
    kit = one(Reply(pieces=(body[:9], body[9:])))

    job = kit.job()
    answer = await kit.finished(kit.relay.relay_call(job))

    assert (answer.status, answer.body, answer.outcome) == (200, body, OutcomeKind.OK)
    assert (job.progress.usage.input_tokens, job.progress.usage.output_tokens) == (5, 2)
    assert job.progress.account_id == "a"
    assert kit.upstream.attempts[0].answer.is_ended
    kit.assert_idle()


@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_packed_though_it_was_asked_for_plain_is_unpacked(status):
    headers = (*JSON_HEADERS, (b"content-encoding", b"gzip"))
    kit = one(Reply(status, headers, (gzip.compress(ANSWER, mtime=0),)))

    answer = await kit.finished(kit.relay.relay_call(kit.job()))

    assert (answer.status, answer.body) == (status, ANSWER)
    assert b"content-encoding" not in dict(answer.headers)


async def test_an_answer_in_a_coding_nobody_knows_moves_on():
    kit = two_tiers(Reply(200, (*JSON_HEADERS, (b"content-encoding", b"br")), (b"\x8b\x00",)))

    answer = await kit.finished(kit.relay.relay_call(kit.job()))

    assert (answer.status, answer.body) == (200, ANSWER)


async def test_headers_that_tell_of_an_account_or_a_hop_do_not_pass():
    headers = (
        *JSON_HEADERS,
        (b"content-length", b"3"),
        (b"set-cookie", b"a=b"),
        (b"x-ratelimit-remaining-requests", b"7"),
        (b"openai-organization", b"org-1"),
        (b"connection", b"keep-alive, x-hop"),
        (b"x-hop", b"1"),
        (b"openai-version", b"2020-10-01"),
    )
    kit = one(Reply(200, headers, (ANSWER,)))

    answer = await kit.answer()

    assert answer.headers == (*JSON_HEADERS, (b"openai-version", b"2020-10-01"))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(Reply(pieces=(b"not json",)), OutcomeKind.UPSTREAM_ERROR, id="garbage"),
        pytest.param(Reply(pieces=(ANSWER[:-1],)), OutcomeKind.UPSTREAM_ERROR, id="cut short"),
        pytest.param(Reply(pieces=()), OutcomeKind.UPSTREAM_ERROR, id="empty"),
        pytest.param(Reply(200, HTML, (PAGE,)), OutcomeKind.UPSTREAM_ERROR, id="page"),
        pytest.param(
            Reply(pieces=(ANSWER[:9], Fault(FaultKind.RESET, "reset", is_body_sent=True))),
            OutcomeKind.UNREACHABLE,
            id="reset",
        ),
        pytest.param(Reply(pieces=(ANSWER[:9], Pause(1000.0))), OutcomeKind.TIMED_OUT, id="stall"),
        pytest.param(
            Reply(pieces=(error_json("Overloaded", type_="overloaded_error"),)),
            OutcomeKind.OVERLOADED,
            id="error in a 200",
        ),
        pytest.param(Reply(502, HTML, (PAGE,)), OutcomeKind.UPSTREAM_ERROR, id="proxy's page"),
        pytest.param(Reply(302, HTML, (b"moved",)), OutcomeKind.UPSTREAM_ERROR, id="redirect"),
    ],
)
async def test_answer_that_is_none_is_asked_for_elsewhere(reply, kind):
    kit = two_tiers(reply)

    answer = await kit.answer()

    assert answer.body == ANSWER
    assert kit.meter.kinds == [kind, OutcomeKind.OK]
    kit.assert_idle()


@pytest.mark.parametrize("path", ["/embeddings", "/responses", "/images/generations", "/audio/speech"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_page_is_the_answer_of_no_model(path, is_stream):
    kit = two_tiers(Reply(200, HTML, (PAGE,)), Reply(200, JSON_HEADERS, (b'{"object":"x"}',)))

    answer = await kit.answer(path=path, is_stream=is_stream)

    assert answer.body == b'{"object":"x"}'
    assert kit.meter.kinds == [OutcomeKind.UPSTREAM_ERROR, OutcomeKind.OK]


async def test_answer_that_is_too_long_is_not_held_in_memory(monkeypatch):
    monkeypatch.setattr(attempt_module, "MAX_JSON_BYTES", 10)
    kit = one(OK)

    with pytest.raises(UpstreamFailed):
        await kit.answer()

    kit.assert_idle()


async def test_length_of_a_stream_is_not_promised():
    kit = one(Reply(200, (*EVENT_HEADERS, (b"content-length", b"9999")), STREAM))

    answer = await kit.answer(is_stream=True, asks_usage=True)

    assert b"content-length" not in dict(answer.headers)
    await kit.streamed(answer)


# -- refusals ----------------------------------------------------------------------------------------------------


async def test_refusal_of_the_call_comes_as_it_came_but_for_identifiers():
    body = b'{ "error" : {"message":"Bad for org-AbCdEfGh1234","type":"invalid_request_error","param":"n","code":null}}'
    headers = (*JSON_HEADERS, (b"content-length", b"99"), (b"retry-after", b"3"), (b"set-cookie", b"x=y"))
    kit = one(Reply(400, headers, (body,)))

    answer = await kit.answer()

    assert answer.status == 400
    assert answer.body == body.replace(b"org-AbCdEfGh1234", b"org-***")
    assert answer.headers == (*JSON_HEADERS, (b"retry-after", b"3"))
    assert answer.outcome is OutcomeKind.CALLER_FAULT


async def test_unreadable_refusal_of_the_call_comes_as_it_came():
    kit = one(Reply(400, ((b"content-type", b"text/plain"),), (b"no such thing",)))

    answer = await kit.answer()

    assert (answer.status, answer.body) == (400, b"no such thing")


async def test_proxys_page_becomes_an_error_of_ours():
    kit = one(Reply(502, HTML, (PAGE,)))

    with pytest.raises(UpstreamFailed) as failed:
        await kit.answer()

    assert failed.value.status == 502
    assert "html" not in failed.value.message


async def test_overload_without_words_becomes_an_error_of_ours():
    kit = one(Reply(503, (), (b"",)))

    with pytest.raises(AllOverloaded):
        await kit.answer()


async def test_error_inside_of_a_success_is_given_a_status():
    wrong = Reply(pieces=(error_json("Bad prompt in org-AbCdEfGh1234", type_="invalid_request_error"),))
    kit = one(wrong)

    answer = await kit.answer()

    assert answer.status == 400
    assert json.loads(answer.body)["error"]["message"] == "Bad prompt in org-***"


async def test_error_body_that_breaks_off_is_judged_by_its_status():
    fault = Fault(FaultKind.RESET, "reset", is_body_sent=True)
    kit = two_tiers(Reply(429, JSON_HEADERS, (b'{"err', fault)))

    answer = await kit.answer()

    assert answer.body == ANSWER
    assert kit.meter.kinds[0] is OutcomeKind.RATE_LIMITED


async def test_error_body_without_end_is_not_held_in_memory(monkeypatch):
    monkeypatch.setattr(attempt_module, "MAX_ERROR_BYTES", 10)
    kit = one(refusal(500, "long" * 100))

    with pytest.raises(UpstreamFailed):
        await kit.answer()


# -- what goes out -----------------------------------------------------------------------------------------------


async def test_request_carries_the_accounts_credential_and_our_id():
    kit = one(OK)

    await kit.answer()

    request = kit.upstream.attempts[0].request
    headers = dict(request.headers)
    assert (request.method, request.target) == (b"POST", b"/v1/chat/completions")
    assert headers[b"authorization"] == b"Bearer sk-a"
    assert headers[b"x-client-request-id"] == kit.call().id.encode()
    assert headers[b"accept-encoding"] == b"identity"


async def test_head_may_not_come_later_than_the_deadline():
    kit = two_tiers(Reply(500, JSON_HEADERS, (error_json("broken"),), wait_s=400.0), timeout_s=600.0)

    await kit.answer()

    first, second = kit.upstream.attempts
    assert first.request.limits.headers_s == 600.0
    assert second.request.limits.headers_s == pytest.approx(200.0)


# -- what is counted ---------------------------------------------------------------------------------------------


async def test_trail_of_a_call_is_told_once():
    kit = two_tiers(refusal(500, "broken"))
    job = kit.job()
    answer = await kit.finished(kit.relay.relay_call(job))
    kit.clock.move(0.5)

    job.progress.sent_whole(len(answer.body))
    job.progress.finish(answer.outcome, answer.status)
    job.progress.finish(CallEnd.CRASHED, 500)

    [record] = kit.meter.calls
    assert (record.outcome, record.status, record.attempts) == (OutcomeKind.OK, 200, 2)
    assert [(step.account_id, step.outcome) for step in record.trail] == [
        ("a", OutcomeKind.UPSTREAM_ERROR),
        ("b", OutcomeKind.OK),
    ]
    assert record.first_byte_s == pytest.approx(0.5)
    assert record.bytes == len(ANSWER)


async def test_trail_is_bounded_but_attempts_are_counted():
    names = [f"a{number}" for number in range(30)]
    kit = RelayKit(*[account(name, tier=tier) for tier, name in enumerate(names)])
    for name in names:
        kit.upstream.on(f"sk-{name}", refusal(401, "wrong", code="invalid_api_key"))
    kit.upstream.on("sk-a29", OK)
    job = kit.job()

    await kit.finished(kit.relay.relay_call(job))
    job.progress.finish(OutcomeKind.OK, 200)

    [record] = kit.meter.calls
    assert record.attempts == 30
    assert len(record.trail) == 20


async def test_time_in_the_line_is_counted():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", refusal(429, "slow", code="slow_down", headers=((b"retry-after-ms", b"2000"),)), OK)
    job = kit.job()

    await kit.finished(kit.relay.relay_call(job))

    assert job.progress.waited_s == pytest.approx(2.2)
