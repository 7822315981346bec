import msgspec
import pytest

from gateway.core.errors import AllRateLimited, UpstreamTimedOut
from gateway.core.ids import ProviderId
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.core.snapshot import AuthStrategy, Provider, Route
from gateway.relay.spooled import Spool
from gateway.telemetry.calls import KeptCall
from gateway.wire.multipart import FormReader
from tests.fakes.relay_kit import (
    ANSWER,
    BROKEN,
    NO_MODEL,
    OK,
    OUT_OF_QUOTA,
    PROVIDER,
    ROLE,
    STREAM,
    RelayKit,
    account,
    rate_limited,
    refusal,
    stream,
)
from tests.fakes.scripted_upstream import Pause, Reply

OTHER = ProviderId("other")
TOO_LONG = refusal(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")
POLICY = refusal(400, "Rejected by our safety system.", code="content_policy_violation")


def kit_of(*models, fallbacks=("gpt-4o",), others=(), routes=(), **settings):
    """One account for each model, by the model's name; `gpt-4` falls back."""
    accounts = [account(name, supported_models=(name,), provider_id=provider) for name, provider in models]
    route = Route(pattern="gpt-4", provider_id=PROVIDER, fallbacks=fallbacks)
    return RelayKit(*accounts, routes=(route, *routes), others=others, **settings)


def pair(**settings):
    return kit_of(("gpt-4", PROVIDER), ("gpt-4o", PROVIDER), **settings)


def model_sent(attempted):
    return msgspec.json.decode(attempted.request.body)["model"]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(rate_limited(20), id="recovery is far"),
        pytest.param(OUT_OF_QUOTA, id="out of quota"),
        pytest.param(NO_MODEL, id="no model"),
        pytest.param(BROKEN, id="broken"),
        pytest.param(Fault(FaultKind.CONNECT, "refused"), id="unreachable"),
        pytest.param(TOO_LONG, id="too long for the model"),
    ],
)
async def test_a_call_that_no_account_of_the_model_serves_is_served_by_its_fallback(trouble):
    kit = pair()
    kit.upstream.on("sk-gpt-4", trouble)
    kit.upstream.on("sk-gpt-4o", OK)
    job = kit.job()

    answer = await kit.finished(kit.relay.relay_call(job))

    assert (answer.status, answer.body) == (200, ANSWER)
    assert model_sent(kit.upstream.attempts[-1]) == "gpt-4o"
    assert job.progress.served_model == "gpt-4o"
    kit.assert_idle()


@pytest.mark.parametrize("fault", [BROKEN, Fault(FaultKind.RESET, "reset", is_body_sent=True)], ids=["500", "reset"])
async def test_a_broken_upstream_falls_back_at_once_when_every_account_has_failed(fault):
    kit = RelayKit(
        *[account(name, supported_models=("gpt-4",)) for name in "abcd"],
        account("other", supported_models=("gpt-4o",)),
        routes=(Route(pattern="gpt-4", provider_id=PROVIDER, fallbacks=("gpt-4o",)),),
    )
    for name in "abcd":
        kit.upstream.on(f"sk-{name}", fault)
    kit.upstream.on("sk-other", OK)

    answer = await kit.answer()

    assert (answer.status, kit.clock.now()) == (200, 1000.0)
    assert len(kit.upstream.keys) == 5
    kit.assert_idle()


async def test_spent_retry_budget_sends_calls_to_their_fallback_at_once():
    kit = pair()
    kit.upstream.on("sk-gpt-4", Reply(500, BROKEN.headers, BROKEN.pieces, wait_s=1.0))
    kit.upstream.on("sk-gpt-4o", OK)
    calls = [kit.start() for _ in range(8)]

    await kit.clock.advance(1.5)

    assert [call.done() for call in calls] == [True] * 8
    assert {(await kit.finished(call)).status for call in calls} == {200}


@pytest.mark.parametrize("max_wait_s", [0.0, 10.0])
@pytest.mark.parametrize("trouble", [BROKEN, rate_limited(60), TOO_LONG], ids=["broken", "limited", "too long"])
async def test_attempts_that_are_left_go_to_the_model_asked_for_when_no_fallback_serves(trouble, max_wait_s):
    kit = pair()
    kit.upstream.on("sk-gpt-4", BROKEN, OK)
    kit.upstream.on("sk-gpt-4o", trouble)

    answer = await kit.answer(max_wait_s=max_wait_s)

    assert answer.status == 200
    assert kit.upstream.keys[0] == kit.upstream.keys[-1] == "sk-gpt-4"
    kit.assert_idle()


async def test_no_model_is_asked_more_often_than_attempts_of_a_call_may_fail():
    kit = pair()
    for key in ("sk-gpt-4", "sk-gpt-4o"):
        kit.upstream.on(key, BROKEN)

    answer = await kit.answer()

    assert answer.status == 500
    assert [kit.upstream.keys.count(key) for key in ("sk-gpt-4", "sk-gpt-4o")] == [4, 4]


async def test_the_last_fallback_is_asked_again_whatever_its_own_route_names():
    circle = Route(pattern="gpt-4o", provider_id=PROVIDER, fallbacks=("gpt-4",))
    kit = pair(routes=(circle,))
    kit.upstream.on("sk-gpt-4", OUT_OF_QUOTA)
    kit.upstream.on("sk-gpt-4o", BROKEN, OK)

    assert (await kit.answer()).status == 200


async def test_the_trail_names_the_model_of_an_attempt_where_it_is_another():
    kit = pair()
    kit.upstream.on("sk-gpt-4", rate_limited(20))
    kit.upstream.on("sk-gpt-4o", OK)
    job = kit.job()

    await kit.finished(kit.relay.relay_call(job))
    job.progress.finish(OutcomeKind.OK, 200)

    (record,) = kit.meter.calls
    assert [(attempt.account_id, attempt.model) for attempt in record.trail] == [
        ("gpt-4", msgspec.UNSET),
        ("gpt-4o", "gpt-4o"),
    ]
    shown = msgspec.json.decode(msgspec.json.encode(record), type=KeptCall)
    assert [attempt.model for attempt in shown.trail] == [None, "gpt-4o"]


async def test_the_model_asked_for_serves_while_it_can():
    kit = pair()
    kit.upstream.on("sk-gpt-4", OK)
    job = kit.job()

    await kit.finished(kit.relay.relay_call(job))

    assert kit.upstream.keys == ["sk-gpt-4"]
    assert job.progress.served_model is None


async def test_a_silent_upstream_falls_back_at_once():
    kit = pair(timeout_s=650.0, first_token_timeout_s=5.0)
    kit.upstream.on("sk-gpt-4", stream(Pause(700.0)))
    kit.upstream.on("sk-gpt-4o", stream(*STREAM))

    answer = await kit.answer(is_stream=True)

    assert kit.clock.now() == 1005.0
    assert await kit.streamed(answer) == b"".join(STREAM)
    kit.assert_idle()


async def test_a_fallback_has_time_of_its_own_where_the_first_model_used_all_of_its():
    kit = pair(timeout_s=30.0)
    kit.upstream.on("sk-gpt-4", Reply(wait_s=100.0))
    kit.upstream.on("sk-gpt-4o", Reply(pieces=(ANSWER,), wait_s=20.0))

    assert (await kit.answer()).status == 200


async def test_a_stream_that_breaks_before_its_first_content_falls_back():
    kit = pair()
    kit.upstream.on("sk-gpt-4", stream(ROLE, Fault(FaultKind.RESET, "reset")))
    kit.upstream.on("sk-gpt-4o", stream(*STREAM))

    answer = await kit.answer(is_stream=True)

    assert await kit.streamed(answer) == b"".join(STREAM)
    kit.assert_idle()


async def test_a_recovery_that_is_near_is_waited_for():
    kit = pair()
    kit.upstream.on("sk-gpt-4", rate_limited(2), OK)

    assert (await kit.answer()).status == 200

    assert kit.upstream.keys == ["sk-gpt-4", "sk-gpt-4"]


async def test_a_call_never_waits_three_seconds_where_a_fallback_serves():
    kit = pair()
    kit.upstream.on("sk-gpt-4", rate_limited(4), OK)
    kit.upstream.on("sk-gpt-4o", OK)

    await kit.answer()

    assert kit.upstream.keys == ["sk-gpt-4", "sk-gpt-4o"]
    assert kit.clock.now() == 1000.0


async def test_patience_that_is_left_goes_to_the_model_asked_for_when_no_fallback_serves():
    kit = pair()
    kit.upstream.on("sk-gpt-4", rate_limited(6), OK)
    kit.upstream.on("sk-gpt-4o", OUT_OF_QUOTA)
    job = kit.job()

    answer = await kit.finished(kit.relay.relay_call(job))

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-gpt-4", "sk-gpt-4o", "sk-gpt-4"]
    assert job.progress.served_model is None


async def test_fallbacks_are_tried_in_order_and_the_first_answer_of_all_is_given_when_none_serves():
    kit = kit_of(("gpt-4", PROVIDER), ("b", PROVIDER), ("c", PROVIDER), fallbacks=("b", "c", "gpt-4", "b"))
    kit.upstream.on("sk-gpt-4", TOO_LONG)
    kit.upstream.on("sk-b", NO_MODEL)
    kit.upstream.on("sk-c", OUT_OF_QUOTA)

    answer = await kit.answer()

    assert (answer.status, answer.code) == (400, "context_length_exceeded")
    assert kit.upstream.keys == ["sk-gpt-4", "sk-b", "sk-c"]
    kit.assert_idle()


async def test_a_policy_refusal_is_the_answer():
    kit = pair()
    kit.upstream.on("sk-gpt-4", POLICY)

    answer = await kit.answer()

    assert (answer.status, answer.code) == (400, "content_policy_violation")
    assert kit.upstream.keys == ["sk-gpt-4"]


async def test_a_policy_refusal_of_a_fallback_ends_the_search():
    kit = kit_of(("gpt-4", PROVIDER), ("b", PROVIDER), ("c", PROVIDER), fallbacks=("b", "c"))
    kit.upstream.on("sk-gpt-4", rate_limited(100))
    kit.upstream.on("sk-b", POLICY)

    with pytest.raises(AllRateLimited):
        await kit.answer()

    assert kit.upstream.keys == ["sk-gpt-4", "sk-b"]


async def test_only_fallbacks_that_the_key_may_use_are_tried():
    kit = kit_of(("gpt-4", PROVIDER), ("b", PROVIDER), ("gpt-4o", PROVIDER), fallbacks=("b", "gpt-4o"))
    kit.upstream.on("sk-gpt-4", rate_limited(100))
    kit.upstream.on("sk-gpt-4o", OK)

    await kit.answer(allowed_models=("gpt-4*",))

    assert kit.upstream.keys == ["sk-gpt-4", "sk-gpt-4o"]


async def test_a_key_that_may_use_no_fallback_keeps_its_patience():
    kit = pair()
    kit.upstream.on("sk-gpt-4", rate_limited(6), OK)

    await kit.answer(allowed_models=("gpt-4",))

    assert kit.upstream.keys == ["sk-gpt-4", "sk-gpt-4"]


def other(**fields):
    return Provider(
        id=OTHER,
        name="Other",
        kind="openai_compatible",
        base_url="https://other.example/v1",
        auth_strategy=AuthStrategy.API_KEY,
        **fields,
    )


async def test_a_fallback_may_be_at_another_provider_under_another_name():
    route = Route(pattern="big-*", provider_id=OTHER, upstream_model="big-1-2026")
    kit = kit_of(("gpt-4", PROVIDER), ("big-1", OTHER), fallbacks=("big-1",), others=(other(),), routes=(route,))
    kit.upstream.on("sk-gpt-4", rate_limited(100))
    kit.upstream.on("sk-big-1", OK)
    job = kit.job()

    await kit.finished(kit.relay.relay_call(job))

    assert model_sent(kit.upstream.attempts[-1]) == "big-1-2026"
    assert job.progress.provider_id == "other"
    assert job.progress.served_model == "big-1"


async def test_who_named_a_provider_stays_there():
    route = Route(pattern="big-*", provider_id=OTHER)
    kit = kit_of(("gpt-4", PROVIDER), ("big-1", OTHER), fallbacks=("big-1",), others=(other(),), routes=(route,))
    kit.upstream.on("sk-gpt-4", rate_limited(100))

    with pytest.raises(AllRateLimited):
        await kit.answer(named_provider=PROVIDER)

    assert kit.upstream.keys == ["sk-gpt-4"]


async def test_a_fallback_that_nobody_serves_or_whose_provider_refuses_the_call_is_passed_over():
    kit = kit_of(("gpt-4", PROVIDER), ("gpt-4o", PROVIDER), fallbacks=("unknown", "gpt-4o"))
    kit.upstream.on("sk-gpt-4", rate_limited(100))
    kit.upstream.on("sk-gpt-4o", OK)

    await kit.answer()

    assert kit.upstream.keys == ["sk-gpt-4", "sk-gpt-4o"]


async def test_the_deadline_of_a_lone_model_is_still_an_error_of_ours():
    kit = pair(timeout_s=30.0)
    kit.upstream.on("sk-gpt-4", Reply(wait_s=100.0))
    kit.upstream.on("sk-gpt-4o", Reply(wait_s=100.0))
    job = kit.job()

    with pytest.raises(UpstreamTimedOut):
        await kit.finished(kit.relay.relay_call(job))

    assert job.progress.last.kind is OutcomeKind.TIMED_OUT
    kit.assert_idle()


# -- forms -------------------------------------------------------------------------------------------------------

FORM = b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4\r\n--X--\r\n'


async def test_a_form_falls_back_to_a_model_that_it_is_told():
    kit = pair()
    kit.upstream.on("sk-gpt-4", rate_limited(100))
    kit.upstream.on("sk-gpt-4o", OK)
    reader = FormReader(b"X")
    reader.feed(FORM)
    spool = Spool()
    await spool.add(FORM)
    body = await spool.finish(reader.form)
    job = msgspec.structs.replace(kit.job(path="/audio/transcriptions"), body=body, written=body)

    answer = await kit.finished(kit.relay.relay_call(job))

    assert answer.status == 200
    sent = [attempted.request.body for attempted in kit.upstream.attempts]
    assert [b"".join([piece async for piece in body.pieces()]) for body in sent] == [
        FORM,
        FORM.replace(b"gpt-4", b"gpt-4o"),
    ]
    kit.assert_idle()
    spool.close()
