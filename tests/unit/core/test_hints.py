from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.hints import (
    ABSURD_S,
    ANTHROPIC_NAMES,
    CEREBRAS_NAMES,
    Quota,
    RateLimits,
    estimated_rest,
    limit_named,
    named_delay,
    organization_named,
    read_duration,
    read_rate_limits,
    read_retry_after,
    try_again_s,
)
from gateway.core.outcome import LimitSpan

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("8.64s", 8.64),
        ("12ms", 0.012),
        ("1h2m3s", 3723.0),
        ("114h18m0s", 411_480.0),
        ("2m59.56s", 179.56),
        ("1s500ms", 1.5),
        ("500µs", 0.0005),
        ("20us", 0.00002),
        ("1d2h", 93_600.0),
        ("0s", 0.0),
        ("37", 37.0),
        ("0.5", 0.5),
        ("5.", 5.0),
    ],
)
def test_duration_is_read(text, seconds):
    assert read_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "-1s",
        "nan",
        "inf",
        "1e9",
        "s",
        "1x",
        "1 s",
        "1.2.3",
        "٣",
        "1_0",
        "9" * 16,
        "1767225600",
        "9999999h",
    ],
)
def test_unreadable_or_absurd_duration_is_unknown(text):
    assert read_duration(text) is None


@given(st.text(max_size=30))
def test_duration_of_any_text_is_plausible_or_unknown(text):
    seconds = read_duration(text)

    assert seconds is None or 0 <= seconds <= ABSURD_S


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("20", 20.0, id="delta"),
        pytest.param(" 1.5 ", 1.5, id="float-with-blanks"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("99999", 3600.0, id="beyond-the-ceiling"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 GMT", 30.0, id="date"),
        pytest.param("Sunday, 01-Mar-26 12:00:30 GMT", 30.0, id="date-of-rfc-850"),
        pytest.param("Sun Mar  1 12:00:30 2026", 30.0, id="date-of-asctime"),
        pytest.param("Sun, 01 Mar 2026 13:00:30 +0100", 30.0, id="date-with-offset"),
        pytest.param("Sun, 01 Mar 2026 11:00:00 GMT", 0.0, id="past-date"),
        pytest.param("Sun, 01 Mar 2016 11:00:00 GMT", 0.0, id="long-past-date"),
        pytest.param("Sun, 01 Mar 2226 11:00:00 GMT", None, id="absurd-date"),
        pytest.param("-5", None, id="negative"),
        pytest.param("nan", None, id="nan"),
        pytest.param("inf", None, id="inf"),
        pytest.param("soon", None, id="words"),
        pytest.param("", None, id="empty"),
        pytest.param("Sun, 01 Mar 99999999999999999999 11:00:00 GMT", None, id="overflow"),
    ],
)
def test_retry_after_is_read(value, seconds):
    assert read_retry_after(value, wall_now=NOW, ceiling_s=3600.0) == seconds


@given(st.integers(-(10**6), 10**7))
def test_retry_after_date_is_the_time_until_then(seconds):
    moment = NOW + timedelta(seconds=seconds)

    delay_s = read_retry_after(format_datetime(moment, usegmt=True), wall_now=NOW, ceiling_s=ABSURD_S)

    assert delay_s == max(0, seconds)


@given(
    st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} [+-]?\w{0,6}")
)
def test_any_retry_after_gives_a_delay_within_the_ceiling_or_none(value):
    delay_s = read_retry_after(value, wall_now=NOW, ceiling_s=60.0)

    assert delay_s is None or 0.0 <= delay_s <= 60.0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Limit 3, Used 3, Requested 1. Please try again in 20s. Visit https://x", 20.0),
        ("Requested 385. Please try again in 644ms.", 0.644),
        ("Please try again in 7m12s. Visit", 432.0),
        ("Please try again in 114h18m0s.", 411_480.0),
        ("Please try again in 6m0.5s", 360.5),
        ("pricing tier. Please retry after 37 seconds. Please go here", 37.0),
        ("Please retry after 1 second.", 1.0),
        ("Please try again in 2 minutes", 120.0),
        ("try again in 3 hours", 10_800.0),
        ("retry after 500 milliseconds", 0.5),
        ("* limit: 20\nPlease retry in 34.074824224s.", 34.074824224),
        ("PLEASE TRY AGAIN IN 20S", 20.0),
        ("Please try again in 20sausages", None),
        ("Please try again in 99999h", None),
        ("Please try again later", None),
        ("Please try again in -3s", None),
        ("", None),
        ("x" * 5000 + "try again in 3s", None),
    ],
)
def test_delay_is_read_from_the_words_of_a_message(message, seconds):
    assert try_again_s(message) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        pytest.param({b"retry-after-ms": b"1500", b"retry-after": b"2"}, "try again in 1s", 1.5, id="ms-goes-first"),
        pytest.param({b"retry-after-ms": b"-1", b"retry-after": b"2"}, "", 2.0, id="negative-ms-is-unknown"),
        pytest.param({b"retry-after-ms": b"nan", b"retry-after": b"2"}, "", 2.0, id="nan-ms-is-unknown"),
        pytest.param({b"retry-after-ms": b"0"}, "", 0.0, id="zero-is-a-delay"),
        pytest.param({b"retry-after": b"1"}, "try again in 644ms", 0.644, id="header-only-rounds-the-text-up"),
        pytest.param({b"retry-after": b"20"}, "try again in 20s", 20.0, id="both-agree"),
        pytest.param({b"retry-after": b"60"}, "try again in 644ms", 60.0, id="header-says-more"),
        pytest.param({b"retry-after": b"1"}, "try again in 7m12s", 1.0, id="header-says-less"),
        pytest.param({}, "try again in 7m12s", 432.0, id="text-alone"),
        pytest.param({b"retry-after": b"soon"}, "try again in 20s", 20.0, id="unreadable-header"),
        pytest.param({b"retry-after": b"\xff"}, "", None, id="header-that-is-no-text"),
        pytest.param({b"retry-after": b"Sun, 01 Mar 2026 12:00:30 GMT"}, "", 30.0, id="date"),
        pytest.param({}, "", None, id="nothing-named"),
    ],
)
def test_named_delay_takes_the_sources_in_order(headers, message, seconds):
    assert named_delay(headers, message, wall_now=NOW) == seconds


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            "Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Requested 1.",
            ("gpt-4o", "requests", LimitSpan.MINUTE, 3, 1),
            id="rpm",
        ),
        pytest.param(
            "Rate limit reached for GPT-5-mini (for limit GPT-5) in organization org-x on tokens per min (TPM): "
            "Limit 30000, Used 29937, Requested 385. Please try again in 644ms.",
            ("gpt-5", "tokens", LimitSpan.MINUTE, 30000, 385),
            id="the-family-whose-limit-it-is",
        ),
        pytest.param(
            "Rate limit reached for gpt-4o in organization org-x on requests per day (RPD): Limit 200, Used 200",
            ("gpt-4o", "requests", LimitSpan.DAY, 200, None),
            id="rpd",
        ),
        pytest.param(
            "Rate limit reached for model `llama3-70b-8192` in organization `org_01` service tier `on_demand` on "
            "tokens per day (TPD): Limit 100000, Used 99999, Requested 12",
            ("llama3-70b-8192", "tokens", LimitSpan.DAY, 100000, 12),
            id="groq",
        ),
        pytest.param(
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 31538.",
            ("gpt-4o", "tokens", LimitSpan.MINUTE, 30000, 31538),
            id="too-large",
        ),
        pytest.param(
            "Rate limit exceeded for images per minute in organization org-x. Limit: 5/1min.",
            (None, "images", LimitSpan.MINUTE, 5, None),
            id="images-name-no-model",
        ),
        pytest.param("Limit reached: RPD", (None, "requests", LimitSpan.DAY, None, None), id="letters-alone"),
        pytest.param("TPM exceeded", (None, "tokens", LimitSpan.MINUTE, None, None), id="letters-of-tokens"),
        pytest.param(
            "Rate limit exceeded: free-models-per-day. Add credits",
            (None, "models", LimitSpan.DAY, None, None),
            id="openrouter-day",
        ),
        pytest.param(
            "quotaId: GenerateRequestsPerDayPerModel", (None, None, LimitSpan.DAY, None, None), id="google-day"
        ),
        pytest.param("slow down", (None, None, LimitSpan.MINUTE, None, None), id="nothing"),
    ],
)
def test_limit_is_read_from_a_message(message, expected):
    assert tuple(limit_named(message)) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("in organization org-AbC123 on", "org-AbC123"),
        ("in organization `org_01hx2` on", "org_01hx2"),
        ("no organization at all", None),
    ],
)
def test_organization_is_read_from_a_message(message, expected):
    assert organization_named(message) == expected


def openai_headers(**changes):
    headers = {
        "limit_requests": b"500",
        "remaining_requests": b"499",
        "reset_requests": b"120ms",
        "limit_tokens": b"30000",
        "remaining_tokens": b"29000",
        "reset_tokens": b"2s",
    } | changes
    return {
        b"x-ratelimit-" + name.replace("_", "-").encode(): value for name, value in headers.items() if value is not None
    }


def test_limits_are_read_from_headers():
    limits = read_rate_limits(openai_headers())

    assert limits == RateLimits(Quota(500, 499, 0.12), Quota(30000, 29000, 2.0))


def test_limits_of_the_project_are_read_beside():
    limits = read_rate_limits(openai_headers(remaining_project_requests=b"0", reset_project_requests=b"20s"))

    assert limits.project_requests == Quota(None, 0, 20.0)


@pytest.mark.parametrize("value", [None, b"-1", b"", b"many", b"1.5", b"9" * 5000, b"\xb2", b"+1", b" 1"])
def test_absent_negative_or_unreadable_count_is_unknown_and_never_zero(value):
    assert read_rate_limits(openai_headers(remaining_requests=value)).requests == Quota(500, None, 0.12)


def test_headers_without_limits_tell_nothing():
    assert read_rate_limits({b"content-type": b"application/json"}) is None
    assert read_rate_limits({b"x-ratelimit-limit-requests": b"-1", b"x-ratelimit-remaining-requests": b"-1"}) is None


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        (b"2026-03-01T12:00:20Z", 20.0),
        (b"2026-03-01T12:00:20", 20.0),
        (b"2026-03-01T11:00:20+00:00", 0.0),
        (str(int((NOW + timedelta(seconds=20)).timestamp())).encode(), 20.0),
        (str(int((NOW + timedelta(seconds=20)).timestamp() * 1000)).encode(), 20.0),
        (b"9" * 15, None),
        (b"20", 20.0),
        (b"whenever", None),
        (b"9" * 40, None),
    ],
)
def test_reset_may_be_a_point_in_time(reset, seconds):
    headers = {b"anthropic-ratelimit-requests-limit": b"50", b"anthropic-ratelimit-requests-reset": reset}

    limits = read_rate_limits(headers, wall_now=NOW, names=ANTHROPIC_NAMES)

    assert (limits.requests.limit, limits.requests.remaining, limits.requests.reset_s) == (50, None, seconds)


@pytest.mark.parametrize(
    ("reset", "slack_s"),
    [(b"2026-03-01T12:00:20Z", 1.0), (b"2026-03-01T12:00:20.25Z", 0.0), (b"20s", 0.0), (b"20", 0.0)],
)
def test_a_moment_in_whole_seconds_may_be_off(reset, slack_s):
    headers = {b"anthropic-ratelimit-requests-limit": b"50", b"anthropic-ratelimit-requests-reset": reset}

    assert read_rate_limits(headers, wall_now=NOW, names=ANTHROPIC_NAMES).requests.slack_s == slack_s


def test_point_in_time_is_unknown_without_a_clock():
    headers = {b"x-ratelimit-limit-requests-day": b"50", b"x-ratelimit-reset-requests-day": b"2026-03-01T12:00:20Z"}

    assert read_rate_limits(headers, names=CEREBRAS_NAMES).requests == Quota(50, None, None)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param(RateLimits(Quota(500, 0, 60.0)), 0.12, id="one-call-fits-long-before-the-bucket-is-full"),
        pytest.param(RateLimits(Quota(500, 1, 60.0)), None, id="not-exhausted"),
        pytest.param(RateLimits(tokens=Quota(30000, 1000, 58.0)), 2.0, id="tokens-that-the-call-needs"),
        pytest.param(RateLimits(Quota(60, 0, 60.0), Quota(30000, 1000, 58.0)), 2.0, id="the-slower-dimension-counts"),
        pytest.param(RateLimits(tokens=Quota(1500, 0, 60.0)), 60.0, id="more-than-the-limit-waits-until-full"),
        pytest.param(RateLimits(Quota(500, 0, None)), None, id="no-reset"),
        pytest.param(RateLimits(Quota(500, 0, 0.0)), None, id="a-reset-of-zero-tells-nothing"),
        pytest.param(RateLimits(Quota(500, None, 60.0)), None, id="remaining-unknown"),
        pytest.param(RateLimits(Quota(None, 0, 60.0)), 60.0, id="limit-unknown"),
        pytest.param(RateLimits(Quota(0, 0, 60.0)), 60.0, id="a-limit-of-zero-has-no-rate"),
        pytest.param(RateLimits(project_requests=Quota(3, 0, 60.0)), 20.0, id="the-project-s-limit"),
        pytest.param(RateLimits(project_tokens=Quota(4000, 0, 60.0)), 30.0, id="the-project-s-tokens"),
        pytest.param(RateLimits(), None, id="nothing-known"),
    ],
)
def test_rest_is_estimated_from_the_exhausted_dimension(limits, expected):
    assert estimated_rest(limits, requests=1, tokens=2000) == (None if expected is None else pytest.approx(expected))


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0.001, 1e5), st.integers(1, 10**6))
def test_estimated_rest_is_never_longer_than_the_reset(limit, remaining, reset_s, needed):
    rest_s = estimated_rest(RateLimits(tokens=Quota(limit, remaining, reset_s)), tokens=needed)

    assert rest_s is None or 0 < rest_s <= reset_s
