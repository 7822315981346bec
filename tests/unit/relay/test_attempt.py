import asyncio
import gzip
import json

import msgspec
import pytest

from gateway.core.errors import AllOverloaded, UpstreamFailed
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.relay import attempt as attempt_module
from gateway.telemetry.events import CallEnd
from gateway.wire.endpoints import as_head, find, other
from tests.fakes.relay_kit import ANSWER, OK, STREAM, RelayKit, account, error_json, refusal
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Pause, Reply, Until

HTML = ((b"content-type", b"text/html"),)
PAGE = b"<html><title>502 Bad Gateway</title></html>"


def two_tiers(first, second=OK, **settings):
    """Account `a` answers first, `b` only when it fails."""
    kit = RelayKit(account("a"), account("b", tier=1), **settings)
    kit.upstream.on("sk-a", first)
    kit.upstream.on("sk-b", second)
    return kit


def one(reply):
    kit = RelayKit("a")
    kit.upstream.on("sk-a", reply)
    return kit


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


# -- bodies that are only passed on ------------------------------------------------------------------------------

AUDIO = ((b"content-type", b"audio/mpeg"), (b"content-length", b"6"))
SPEECH = {"model": "tts-1", "path": "/audio/speech"}


async def test_unread_body_is_passed_on_with_its_length():
    kit = one(Reply(200, AUDIO, (b"\xff\xf3a", b"\x00bc")))

    answer = await kit.answer(**SPEECH)
    in_flight = kit.board.in_flight_calls
    body = await kit.streamed(answer)

    assert body == b"\xff\xf3a\x00bc"
    assert dict(answer.headers)[b"content-length"] == b"6"
    assert not answer.coming.is_cut
    assert in_flight == 1
    assert (kit.meter.calls[0].outcome, kit.meter.calls[0].chunks) == (OutcomeKind.OK, 2)
    kit.assert_idle()


async def test_unread_body_that_breaks_is_cut_and_never_ended():
    kit = one(Reply(200, AUDIO, (b"abc", Fault(FaultKind.RESET, "reset", is_body_sent=True))))

    answer = await kit.answer(**SPEECH)
    body = await kit.streamed(answer)

    assert body == b"abc"
    assert answer.coming.is_cut
    assert kit.meter.calls[0].outcome is CallEnd.BROKEN
    assert not kit.meter.calls[0].is_complete
    kit.assert_idle()


async def test_caller_who_hangs_up_on_an_unread_body_blames_nobody():
    kit = one(Reply(200, AUDIO, (b"abc", Until(asyncio.Event()))))
    answer = await kit.answer(**SPEECH)
    await answer.coming.next_piece()

    await answer.coming.close()

    assert kit.upstream.attempts[0].answer.is_cut
    assert kit.meter.calls[0].outcome is OutcomeKind.CANCELLED
    assert kit.serving("tts-1") == {"a"}
    kit.assert_idle()


async def test_unread_body_has_no_last_words_and_is_cut():
    kit = one(Reply(200, AUDIO, (b"abc", Until(asyncio.Event()))))
    answer = await kit.answer(**SPEECH)

    words = answer.coming.last_words(UpstreamFailed("over"))

    assert words == b""
    assert answer.coming.is_cut
    await answer.coming.close()


# -- answers of endpoints without a model ------------------------------------------------------------------------


def modelless(kit, method, path):
    """A job of a call that names no model."""
    job = kit.job()
    endpoint = find(method, path) or other(method)
    call = msgspec.structs.replace(job.call, endpoint=endpoint, path=path, model=None)
    return msgspec.structs.replace(job, call=call, pool=kit.board.pools.pool_for(call), body=b"")


async def fetched(kit, method, path):
    """Status, headers and body of such a call."""
    answer = await kit.finished(kit.relay.relay_call(modelless(kit, method, path)))
    body = answer.body if answer.coming is None else await kit.streamed(answer)
    kit.assert_idle()
    return answer.status, dict(answer.headers), body


@pytest.mark.parametrize("content_type", [b"application/json", b"application/jsonl", b"text/event-stream", None])
async def test_a_download_passes_unread_whatever_it_claims_to_be(content_type):
    headers = () if content_type is None else ((b"content-type", content_type),)
    kit = one(Reply(206, (*headers, (b"content-range", b"bytes 0-3/9")), (b'{"e', b"rr")))

    status, passed, body = await fetched(kit, "GET", "/files/file-1/content")

    assert (status, passed[b"content-range"], body) == (206, b"bytes 0-3/9", b'{"err')


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/containers/cntr_1"), ("GET", "/files/file-1"), ("POST", "/brand/new")]
)
@pytest.mark.parametrize(
    "reply", [Reply(204, ()), Reply(200, JSON_HEADERS), Reply(200, ())], ids=["204", "empty-json", "untyped"]
)
async def test_an_empty_answer_is_one(method, path, reply):
    status, _, body = await fetched(one(reply), method, path)

    assert (status, body) == (reply.status, b"")


async def test_an_unknown_endpoint_s_json_passes_unread_and_typed_lines_too():
    kit = one(Reply(200, ((b"content-type", b"application/json"), (b"content-length", b"7")), (b'{"a": 1',)))

    _, headers, body = await fetched(kit, "POST", "/brand/new")

    assert (body, headers[b"content-length"]) == (b'{"a": 1', b"7")


@pytest.mark.parametrize("status", [301, 302, 304, 307])
async def test_a_redirect_of_a_call_without_a_model_is_the_callers(status):
    place = (b"location", b"https://api.openai.com/v1/files/file-2/content?x=1")
    kit = one(Reply(status, (place,), ()))

    got, headers, _ = await fetched(kit, "GET", "/files/file-1/content")

    assert (got, headers[b"location"]) == (status, b"/v1/files/file-2/content?x=1")


async def test_where_something_was_made_is_below_the_gateway():
    kit = one(Reply(201, (*JSON_HEADERS, (b"location", b"https://api.openai.com/v1/files/file-2")), (b"{}",)))

    _, headers, body = await fetched(kit, "POST", "/files")

    assert (headers[b"location"], body) == (b"/v1/files/file-2", b"{}")


async def test_the_head_of_an_answer_needs_no_body():
    kit = one(Reply(200, ((b"content-type", b"application/json"), (b"content-length", b"900")), ()))
    job = modelless(kit, "GET", "/files/file-1")
    job = msgspec.structs.replace(job, call=msgspec.structs.replace(job.call, endpoint=as_head(job.call.endpoint)))

    answer = await kit.finished(kit.relay.relay_call(job))

    assert (dict(answer.headers)[b"content-length"], await kit.streamed(answer)) == (b"900", b"")
    assert kit.upstream.attempts[0].request.method == b"HEAD"


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
