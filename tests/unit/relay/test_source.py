import asyncio

import pytest

from gateway.core.errors import UpstreamTimedOut
from gateway.core.outcome import OutcomeKind
from gateway.relay import source
from tests.fakes.relay_kit import DONE, ROLE, STREAM, delta, error_json, stream
from tests.fakes.scripted_upstream import Pause, Until
from tests.fakes.streamed import RATE_LIMIT_EVENT, RESET, WHOLE, begun, body_of, kit_of


async def test_stream_comes_through_byte_for_byte():
    kit = kit_of(*STREAM)

    answer = await begun(kit)
    body = await kit.streamed(answer)

    assert answer.status == 200
    assert dict(answer.headers)[b"content-type"].startswith(b"text/event-stream")
    assert body == WHOLE
    assert kit.meter.calls[0].outcome is OutcomeKind.OK
    kit.assert_idle()


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        pytest.param((RATE_LIMIT_EVENT,), OutcomeKind.RATE_LIMITED, id="error first"),
        pytest.param((ROLE, RATE_LIMIT_EVENT), OutcomeKind.RATE_LIMITED, id="error behind the role"),
        pytest.param((), OutcomeKind.UPSTREAM_ERROR, id="empty"),
        pytest.param((ROLE,), OutcomeKind.UPSTREAM_ERROR, id="cut behind the role"),
        pytest.param((DONE,), OutcomeKind.UPSTREAM_ERROR, id="nothing but its end"),
        pytest.param((b": hello\n\n" + DONE,), OutcomeKind.UPSTREAM_ERROR, id="a comment and its end"),
        pytest.param((b": hello\n\n", RESET), OutcomeKind.UNREACHABLE, id="reset"),
        pytest.param((ROLE, b'data: {"choices": [{"delta": {"conte\n\n'), OutcomeKind.UPSTREAM_ERROR, id="garbled"),
        pytest.param((Pause(100.0),), OutcomeKind.TIMED_OUT, id="silent"),
        pytest.param((error_json("Overloaded", type_="overloaded_error"),), OutcomeKind.OVERLOADED, id="json error"),
    ],
)
async def test_failure_before_the_first_content_is_seen_by_nobody(pieces, kind):
    kit = kit_of(*pieces, second=stream(*STREAM))

    body = await body_of(kit)

    assert body == WHOLE
    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert kit.meter.kinds == [kind, OutcomeKind.OK]
    kit.assert_idle()


async def test_first_event_has_its_limit_and_the_deadline_has_the_last_word():
    patient = kit_of(Pause(100.0), second=stream(*STREAM))
    hurried = kit_of(Pause(100.0), second=stream(Pause(100.0)), timeout_s=70.0, first_token_timeout_s=60.0)

    await body_of(patient)
    with pytest.raises(UpstreamTimedOut):
        await begun(hurried)

    assert patient.clock.now() == pytest.approx(1060.0)
    assert hurried.clock.now() == pytest.approx(1070.0)


async def test_keep_alives_do_not_put_off_the_first_event(monkeypatch):
    monkeypatch.setattr(source, "HOLD_S", 1e9)
    beats = [piece for _ in range(50) for piece in (Pause(5.0), b": keep-alive\n\n")]
    kit = kit_of(*beats, second=stream(*STREAM))

    await body_of(kit)

    assert kit.upstream.keys == ["sk-a", "sk-b"]
    assert kit.clock.now() == pytest.approx(1060.0)


async def test_role_alone_is_held_back_until_content_comes():
    more = asyncio.Event()
    kit = kit_of(ROLE, Until(more), *STREAM[1:])
    call = kit.start(is_stream=True)
    await kit.clock.settle()
    before = call.done()

    more.set()
    answer = await kit.finished(call)
    first = await kit.finished(answer.coming.next_piece())

    assert not before
    assert first == ROLE + delta("he")
    await kit.streamed(answer)


async def test_role_alone_is_not_held_back_for_ever(monkeypatch):
    monkeypatch.setattr(source, "HOLD_S", 0.0)
    more = asyncio.Event()
    kit = kit_of(ROLE, Until(more), *STREAM[1:])

    answer = await begun(kit)
    first = await kit.finished(answer.coming.next_piece())
    more.set()
    rest = await kit.streamed(answer)

    assert first == ROLE
    assert first + rest == WHOLE
    kit.assert_idle()


async def test_hold_is_counted_from_the_first_held_event():
    clock_moves = [ROLE, Pause(1.0), b": one\n\n", Pause(1.5), b": two\n\n", Until(asyncio.Event())]
    kit = kit_of(*clock_moves)

    answer = await begun(kit)  # no further event ever comes: it is the hold that lets the head go
    first = await kit.finished(answer.coming.next_piece())

    assert first == ROLE + b": one\n\n: two\n\n"
    await answer.coming.close()
    kit.assert_idle()
