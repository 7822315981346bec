import asyncio

import pytest

from gateway.core.errors import ShuttingDown, UpstreamFailed
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.relay import source
from gateway.telemetry.events import CallEnd
from tests.fakes.relay_kit import DONE, OK, ROLE, STREAM, RelayKit, account, delta, event, stream
from tests.fakes.scripted_upstream import Pause, Reply, Until
from tests.fakes.streamed import RATE_LIMIT_EVENT, RESET, WHOLE, begun, body_of, error_at_the_end, kit_of

# -- after the commit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces",
    [pytest.param((RESET,), id="reset"), pytest.param((), id="clean end"), pytest.param((b"data: {",), id="half")],
)
async def test_truncated_stream_ends_with_an_error_and_never_cleanly(pieces):
    kit = kit_of(ROLE, delta("he"), *pieces)

    body = await body_of(kit)

    assert body.startswith(ROLE + delta("he") + b"data: ")
    assert DONE not in body
    assert error_at_the_end(body)["code"] == "upstream_error"
    assert kit.meter.calls[0].outcome is CallEnd.BROKEN
    assert not kit.meter.calls[0].is_complete
    kit.assert_idle()


async def test_missing_done_after_a_finished_answer_is_added():
    kit = kit_of(*STREAM[:-1])

    assert await body_of(kit) == WHOLE
    assert kit.meter.calls[0].outcome is OutcomeKind.OK


@pytest.mark.parametrize("content_type", [b"text/plain; charset=utf-8", b"application/octet-stream", None])
async def test_stream_is_read_whatever_its_server_calls_it(content_type):
    kit = RelayKit("a")
    headers = () if content_type is None else ((b"content-type", content_type),)
    kit.upstream.on("sk-a", Reply(200, headers, STREAM))

    answer = await kit.answer(is_stream=True)

    assert await kit.streamed(answer) == WHOLE
    assert kit.meter.calls[0].outcome is OutcomeKind.OK


@pytest.mark.parametrize("content_type", [b"text/html", None])
async def test_page_in_place_of_a_stream_moves_the_call_to_another_account(content_type):
    kit = RelayKit(account("a"), account("b", tier=1))
    headers = () if content_type is None else ((b"content-type", content_type),)
    kit.upstream.on("sk-a", Reply(200, headers, (b"<html><body>Sign in</body></html>",)))
    kit.upstream.on("sk-b", stream(*STREAM))

    answer = await kit.answer(is_stream=True)

    assert await kit.streamed(answer) == WHOLE
    assert kit.upstream.keys == ["sk-a", "sk-b"]


@pytest.mark.parametrize("fault", [RESET, Fault(FaultKind.STALL, "silence", is_body_sent=True)])
async def test_fault_after_a_finished_answer_costs_nobody_anything(fault):
    kit = kit_of(*STREAM[:-1], fault)

    assert await body_of(kit) == WHOLE
    assert kit.meter.calls[0].outcome is OutcomeKind.OK
    assert kit.serving() == {"a", "b"}
    kit.assert_idle()


async def test_caller_who_leaves_with_the_whole_answer_cancelled_nothing():
    kit = kit_of(WHOLE)
    answer = await begun(kit)

    assert await answer.coming.next_piece() == WHOLE
    await kit.finished(answer.coming.close())

    assert kit.meter.calls[0].outcome is OutcomeKind.OK


async def test_answer_that_is_whole_in_one_chunk_ends_as_well():
    kit = kit_of(WHOLE)

    assert await body_of(kit) == WHOLE
    kit.assert_idle()


async def test_stalled_stream_ends_with_an_error():
    kit = kit_of(ROLE, delta("he"), Pause(500.0))

    body = await body_of(kit)

    assert error_at_the_end(body)["code"] == "upstream_timeout"
    assert kit.clock.now() == pytest.approx(1030.0)
    assert kit.upstream.attempts[0].answer.is_cut
    assert "a" in kit.board.view(kit.pool(), kit.clock.now()).dimmed
    kit.assert_idle()


async def test_keep_alives_do_not_put_off_a_stall():
    beats = [piece for _ in range(50) for piece in (Pause(4.0), b": keep-alive\n\n")]
    kit = kit_of(ROLE, delta("he"), *beats)

    body = await body_of(kit)

    assert error_at_the_end(body)["code"] == "upstream_timeout"
    assert kit.clock.now() == pytest.approx(1030.0)


async def test_slow_stream_with_events_never_stalls():
    words = [piece for _ in range(20) for piece in (Pause(25.0), b": beat\n\n", Pause(4.0), delta("x"))]
    kit = kit_of(*STREAM[:2], *words, *STREAM[3:])

    body = await body_of(kit)

    assert body.endswith(DONE)
    assert kit.meter.calls[0].outcome is OutcomeKind.OK


async def test_slow_reader_is_no_stalled_upstream():
    kit = kit_of(*STREAM[:2], *[delta("x") for _ in range(5)], *STREAM[3:])
    answer = await begun(kit)
    parts = []

    while piece := await kit.finished(answer.coming.next_piece()):
        parts.append(piece)
        kit.clock.move(100.0)
    await kit.finished(answer.coming.close())

    assert b"".join(parts).endswith(DONE)


async def test_error_after_the_commit_parks_the_account_and_ends_the_stream():
    kit = kit_of(ROLE, delta("he"), RATE_LIMIT_EVENT, delta("never sent"))

    body = await body_of(kit)

    assert body.startswith(ROLE + delta("he"))
    assert error_at_the_end(body)["code"] == "rate_limit_exceeded"
    assert b"never sent" not in body
    assert kit.serving() == {"b"}
    kit.assert_idle()


async def test_error_event_without_its_blank_line_parks_as_well():
    kit = kit_of(ROLE, delta("he"), RATE_LIMIT_EVENT.rstrip(b"\n"))

    body = await body_of(kit)

    assert error_at_the_end(body)["code"] == "rate_limit_exceeded"
    assert kit.serving() == {"b"}


async def test_identifiers_of_accounts_are_masked_in_errors_of_a_stream():
    secret = event({"error": {"message": "Limit in org-AbCdEfGhIjKlMnOpQrStUvWx", "type": "requests", "code": None}})
    kit = kit_of(ROLE, delta("he"), secret)

    assert b"AbCdEfGh" not in await body_of(kit)


async def test_lost_piece_of_the_answer_breaks_the_stream():
    kit = kit_of(ROLE, delta("he"), b'data: {"choices":[{"delta":{"content":"y\n\n', *STREAM[3:])

    body = await body_of(kit)

    assert error_at_the_end(body)["code"] == "upstream_error"
    assert DONE not in body


# -- usage -------------------------------------------------------------------------------------------------------

USAGE = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})


async def test_usage_that_we_asked_for_is_counted_and_hidden():
    kit = kit_of(*STREAM[:-1], USAGE, DONE)

    body = await kit.streamed(await kit.answer(is_stream=True, asks_usage=False))

    assert body == WHOLE
    assert b"include_usage" in kit.upstream.attempts[0].request.body
    assert (kit.meter.calls[0].input_tokens, kit.meter.calls[0].output_tokens) == (7, 3)


async def test_usage_that_the_caller_asked_for_comes_through():
    kit = kit_of(*STREAM[:-1], USAGE, DONE)

    assert await body_of(kit) == b"".join((*STREAM[:-1], USAGE, DONE))


# -- the end -----------------------------------------------------------------------------------------------------


async def test_connection_of_a_clean_end_may_be_used_again():
    kit = kit_of(*STREAM)

    await body_of(kit)

    [answer] = kit.upstream.answers
    assert answer.is_ended
    assert not answer.is_cut


async def test_end_of_the_framing_is_waited_for_only_a_moment():
    kit = kit_of(*STREAM, Pause(60.0))

    await body_of(kit)

    assert kit.clock.now() == pytest.approx(1000.0 + source.END_WAIT_S)
    assert kit.upstream.attempts[0].answer.is_cut


async def test_caller_who_hangs_up_frees_the_account_and_cuts_the_connection():
    kit = kit_of(*STREAM[:2], Until(asyncio.Event()))
    answer = await begun(kit)
    await answer.coming.next_piece()
    reading = asyncio.ensure_future(answer.coming.next_piece())
    await kit.clock.settle()

    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await answer.coming.close()

    assert kit.upstream.attempts[0].answer.is_cut
    assert kit.meter.calls[0].outcome is OutcomeKind.CANCELLED
    assert kit.serving() == {"a", "b"}
    kit.assert_idle()


async def test_caller_who_hangs_up_while_the_role_is_held_leaves_nothing_behind():
    kit = kit_of(ROLE, Until(asyncio.Event()))
    call = kit.start(is_stream=True)
    await kit.clock.settle()

    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await kit.clock.settle()

    assert kit.upstream.attempts[0].answer.is_cut
    kit.assert_idle()


async def test_caller_who_hangs_up_before_reading_anything_is_no_success():
    kit = kit_of(*STREAM[:2], Until(asyncio.Event()))
    answer = await begun(kit)

    await answer.coming.close()

    assert kit.meter.calls[0].outcome is OutcomeKind.CANCELLED
    kit.assert_idle()


async def test_drain_has_a_last_word():
    kit = kit_of(*STREAM[:2], Until(asyncio.Event()))
    answer = await begun(kit)

    words = answer.coming.last_words(ShuttingDown("The gateway is shutting down."))

    assert error_at_the_end(words)["code"] == "shutting_down"
    await answer.coming.close()


async def test_first_byte_and_chunks_are_counted():
    kit = kit_of(Pause(2.0), *STREAM)

    await body_of(kit)

    [record] = kit.meter.calls
    assert record.first_byte_s == pytest.approx(2.0)
    assert record.bytes == len(WHOLE)
    assert record.chunks == 4


async def test_stream_nobody_can_serve_ends_in_an_error_of_ours():
    kit = kit_of(second=stream())

    with pytest.raises(UpstreamFailed):
        await begun(kit)

    kit.assert_idle()


async def test_answer_without_events_to_a_stream_goes_through_as_it_is():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", OK)

    answer = await begun(kit)

    assert (answer.status, answer.coming) == (200, None)
    kit.assert_idle()


async def test_last_event_without_its_blank_line_is_held_and_sent_whole():
    whole = delta("all of it", finish="stop")
    kit = kit_of(whole.rstrip(b"\n"))

    assert await body_of(kit) == whole + DONE
    assert kit.meter.calls[0].outcome is OutcomeKind.OK
    kit.assert_idle()
