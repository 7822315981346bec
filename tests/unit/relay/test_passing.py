import asyncio

import msgspec
import pytest

from gateway.core.errors import UpstreamFailed
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.telemetry.events import CallEnd
from gateway.wire.endpoints import as_head, find, other
from tests.fakes.relay_kit import one
from tests.fakes.scripted_upstream import JSON_HEADERS, Reply, Until

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
