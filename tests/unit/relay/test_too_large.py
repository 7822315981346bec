"""Calls that are larger than an account's whole limit: who is asked instead (SPEC §4, "too large")."""

import msgspec
import pytest

from gateway.core.ids import Instant
from gateway.core.outcome import Outcome, OutcomeKind
from tests.fakes.relay_kit import ANSWER, OK, RelayKit, account, rate_limited, refusal
from tests.fakes.scripted_upstream import JSON_HEADERS, Reply

TOO_LARGE = rate_limited(message="Request too large for gpt-4: Limit 30000, Requested 40000.")
"""What one account says of a call that the gateway took for a small one."""


def told(limit):
    """An answer that tells of an account's tokens a minute."""
    limits = ((b"x-ratelimit-limit-tokens", b"%d" % limit), (b"x-ratelimit-remaining-tokens", b"%d" % limit))
    return Reply(headers=(*JSON_HEADERS, *limits), pieces=(ANSWER,))


async def kit_of(**limits):
    """Accounts in this order of use, each with what its limit is known to be; None: not known."""
    kit = RelayKit()
    rows = []
    for name, limit in limits.items():
        rows = [*(msgspec.structs.replace(row, tier=row.tier + 1) for row in rows), account(name)]
        kit.set_accounts(*rows)
        if limit is not None:
            kit.upstream.on(f"sk-{name}", told(limit))
            await kit.answer()
    kit.set_accounts(*(account(name, tier=tier) for tier, name in enumerate(limits)))
    kit.upstream.attempts.clear()
    return kit


async def test_accounts_that_are_known_to_be_no_larger_are_not_asked():
    kit = await kit_of(small=30_000, smaller=20_000, large=90_000)
    for name in ("small", "smaller"):
        kit.upstream.on(f"sk-{name}", TOO_LARGE)
    kit.upstream.on("sk-large", OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-small", "sk-large"]
    kit.assert_idle()


async def test_account_that_is_known_to_be_large_enough_goes_before_one_that_nobody_knows():
    kit = await kit_of(small=30_000, unknown=None, large=90_000)
    kit.upstream.on("sk-small", TOO_LARGE)
    kit.upstream.on("sk-unknown", TOO_LARGE)
    kit.upstream.on("sk-large", OK)

    assert (await kit.answer()).status == 200
    assert kit.upstream.keys == ["sk-small", "sk-large"]


async def test_without_a_word_of_how_much_was_asked_the_limit_of_who_refused_is_the_measure():
    kit = await kit_of(small=30_000, same=30_000, larger=30_001)
    kit.upstream.on("sk-small", rate_limited(message="Request too large for gpt-4."))
    kit.upstream.on("sk-larger", OK)

    assert (await kit.answer()).status == 200
    assert kit.upstream.keys == ["sk-small", "sk-larger"]


async def test_refusal_goes_back_as_it_came_where_all_are_known_to_be_no_larger():
    kit = await kit_of(small=30_000, smaller=20_000)
    kit.upstream.on("sk-small", TOO_LARGE)

    answer = await kit.answer()

    assert answer.status == 429
    assert b"Request too large" in answer.body
    assert kit.upstream.keys == ["sk-small"]


async def test_larger_account_that_rests_for_a_moment_is_waited_for():
    kit = await kit_of(small=30_000, large=90_000)
    kit.observe("large", Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=2.0))
    kit.upstream.on("sk-small", TOO_LARGE)
    kit.upstream.on("sk-large", OK)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-small", "sk-large"]
    assert kit.clock.now() == pytest.approx(1002.2)


async def test_larger_account_that_rests_for_long_is_no_reason_to_wait():
    kit = await kit_of(small=30_000, large=90_000)
    kit.observe("large", Outcome(OutcomeKind.RATE_LIMITED, 429, retry_after_s=60.0))
    kit.upstream.on("sk-small", TOO_LARGE)

    answer = await kit.answer()

    assert (answer.status, kit.clock.now()) == (429, Instant(1000.0))


async def test_call_that_is_estimated_as_too_large_goes_to_a_larger_account_first():
    kit = await kit_of(small=30_000, large=90_000)
    kit.upstream.on("sk-small", refusal(500))
    kit.upstream.on("sk-large", OK)

    answer = await kit.answer(estimated_tokens=40_000)

    assert answer.status == 200
    assert kit.upstream.keys == ["sk-large"]


async def test_estimate_alone_keeps_no_call_from_the_only_account():
    kit = await kit_of(small=30_000)
    kit.upstream.on("sk-small", OK)

    assert (await kit.answer(estimated_tokens=40_000)).status == 200


@pytest.mark.parametrize(
    ("reset_s", "asked", "at"), [(b"4s", "sk-large", 1003.0), (b"60s", "sk-small", 1000.0)], ids=["soon", "late"]
)
async def test_one_that_is_large_enough_is_waited_for_where_it_has_room_soon(reset_s, asked, at):
    kit = await kit_of(small=30_000, large=None)
    limits = (
        (b"x-ratelimit-limit-tokens", b"90000"),
        (b"x-ratelimit-remaining-tokens", b"10000"),
        (b"x-ratelimit-reset-tokens", reset_s),
    )
    kit.upstream.on("sk-large", Reply(headers=(*JSON_HEADERS, *limits), pieces=(ANSWER,)))
    assert (await kit.answer(estimated_tokens=80_000)).status == 200  # nobody knows the large one's limit yet
    kit.upstream.attempts.clear()
    kit.upstream.on("sk-small", OK)

    assert (await kit.answer(estimated_tokens=70_000)).status == 200
    assert kit.upstream.keys == [asked]
    assert kit.clock.now() == pytest.approx(at, abs=0.1)
