"""Limits that count a prompt's tokens and an answer's apart, as Anthropic's: what headers tell, and what fits."""

import math
from datetime import UTC, datetime

import pytest

from gateway.core.freeing import Freeing
from gateway.core.headroom import Headroom
from gateway.core.hints import ANTHROPIC_NAMES, OPENAI_NAMES, Quota, RateLimits, estimated_rest, read_rate_limits
from gateway.core.ids import Instant

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
IN_A_MINUTE = b"2026-03-01T12:01:00Z"


def anthropic_headers(**quotas):
    """`input_tokens=(limit, remaining)` → its three headers."""
    headers = {}
    for name, (limit, remaining) in quotas.items():
        prefix = b"anthropic-ratelimit-" + name.replace("_", "-").encode()
        headers[prefix + b"-limit"] = str(limit).encode()
        headers[prefix + b"-remaining"] = str(remaining).encode()
        headers[prefix + b"-reset"] = IN_A_MINUTE
    return headers


def read(**quotas):
    return read_rate_limits(anthropic_headers(**quotas), wall_now=NOW, names=ANTHROPIC_NAMES)


def test_each_dimension_is_read():
    limits = read(requests=(50, 49), input_tokens=(30_000, 29_000), output_tokens=(8_000, 0), tokens=(38_000, 29_000))

    assert limits == RateLimits(
        requests=Quota(50, 49, 60.0, 1.0),
        tokens=Quota(30_000, 29_000, 60.0, 1.0),
        output_tokens=Quota(8_000, 0, 60.0, 1.0),
    )


@pytest.mark.parametrize(
    ("tightest", "project"),
    [
        pytest.param((38_000, 100), Quota(), id="the-sum-of-both"),
        pytest.param((30_000, 100), Quota(), id="the-input-s"),
        pytest.param((8_000, 100), Quota(), id="the-output-s"),
        pytest.param((10_000, 100), Quota(10_000, 100, 60.0, 1.0), id="the-workspace-s"),
    ],
)
def test_the_tightest_limit_is_the_projects_where_it_is_none_of_the_others(tightest, project):
    limits = read(input_tokens=(30_000, 29_000), output_tokens=(8_000, 7_000), tokens=tightest)

    assert limits.project_tokens == project
    assert (limits.tokens.limit, limits.output_tokens.limit) == (30_000, 8_000)


def test_the_tightest_limit_alone_stands_for_the_tokens():
    assert read(tokens=(10_000, 100)) == RateLimits(tokens=Quota(10_000, 100, 60.0, 1.0))


def test_openais_answers_have_no_such_limit():
    assert OPENAI_NAMES.output_tokens is None
    assert b"anthropic-ratelimit-output-tokens-remaining" in ANTHROPIC_NAMES.telling


def test_a_rest_is_estimated_from_the_answers_limit_for_one_token():
    limits = RateLimits(tokens=Quota(30_000, 29_000, 60.0), output_tokens=Quota(6_000, 0, 60.0))

    assert estimated_rest(limits, tokens=2_000) == pytest.approx(0.01)


def told(remaining=8_000, limit=8_000, reset_s=60.0, *, left_in=30_000):
    return RateLimits(tokens=Quota(30_000, left_in, 1.0), output_tokens=Quota(limit, remaining, reset_s))


def learned(limits, *, tokens=100):
    headroom = Headroom()
    headroom.learn(limits, headroom.take(tokens, Instant(0.0)), Instant(0.0), is_success=True)
    return headroom


def test_calls_charge_the_answers_limit_nothing_at_admission():
    headroom = learned(told(remaining=10))
    for _ in range(50):
        headroom.take(100, Instant(0.0))

    assert headroom.wait_s(100, Instant(0.0)) == 0.0
    assert headroom.level_of("output_tokens").left == 10


def test_what_was_produced_is_charged_and_refills():
    headroom = learned(told(remaining=1_000))

    headroom.produce(1_800, Instant(0.0))

    assert headroom.wait_s(100, Instant(0.0)) == pytest.approx(801 / (7_000 / 60), rel=0.03)
    assert headroom.wait_s(100, Instant(7.5)) == 0.0


def test_the_slowest_dimension_counts():
    headroom = learned(told(remaining=0, left_in=0))

    assert headroom.wait_s(15_000, Instant(0.0)) == pytest.approx(0.5, rel=0.03)  # the input's
    headroom.produce(4_000, Instant(0.0))
    assert headroom.wait_s(15_000, Instant(0.0)) == pytest.approx(30.0, rel=0.03)  # the output's


def test_what_ended_before_a_call_was_sent_is_not_charged_again_by_its_headers():
    headroom = learned(told())
    headroom.produce(3_000, Instant(1.0))
    sent = headroom.take(100, Instant(2.0))
    headroom.produce(500, Instant(3.0))

    headroom.learn(told(remaining=5_000), sent, Instant(3.0), is_success=True)

    assert headroom.level_of("output_tokens").left == 4_500


def test_a_refusal_gives_the_answers_limit_nothing_back():
    headroom = learned(told(remaining=1_000))
    headroom.produce(400, Instant(0.0))
    sent = headroom.take(100, Instant(0.0))

    headroom.learn(told(remaining=600), sent, Instant(0.0), is_success=False)

    assert headroom.level_of("output_tokens").left == 600


def test_calls_that_fit_in_a_second_follow_from_what_answers_held_so_far():
    headroom = learned(told(remaining=2_000, limit=8_000, reset_s=60.0))
    assert headroom.refill(1) == 0.0  # the input's rate is unknown, for nothing is missing

    headroom.produce(150, Instant(0.0))
    headroom.produce(50, Instant(0.0))

    assert headroom.refill(1) == pytest.approx(1.0, rel=0.03)  # 100 tokens a second, 100 an answer


def test_forgotten_limits_let_everything_through():
    headroom = learned(told(remaining=0))
    assert headroom.wait_s(1, Instant(0.0)) > 0

    headroom.forget()
    headroom.produce(100, Instant(0.0))

    assert (headroom.wait_s(1, Instant(0.0)), headroom.level_of("output_tokens")) == (0.0, None)


@pytest.mark.parametrize("off_s", [0.0, 0.3, 0.999])
def test_a_bucket_whose_resets_are_whole_seconds_is_a_bucket(off_s):
    headroom, left, rate = Headroom(), 8_000.0, 8_000 / 60
    for second in range(120):
        now = Instant(second * 0.7 + off_s)
        left = min(8_000.0, left + 0.7 * rate)
        full_in = float(math.ceil((8_000 - left) / rate + off_s))
        quota = Quota(8_000, int(left), full_in, 1.0)
        headroom.learn(RateLimits(output_tokens=quota), headroom.take(0, now), now, is_success=True)
        spent = 0 if left < 300 else 250
        headroom.produce(spent, now)
        left -= spent

    level = headroom.level_of("output_tokens")
    assert level.kind is Freeing.BUCKET
    assert level.rate == pytest.approx(rate, rel=0.1)
