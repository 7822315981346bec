import asyncio
import json

import msgspec
import pytest

from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.core.snapshot import Route
from gateway.telemetry.events import CallEnd
from tests.fakes.relay_kit import (
    BROKEN,
    CHAT_BODY,
    DONE,
    PROVIDER,
    ROLE,
    RelayKit,
    account,
    delta,
    event,
    rate_limited,
    stream,
)
from tests.fakes.scripted_upstream import EVENT_HEADERS, Pause, Reply, Until

RESET = Fault(FaultKind.RESET, "reset by peer", is_body_sent=True)
USAGE = event({"id": "c1", "model": "gpt-4", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
WHOLE = (ROLE, delta("one "), delta("two "), delta("three"), delta(finish="stop"), USAGE, DONE)


def again(*pieces):
    """What another account says: the same but for the names, and cut into words elsewhere."""
    said = pieces or (ROLE, delta("one tw"), delta("o three"), delta(finish="stop"), USAGE, DONE)
    return [piece.replace(b'"c1"', b'"c2"') if isinstance(piece, bytes) else piece for piece in said]


def in_band(code, type_="server_error"):
    return event({"error": {"message": "no", "type": type_, "code": code, "param": None}})


def kit_of(*ends, second=None, names=("a", "b", "c"), **settings):
    """`a` says two words and breaks; `b`, of the next tier, and `c`, of the last, do what they should."""
    kit = RelayKit(*[account(name, tier=tier) for tier, name in enumerate(names)], **settings)
    kit.upstream.on("sk-a", stream(ROLE, delta("one "), delta("two "), *ends))
    kit.upstream.on("sk-b", second or stream(*again()))
    kit.upstream.on("sk-c", stream(*again()))
    return kit


async def body_of(kit, **fields):
    return await kit.streamed(await kit.answer(is_stream=True, asks_usage=True, **fields))


def text_of(body):
    events = [json.loads(line[6:]) for line in body.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(choice["delta"].get("content") or "" for found in events for choice in found.get("choices", ()))


def error_of(body):
    return json.loads(body.rstrip(b"\n").rpartition(b"\n\n")[2].removeprefix(b"data: "))["error"]


BREAKS = {
    "reset": RESET,
    "clean end": b"",
    "half an event": b'data: {"choices": [{"delta": {"content": "thr',
    "stall": Pause(500.0),
    "garbled event": b'data: {"choices": [{"delta": {"content": "thr\n\n',
    "upstream's error": in_band(None),
    "overloaded": in_band("server_is_overloaded"),
    "rate limit": in_band("rate_limit_exceeded", "requests"),
}


@pytest.mark.parametrize("end", BREAKS.values(), ids=BREAKS)
async def test_stream_that_breaks_is_finished_by_another_account(end):
    kit = kit_of(*([end] if end else []))

    body = await body_of(kit)

    assert body == b"".join((ROLE, delta("one "), delta("two "), delta("three"), delta(finish="stop"), USAGE, DONE))
    assert kit.upstream.keys == ["sk-a", "sk-b"]
    [record] = kit.meter.calls
    assert (record.outcome, record.is_complete, record.attempts) == (OutcomeKind.OK, True, 2)
    assert (record.account_id, record.output_tokens, record.is_spliced) == ("b", 3, True)
    assert [attempt.outcome for attempt in record.trail] == [OutcomeKind.OK, OutcomeKind.OK]
    assert record.trail[0].broke in set(OutcomeKind) - {OutcomeKind.OK}
    assert record.trail[1].broke is msgspec.UNSET
    assert kit.upstream.attempts[0].answer.is_closed
    kit.assert_idle()


async def test_account_that_broke_the_stream_is_let_go_before_another_is_asked():
    more = asyncio.Event()
    kit = kit_of(RESET, second=Reply(200, EVENT_HEADERS, tuple(again()), until=more))
    answer = await kit.answer(is_stream=True, asks_usage=True)
    await answer.coming.next_piece()
    await answer.coming.next_piece()
    rest = asyncio.ensure_future(answer.coming.next_piece())
    await kit.clock.settle()

    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert kit.upstream.attempts[0].answer.is_cut
    assert kit.board.in_flight_calls == 1

    more.set()
    await kit.finished(rest)
    await kit.streamed(answer)
    kit.assert_idle()


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(stream(*again(ROLE, delta("one more"), delta(finish="stop"), DONE)), id="other words"),
        pytest.param(stream(*again(ROLE, delta("one "), delta(finish="stop"), DONE)), id="fewer words"),
        pytest.param(stream(*again(ROLE, delta("one "), RESET)), id="breaks as well"),
        pytest.param(stream(), id="says nothing"),
        pytest.param(BROKEN, id="refuses"),
    ],
)
async def test_answer_that_is_another_one_is_never_appended(second):
    kit = kit_of(RESET, second=second, names=("a", "b"))

    body = await body_of(kit)

    assert body.startswith(b"".join((ROLE, delta("one "), delta("two "), b'data: {"error"')))
    assert text_of(body) == "one two "
    assert DONE not in body
    assert kit.meter.calls[0].outcome is CallEnd.BROKEN
    kit.assert_idle()


async def test_account_whose_answer_differs_is_not_blamed():
    kit = kit_of(RESET, second=stream(*again(ROLE, delta("Other"), Until(asyncio.Event()))))

    await body_of(kit)

    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert kit.upstream.attempts[1].answer.is_cut
    assert kit.serving() == {"a", "b", "c"}


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((ROLE, delta("one two th"), RESET), id="behind what was sent"),
        pytest.param((ROLE, delta("one "), RESET), id="while it repeats"),
        pytest.param((RESET,), id="at once"),
    ],
)
async def test_stream_that_breaks_twice_is_finished_by_a_third_account(second):
    kit = kit_of(RESET, second=stream(*again(*second)))

    body = await body_of(kit)

    assert text_of(body) == "one two three"
    assert body.endswith(DONE)
    assert b'"c2"' not in body
    assert kit.upstream.keys == ["sk-a", "sk-b", "sk-c"]
    assert kit.meter.calls[0].is_spliced
    kit.assert_idle()


async def test_stream_begins_anew_as_often_as_attempts_of_a_call_may_fail():
    kit = kit_of(RESET, names="abcdef")
    for number, name in enumerate("bcdef", 1):
        kit.upstream.on(f"sk-{name}", stream(*again(ROLE, delta("one two " + "word " * number), RESET)))

    body = await body_of(kit)

    assert text_of(body) == "one two word word word "
    assert error_of(body)["code"] == "upstream_error"
    assert kit.upstream.keys == ["sk-a", "sk-b", "sk-c", "sk-d"]
    kit.assert_idle()


async def test_stream_that_fell_silent_twice_is_not_asked_for_again():
    kit = kit_of(Pause(500.0), second=stream(*again(ROLE, delta("one two th"), Pause(500.0))))

    body = await body_of(kit)

    assert (text_of(body), error_of(body)["code"]) == ("one two th", "upstream_timeout")
    assert kit.upstream.keys == ["sk-a", "sk-b"]
    kit.assert_idle()


async def test_account_that_refuses_leaves_its_turn_to_the_next():
    kit = kit_of(RESET, second=rate_limited(60))

    assert text_of(await body_of(kit)) == "one two three"
    assert kit.upstream.keys == ["sk-a", "sk-b", "sk-c"]


async def test_lone_account_is_not_asked_again():
    kit = kit_of(RESET, names=("a",))

    body = await body_of(kit)

    assert error_of(body)["code"] == "upstream_error"
    assert kit.upstream.keys == ["sk-a"]
    kit.assert_idle()


async def test_recovery_that_is_near_is_waited_for():
    kit = kit_of(RESET, names=("a", "b"), second=rate_limited(2.0))
    answer = await kit.answer(is_stream=True, asks_usage=True)
    kit.upstream.on("sk-b", rate_limited(2.0), stream(*again()))
    kit.clock.move(50.0)

    body = await kit.streamed(answer)

    assert text_of(body) == "one two three"
    assert kit.upstream.keys == ["sk-a", "sk-b", "sk-b"]


async def test_recovery_that_is_far_is_not():
    kit = kit_of(RESET, names=("a", "b"), second=rate_limited(20.0))

    body = await body_of(kit)

    assert error_of(body)["code"] == "upstream_error"
    assert kit.clock.now() < 1005.0


async def test_fallback_finishes_what_no_account_of_the_model_can():
    route = Route(pattern="gpt-4", provider_id=PROVIDER, fallbacks=("gpt-4o",))
    kit = RelayKit(
        account("a", supported_models=("gpt-4",)), account("b", supported_models=("gpt-4o",)), routes=(route,)
    )
    kit.upstream.on("sk-a", stream(ROLE, delta("one "), delta("two "), RESET))
    kit.upstream.on("sk-b", stream(*again()))

    body = await body_of(kit)

    assert text_of(body) == "one two three"
    assert b'"c2"' not in body
    assert kit.meter.calls[0].served_model == "gpt-4o"


# -- where no splice is allowed ----------------------------------------------------------------------------------


async def test_answer_that_is_stored_is_not_told_twice():
    kit = kit_of(RESET)

    body = await body_of(kit, body=CHAT_BODY[:-1] + b',"store":true}')

    assert error_of(body)["code"] == "upstream_error"
    assert kit.upstream.keys == ["sk-a"]


async def test_answer_that_called_a_tool_is_not_told_twice():
    tool = event({"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1"}]}}]})
    kit = kit_of(tool, RESET)

    assert error_of(await body_of(kit))["code"] == "upstream_error"
    assert kit.upstream.keys == ["sk-a"]


async def test_fault_of_the_caller_in_the_middle_is_final():
    kit = kit_of(in_band("context_length_exceeded", "invalid_request_error"))

    assert error_of(await body_of(kit))["code"] == "context_length_exceeded"
    assert kit.upstream.keys == ["sk-a"]
    [record] = kit.meter.calls
    assert (record.is_spliced, record.trail[0].broke) == (False, OutcomeKind.CALLER_FAULT)


async def test_error_after_the_end_of_the_answer_restarts_nothing():
    kit = kit_of(delta(finish="stop"), in_band(None))

    assert error_of(await body_of(kit))["message"] == "no"
    assert kit.upstream.keys == ["sk-a"]


async def test_nothing_begins_anew_after_the_deadline():
    kit = kit_of(RESET, timeout_s=30.0)
    answer = await kit.answer(is_stream=True, asks_usage=True)
    kit.clock.move(31.0)

    assert error_of(await kit.streamed(answer))["code"] == "upstream_error"
    assert kit.upstream.keys == ["sk-a"]


async def test_caller_who_hangs_up_while_another_account_is_asked_leaves_nothing_behind():
    kit = kit_of(RESET, second=Reply(200, EVENT_HEADERS, (ROLE, Until(asyncio.Event()))))
    answer = await kit.answer(is_stream=True, asks_usage=True)

    async def read():
        while await answer.coming.next_piece():
            pass

    reading = asyncio.ensure_future(read())
    await kit.clock.settle()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await answer.coming.close()

    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert kit.upstream.attempts[1].answer.is_cut
    assert kit.meter.calls[0].outcome is OutcomeKind.CANCELLED
    kit.assert_idle()
