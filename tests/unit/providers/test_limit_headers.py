from datetime import UTC, datetime

import pytest

from gateway.core.hints import OPENAI_NAMES, Quota, RateLimits, read_rate_limits
from gateway.providers.catalog import KINDS
from gateway.providers.limit_headers import LIMIT_HEADER_KEYS, limit_names
from tests.unit.providers.samples import credential, provider

MISTRAL = {
    "requests_limit": "X-RateLimit-Limit-Req-Minute",
    "requests_remaining": "x-ratelimit-remaining-req-minute",
    "tokens_limit": "x-ratelimit-limit-tokens-minute",
    "tokens_remaining": "x-ratelimit-remaining-tokens-minute",
}


def test_nothing_named_leaves_the_kinds_own_names():
    assert limit_names({}) is None
    assert KINDS["openai"].destination_of(provider(), credential()).limit_names is OPENAI_NAMES


def test_a_rows_names_are_read_from_its_answers():
    row = provider(settings={"limit_headers": MISTRAL})
    headers = {
        b"x-ratelimit-limit-req-minute": b"720",
        b"x-ratelimit-remaining-req-minute": b"717",
        b"x-ratelimit-remaining-tokens-minute": b"4999911",
        b"x-ratelimit-remaining-requests": b"1",
    }

    names = KINDS["openai_compatible"].destination_of(row, credential()).limit_names

    assert read_rate_limits(headers, names=names) == RateLimits(Quota(720, 717), Quota(None, 4999911))


def test_a_reset_may_be_a_moment():
    names = limit_names({"requests_remaining": "x-ratelimit-remaining", "requests_reset": "x-ratelimit-reset"})
    headers = {b"x-ratelimit-remaining": b"0", b"x-ratelimit-reset": b"1767225630000"}

    limits = read_rate_limits(headers, wall_now=datetime(2026, 1, 1, tzinfo=UTC), names=names)

    assert limits == RateLimits(Quota(None, 0, 30.0))


@pytest.mark.parametrize("dimension", ["requests", "tokens"])
def test_a_dimension_without_what_is_left_tells_nothing(dimension):
    names = limit_names({f"{dimension}_limit": "x-limit"})

    assert names.telling == frozenset()
    assert read_rate_limits({b"x-limit": b"5"}, names=names) is None


def test_the_keys_are_those_of_three_dimensions():
    assert (
        *("requests_limit", "requests_remaining", "requests_reset"),
        *("tokens_limit", "tokens_remaining", "tokens_reset"),
        *("output_tokens_limit", "output_tokens_remaining", "output_tokens_reset"),
    ) == LIMIT_HEADER_KEYS
