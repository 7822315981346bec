"""What the heads of answers teach, under whichever names a vendor has for them."""

import contextlib

import msgspec
import pytest

from gateway.core.errors import AllRateLimited
from gateway.core.ids import AccountId, Instant, ProviderId
from gateway.core.outcome import Scope, ScopeKind
from gateway.core.snapshot import ProviderSettings
from gateway.core.uses import Audience, Belief, Totals, Use
from gateway.relay.headrooms import Headrooms
from tests.fakes.relay_kit import ANSWER, DONE, OK, STREAM, RelayKit, account, rate_limited
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Reply

CEREBRAS = {"requests_limit": "x-limit-day", "requests_remaining": "x-left-day", "requests_reset": "x-reset-day"}


async def after_an_answer(headers, *, kind="openai", **settings):
    """What is known of the account's limits: dimension → (limit, left), and until a call of one token fits."""
    kit = RelayKit("a", **settings)
    for id_, provider in kit.board.snapshot.providers.items():
        kit.board.snapshot.providers[id_] = msgspec.structs.replace(
            provider, kind=kind, settings=ProviderSettings(**settings)
        )
    kit.upstream.on("sk-a", Reply(headers=(*JSON_HEADERS, *headers), pieces=(ANSWER,)))
    kit.upstream.on("", Reply(headers=(*JSON_HEADERS, *headers), pieces=(ANSWER,)))
    await kit.answer()
    (headroom,) = kit.member("a").headrooms
    now = kit.clock.now()
    known = {
        name: (level.limit, level.left)
        for name in ("requests", "tokens")
        if (level := headroom.level_of(name)) is not None
    }
    return known, headroom.wait_s(1, now)


async def test_openais_names_are_read_without_a_word():
    headers = ((b"x-ratelimit-limit-requests", b"60"), (b"x-ratelimit-remaining-requests", b"59"))

    assert (await after_an_answer(headers))[0] == {"requests": (60, 59)}


async def test_a_limit_that_is_not_named_is_what_was_left_with_the_call_itself():
    headers = ((b"x-ratelimit-remaining-requests", b"9"), (b"x-ratelimit-reset-requests", b"400ms"))

    assert (await after_an_answer(headers))[0] == {"requests": (10, 9)}


async def test_limits_of_minus_one_are_no_word_of_limits_so_that_refusals_tell_them():
    headers = tuple((b"x-ratelimit-%s-requests" % what, b"-1") for what in (b"limit", b"remaining"))
    kit = RelayKit("a")
    kit.upstream.on("sk-a", Reply(429, (*JSON_HEADERS, *headers, (b"x-ratelimit-reset-requests", b"0"))))

    with contextlib.suppress(AllRateLimited):
        await kit.answer()

    (headroom,) = kit.member("a").headrooms
    assert not headroom.is_told
    assert headroom.is_known  # by its pace


async def test_a_rows_own_names_are_read_and_openais_are_not():
    headers = (
        (b"x-limit-day", b"100"),
        (b"x-left-day", b"0"),
        (b"x-reset-day", b"86400"),
        (b"x-ratelimit-limit-tokens", b"5"),
        (b"x-ratelimit-remaining-tokens", b"5"),
    )

    known, wait_s = await after_an_answer(headers, limit_headers=CEREBRAS)

    assert known == {"requests": (100, 0)}
    assert wait_s == pytest.approx(864.0, rel=0.02)  # the slow end of what the answer allows


@pytest.mark.parametrize(
    "reset",
    [
        pytest.param(b"2026-11-21T12:01:40Z", id="rfc-3339"),
        pytest.param(b"1795262500", id="epoch-seconds"),
        pytest.param(b"1795262500000", id="epoch-milliseconds"),
        pytest.param(b"1m40s", id="duration"),
    ],
)
async def test_a_reset_may_be_a_moment(reset):
    headers = ((b"x-limit-day", b"10"), (b"x-left-day", b"0"), (b"x-reset-day", reset))

    _, wait_s = await after_an_answer(headers, limit_headers=CEREBRAS)

    assert wait_s == pytest.approx(10.0, rel=0.15)


async def test_azures_minus_one_is_unknown():
    headers = ((b"x-ratelimit-limit-requests", b"-1"), (b"x-ratelimit-remaining-requests", b"-1"))

    assert await after_an_answer(headers) == ({}, 0.0)


USAGE = b'"usage":{"prompt_tokens":7,"completion_tokens":40}'
OUTPUT_LIMIT = {"output_tokens_limit": "x-limit-out", "output_tokens_remaining": "x-left-out"}
OUTPUT_LEFT = ((b"x-limit-out", b"8000"), (b"x-left-out", b"500"))


@pytest.mark.parametrize(
    ("headers", "pieces", "is_stream"),
    [
        pytest.param(JSON_HEADERS, (ANSWER[:-1] + b"," + USAGE + b"}",), False, id="whole"),
        pytest.param(
            EVENT_HEADERS, (*STREAM[:-1], b'data: {"choices":[],' + USAGE + b"}\n\n", DONE), True, id="stream"
        ),
    ],
)
async def test_what_an_answer_holds_is_charged_at_its_end_where_answers_have_a_limit(headers, pieces, is_stream):
    kit = RelayKit("a", limit_headers=OUTPUT_LIMIT)
    kit.upstream.on("sk-a", Reply(headers=(*headers, *OUTPUT_LEFT), pieces=pieces))

    answer = await kit.answer(is_stream=is_stream)
    if is_stream:
        await kit.streamed(answer)

    (headroom,) = kit.member("a").headrooms
    assert headroom.level_of("output_tokens").left == 460


OF_FAMILY = "Rate limit reached for family in organization org-a on requests per min (RPM): Limit 3, Used 3."
"""Without headers: what is known of the limit is learned from the refusal, for the model and for its family."""


async def known_after(change):
    kit = RelayKit("a")
    kit.upstream.on("sk-a", OK, OK, rate_limited(message=OF_FAMILY), OK)
    for _ in range(3):
        with contextlib.suppress(AllRateLimited):
            await kit.answer(max_wait_s=0.0)
    change(kit)
    return [headroom.is_known for headroom in kit.member("a").headrooms]


async def test_a_refusal_without_a_delay_parks_for_a_calls_time_where_the_limit_was_learned():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", OK, rate_limited(message="Slow down."))
    await kit.answer()
    (headroom,) = kit.member("a").headrooms
    headroom.admit(kit.clock.now(), headroom.take(1, kit.clock.now()))
    headroom._pace.windows.adopt(Belief(20.0, 10, 0.5))

    with pytest.raises(AllRateLimited) as raised:
        await kit.answer(max_wait_s=0.0)

    assert raised.value.retry_after_s == pytest.approx(0.055, abs=0.01)


async def test_a_whole_second_parks_for_what_is_believed_of_it():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", OK, rate_limited(1.0))
    await kit.answer()
    (headroom,) = kit.member("a").headrooms
    headroom.admit(kit.clock.now(), headroom.take(1, kit.clock.now()))
    headroom._pace.windows.adopt(Belief(2.0, 1, 0.5))
    kit.clock.move(0.6)

    with pytest.raises(AllRateLimited) as raised:
        await kit.answer(max_wait_s=0.0)

    assert raised.value.retry_after_s == pytest.approx(0.55, abs=0.01)


async def test_operator_who_clears_an_account_clears_what_was_learned_under_every_name():
    assert await known_after(lambda kit: None) == [True, False]
    assert await known_after(lambda kit: kit.board.clear(AccountId("a"))) == [False, False]


async def test_new_credential_has_limits_of_its_own():
    assert await known_after(lambda kit: kit.set_accounts(account("a", key="sk-new"))) == [False, False]


async def test_what_was_used_is_shown_to_other_workers_and_what_was_forgotten_is_taken_back():
    kit = RelayKit("a", "b")
    limits = ((b"x-ratelimit-limit-requests", b"60"), (b"x-ratelimit-remaining-requests", b"59"))
    for name in ("a", "b"):
        kit.upstream.on(f"sk-{name}", Reply(headers=(*JSON_HEADERS, *limits), pieces=(ANSWER,)))
    for _ in range(2):
        await kit.answer()
    headrooms, now = kit.board.headrooms, kit.clock.now()

    first = headrooms.seen(now, since=now)
    kit.clock.move(1.0)
    second = headrooms.seen(kit.clock.now(), since=kit.clock.now())
    kit.board.clear(AccountId("a"))
    third = headrooms.seen(kit.clock.now(), since=kit.clock.now())

    assert {scope.holder: scope.limits[0].left for scope in first} == {"a": 59, "b": 59}
    assert second == []
    assert [(scope.holder, scope.limits) for scope in third] == [("a", ())]


def shared_headrooms(count):
    """Of a process that has sent one call on each of so many scopes, which another one uses as well."""
    headrooms = Headrooms("p0")
    scopes = [Scope(ScopeKind.HOLDER_MODEL, f"a{number}", "gpt-4") for number in range(count)]
    found = headrooms.of(scopes, ProviderId("openai"))
    for headroom in found:
        headroom.take(1, Instant(0.0))
    headrooms.hear_uses("p1", [Use(scope, Totals(1)) for scope in scopes], Instant(0.0), Audience.REPLICAS)
    return headrooms, found


def told(headrooms, now):
    return [(use.scope.holder, use.sent.requests, use.is_hungry) for use in headrooms.news(now, Audience.REPLICAS)]


def test_other_processes_hear_what_has_changed_and_of_calls_that_begin_or_cease_to_wait():
    headrooms, (one, _) = shared_headrooms(2)
    assert len(told(headrooms, Instant(0.1))) == 2
    assert told(headrooms, Instant(0.2)) == []

    one.take(1, Instant(0.3))
    assert told(headrooms, Instant(0.3)) == [("a0", 2, False)]
    one.wanted_at = Instant(0.4)
    assert told(headrooms, Instant(0.4)) == [("a0", 2, True)]
    assert told(headrooms, Instant(0.5)) == []
    assert told(headrooms, Instant(0.9)) == [("a0", 2, False)]


def test_what_is_too_much_to_be_told_at_once_is_told_next_time():
    headrooms, _ = shared_headrooms(250)

    times = [told(headrooms, Instant(0.1 * number)) for number in range(4)]

    assert [len(uses) for uses in times] == [100, 100, 50, 0]
    assert len({use for uses in times for use in uses}) == 250
