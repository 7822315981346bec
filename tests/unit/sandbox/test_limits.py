import math

import pytest

from gateway.sandbox.config import Algorithm, KeyConfig, LimitRule, ResetTo
from gateway.sandbox.limits import Limits, rate_headers, refusal_message

KEY = KeyConfig(org="org-1", project="proj_1")
SIBLING = KeyConfig(org="org-1", project="proj_2")
STRANGER = KeyConfig(org="org-2", project="proj_3")


def limits_of(*rules: LimitRule, charges_refused: bool = True) -> Limits:
    return Limits(rules, charges_refused=charges_refused)


def is_admitted(limits: Limits, key: KeyConfig = KEY, model: str = "gpt-4o", tokens: int = 1, now: float = 0) -> bool:
    return limits.admit(key, model, tokens, now).refusal is None


def test_keys_of_one_organisation_share_its_limit() -> None:
    limits = limits_of(LimitRule(requests=1))

    assert is_admitted(limits, KEY)
    assert not is_admitted(limits, SIBLING)
    assert is_admitted(limits, STRANGER)


def test_projects_have_a_limit_each_where_the_rule_says_so() -> None:
    limits = limits_of(LimitRule(requests=1, is_per_project=True))

    assert is_admitted(limits, KEY)
    assert is_admitted(limits, SIBLING)
    assert not is_admitted(limits, KEY)


def test_each_model_has_its_own_limit() -> None:
    limits = limits_of(LimitRule(requests=1))

    assert is_admitted(limits, model="gpt-4o")
    assert is_admitted(limits, model="gpt-4o-mini")


def test_models_of_a_family_share_their_limit_and_its_name() -> None:
    limits = limits_of(LimitRule(model="gpt-4o*", requests=1, family="gpt-4o"))
    limits.admit(KEY, "gpt-4o-2024-08-06", 1, 0)

    refusal = limits.admit(KEY, "gpt-4o-mini", 1, 0).refusal

    assert refusal is not None
    assert refusal.scope == "gpt-4o"


def test_rule_holds_for_its_organisation_alone() -> None:
    limits = limits_of(LimitRule(org="org-2", requests=1), LimitRule(org="org-1", requests=2))

    assert [is_admitted(limits, STRANGER) for _ in range(2)] == [True, False]
    assert [is_admitted(limits, KEY) for _ in range(3)] == [True, True, False]


def test_refusal_tells_when_the_call_fits() -> None:
    limits = limits_of(LimitRule(requests=3))
    for _ in range(3):
        limits.admit(KEY, "gpt-4o", 1, 0)

    refusal = limits.admit(KEY, "gpt-4o", 1, 0).refusal

    assert refusal is not None
    assert refusal_message(refusal, sends_delay=True) == (
        "Rate limit reached for gpt-4o in organization org-1 on requests per min (RPM): Limit 3, Used 3, Requested 1. "
        "Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    assert "try again" not in refusal_message(refusal, sends_delay=False)


def test_refused_calls_prolong_the_limit() -> None:
    limits = limits_of(LimitRule(requests=1, period_s=10))
    limits.admit(KEY, "gpt-4o", 1, 0)

    refusal = limits.admit(KEY, "gpt-4o", 1, 9).refusal

    assert refusal is not None
    assert refusal.wait_s == pytest.approx(10)


def test_refused_calls_are_free_where_the_setting_says_so() -> None:
    limits = limits_of(LimitRule(requests=1, period_s=10), charges_refused=False)
    limits.admit(KEY, "gpt-4o", 1, 0)

    refusal = limits.admit(KEY, "gpt-4o", 1, 9).refusal

    assert refusal is not None
    assert refusal.wait_s == pytest.approx(1)


def test_refused_call_costs_no_tokens() -> None:
    limits = limits_of(LimitRule(requests=1, tokens=100))
    limits.admit(KEY, "gpt-4o", 10, 0)

    verdict = limits.admit(KEY, "gpt-4o", 10, 0)

    assert {reading.what: reading.remaining for reading in verdict.readings} == {"requests": 0, "tokens": 90}


def test_tokens_refuse_what_requests_would_let_pass() -> None:
    limits = limits_of(LimitRule(requests=10, tokens=100))
    limits.admit(KEY, "gpt-4o", 80, 0)

    refusal = limits.admit(KEY, "gpt-4o", 50, 0).refusal

    assert refusal is not None
    assert (refusal.what, refusal.limit, refusal.used, refusal.requested) == ("tokens", 100, 80, 50)
    assert refusal.wait_s == pytest.approx(18)


def test_call_larger_than_the_limit_is_too_large_and_never_fits() -> None:
    limits = limits_of(LimitRule(tokens=100))

    refusal = limits.admit(KEY, "gpt-4o", 101, 0).refusal

    assert refusal is not None
    assert refusal.is_too_large
    assert refusal.wait_s == math.inf
    assert refusal_message(refusal, sends_delay=True).startswith("Request too large for gpt-4o in organization org-1")


def test_limit_of_a_day_is_named_so() -> None:
    limits = limits_of(LimitRule(requests=1, period_s=86_400))
    limits.admit(KEY, "gpt-4o", 1, 0)

    refusal = limits.admit(KEY, "gpt-4o", 1, 0).refusal

    assert refusal is not None
    assert "on requests per day (RPD): Limit 1" in refusal_message(refusal, sends_delay=True)


def test_headers_tell_the_time_until_full_as_go_writes_it() -> None:
    limits = limits_of(LimitRule(requests=6, tokens=600))

    headers = rate_headers(limits.admit(KEY, "gpt-4o", 300, 0).readings)

    assert headers == [
        ("x-ratelimit-limit-requests", "6"),
        ("x-ratelimit-remaining-requests", "5"),
        ("x-ratelimit-reset-requests", "10s"),
        ("x-ratelimit-limit-tokens", "600"),
        ("x-ratelimit-remaining-tokens", "300"),
        ("x-ratelimit-reset-tokens", "30s"),
    ]


def test_headers_show_the_binding_one_of_two_limits() -> None:
    limits = limits_of(LimitRule(requests=100), LimitRule(requests=2, period_s=86_400))

    headers = dict(rate_headers(limits.admit(KEY, "gpt-4o", 1, 0).readings))

    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-reset-requests"] == "12h0m0s"


def test_model_without_a_rule_has_no_headers() -> None:
    limits = limits_of(LimitRule(model="o3*", requests=1))

    assert limits.admit(KEY, "gpt-4o", 1, 0).readings == ()


def test_reset_may_count_down_to_the_oldest_call_of_a_window() -> None:
    limits = limits_of(LimitRule(requests=3, period_s=60, algorithm=Algorithm.SLIDING, reset_to=ResetTo.NEXT))
    limits.admit(KEY, "gpt-4o", 1, 0.0)

    readings = limits.admit(KEY, "gpt-4o", 1, 20.0).readings

    assert [reading.reset_s for reading in readings] == [40.0]


@pytest.mark.parametrize(("reset_to", "reset_s"), [(ResetTo.PERIOD, 60.0), (ResetTo.NONE, None)])
def test_reset_may_tell_nothing(reset_to: ResetTo, reset_s: float | None) -> None:
    limits = limits_of(LimitRule(requests=3, period_s=60, reset_to=reset_to))

    readings = limits.admit(KEY, "gpt-4o", 1, 0.0).readings

    assert [reading.reset_s for reading in readings] == [reset_s]
    assert ("x-ratelimit-reset-requests" in dict(rate_headers(readings))) == (reset_s is not None)
