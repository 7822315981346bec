import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.classify import (
    CODES,
    LONGEST_MESSAGE,
    MESSAGES,
    TYPES,
    classify,
    classify_fault,
    classify_stream_error,
)
from gateway.core.hints import ANTHROPIC_NAMES
from gateway.core.outcome import ErrorBody, Fault, FaultKind, LimitSpan, Outcome
from gateway.core.outcome import OutcomeKind as Kind
from tests.fakes.classified import INVALID, NOW, RATE, an_error, outcome_of


@pytest.mark.parametrize("status", [200, 201, 204, 206, 207, 299])
def test_success_is_ok_whatever_else_it_says(status):
    assert outcome_of(status, "rate limit", "requests", "rate_limit_exceeded") == Outcome(Kind.OK, status)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Kind.CALLER_FAULT), (403, Kind.FORBIDDEN), (404, Kind.CALLER_FAULT), (429, Kind.RATE_LIMITED)]
    + [(status, Kind.UPSTREAM_ERROR) for status in (500, 502, 503, 520, 522, 524, 529)],
)
def test_page_for_people_is_classified_by_its_status(status, kind):
    page = ErrorBody(message="Sorry, you have been blocked")

    outcome = classify(status, {b"content-type": b"text/html; charset=UTF-8"}, page, wall_now=NOW)

    assert outcome.kind is kind
    assert not outcome.is_definite_refusal or status in {403, 404, 429}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({b"content-type": b"text/html", b"retry-after": b"5"}, id="page-that-names-a-delay"),
        pytest.param({b"content-type": b"text/plain"}, id="plain-text"),
        pytest.param({}, id="nothing"),
    ],
)
def test_503_without_an_error_object_is_overloaded(headers):
    assert classify(503, headers, ErrorBody(), wall_now=NOW).kind is Kind.OVERLOADED


@pytest.mark.parametrize(
    "words", ["billing hard limit has been reached", "overloaded", "insufficient_quota", "api key not valid", "flagged"]
)
@pytest.mark.parametrize("status", [400, 404, 422])
def test_caller_s_own_words_in_a_message_cannot_park_an_account(status, words):
    outcome = outcome_of(status, f"Invalid value: '{words}'. Supported values are: 'a'", INVALID)

    assert outcome.kind is Kind.CALLER_FAULT


def test_code_goes_before_type_and_message_and_status():
    assert outcome_of(500, "overloaded", "insufficient_quota", "model_not_found").kind is Kind.NO_ACCESS_TO_MODEL


def test_type_goes_before_message_and_status():
    assert outcome_of(403, "flagged", "insufficient_quota", "new_code").kind is Kind.OUT_OF_QUOTA


def test_message_goes_before_status():
    assert outcome_of(401, "Missing scopes: x").kind is Kind.MISSING_PERMISSION


@pytest.mark.parametrize(("code", "kind"), CODES.items())
def test_code_decides_on_any_status_and_in_any_case(code, kind):
    assert outcome_of(418, code=code.upper()).kind is kind
    assert classify_stream_error(an_error(code=code)).kind is kind


@pytest.mark.parametrize(("type_", "kind"), TYPES.items())
def test_type_decides_where_no_code_is_known(type_, kind):
    assert outcome_of(418, type_=type_, code="new_code").kind is kind


def test_rows_for_statuses_that_repeat_the_caller_fit_beginnings_only():
    echoing = [pattern.pattern for statuses, pattern, _ in MESSAGES if statuses & {400, 404, 422}]

    assert all(pattern.startswith("^") for pattern in echoing)


def test_rate_limit_names_its_limit_and_delay():
    message = RATE + "requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s."

    outcome = outcome_of(429, message, "requests", "rate_limit_exceeded", {b"retry-after": b"432"})

    assert outcome == Outcome(
        Kind.RATE_LIMITED,
        429,
        code="rate_limit_exceeded",
        message=message.replace("org-AbCd12345678", "org-***"),
        retry_after_s=432.0,
        limit_name="gpt-4o",
        span=LimitSpan.DAY,
        limit=200,
        organization="org-AbCd12345678",
        is_definite_refusal=True,
    )


@pytest.mark.parametrize(
    ("message", "rest_s"),
    [
        pytest.param(
            "on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000.", 2.0, id="what-the-call-needs"
        ),
        pytest.param("on tokens per min", None, id="one-token-would-fit"),
    ],
)
def test_rest_is_estimated_from_what_the_headers_tell(message, rest_s):
    headers = {
        b"x-ratelimit-limit-tokens": b"30000",
        b"x-ratelimit-remaining-tokens": b"1000",
        b"x-ratelimit-reset-tokens": b"58s",
    }

    outcome = outcome_of(429, message, "tokens", "rate_limit_exceeded", headers)

    assert outcome.estimated_rest_s == rest_s
    assert outcome.retry_after_s is None


def test_limits_are_read_under_the_vendor_s_names():
    headers = {
        b"anthropic-ratelimit-requests-limit": b"50",
        b"anthropic-ratelimit-requests-remaining": b"0",
        b"anthropic-ratelimit-requests-reset": b"2026-03-01T12:00:50Z",
    }

    outcome = classify(429, headers, an_error(type_="rate_limit_error"), wall_now=NOW, names=ANTHROPIC_NAMES)

    assert outcome.estimated_rest_s == 1.0


@pytest.mark.parametrize(
    ("remaining", "kind", "rest_s"), [(b"0", Kind.RATE_LIMITED, 20.0), (b"2", Kind.NO_ACCESS_TO_MODEL, None)]
)
def test_missing_model_with_an_exhausted_project_is_a_rate_limit(remaining, kind, rest_s):
    headers = {b"x-ratelimit-remaining-project-requests": remaining, b"x-ratelimit-reset-project-requests": b"20s"}

    outcome = outcome_of(403, "Project `proj_x` does not have access", INVALID, "model_not_found", headers)

    assert outcome.kind is kind
    assert outcome.estimated_rest_s == rest_s


def test_azure_s_delay_is_read_from_its_words():
    message = "have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 37 seconds."

    assert outcome_of(429, message, code="429").retry_after_s == 37.0


def test_overload_keeps_the_delay_it_names():
    assert outcome_of(503, code="server_is_overloaded", headers={b"retry-after": b"7"}).retry_after_s == 7.0


@pytest.mark.parametrize(
    ("status", "code", "is_definite"),
    [
        (429, None, True),
        (401, None, True),
        (403, None, True),
        (404, None, True),
        (402, "insufficient_quota", True),
        (400, "billing_hard_limit_reached", True),
        (503, "server_is_overloaded", True),
        (503, None, False),
        (503, "503", False),
        (500, "server_error", False),
        (408, None, False),
        (502, None, False),
        (400, None, False),
    ],
)
def test_only_some_answers_are_definite_refusals(status, code, is_definite):
    assert outcome_of(status, code=code).is_definite_refusal is is_definite


def test_anthropics_overload_is_a_definite_refusal_though_it_has_no_code():
    said = classify(529, {}, an_error("Overloaded", "overloaded_error"), wall_now=NOW)

    assert said.is_definite_refusal
    assert not classify(529, {}, an_error("Overloaded"), wall_now=NOW).is_definite_refusal
    assert not classify(500, {}, an_error("Overloaded", "overloaded_error"), wall_now=NOW).is_definite_refusal


def test_message_and_code_are_masked_and_bounded():
    outcome = outcome_of(401, "sk-proj-12345678 " * 1000, code="key sk-proj-12345678" + "x" * 500)

    assert "sk-proj" not in outcome.message + outcome.code
    assert len(outcome.message) == LONGEST_MESSAGE
    assert len(outcome.code) <= 100


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(an_error("Busy", "tokens", "rate_limit_exceeded"), Kind.RATE_LIMITED, id="rate-limit"),
        pytest.param(an_error("Sorry", "server_error", "server_error"), Kind.UPSTREAM_ERROR, id="server-error"),
        pytest.param(an_error("Sorry", "server_error"), Kind.UPSTREAM_ERROR, id="server-error-by-type"),
        pytest.param(an_error("Bad", INVALID), Kind.CALLER_FAULT, id="caller-s-fault-by-type"),
        pytest.param(an_error("Bad", None, INVALID), Kind.CALLER_FAULT, id="caller-s-fault-by-code"),
        pytest.param(an_error("The model is overloaded"), Kind.OVERLOADED, id="words"),
        pytest.param(an_error("Provider returned error", None, "502"), Kind.UPSTREAM_ERROR, id="numeric-502"),
        pytest.param(an_error("No", None, "402"), Kind.OUT_OF_QUOTA, id="numeric-402"),
        pytest.param(an_error("No", None, "429"), Kind.RATE_LIMITED, id="numeric-429"),
        pytest.param(an_error("Flagged by moderation", None, "403"), Kind.CALLER_FAULT, id="numeric-403"),
        pytest.param(an_error("No", None, "1500"), Kind.UPSTREAM_ERROR, id="a-number-that-is-no-status"),
        pytest.param(ErrorBody(), Kind.UPSTREAM_ERROR, id="nothing"),
    ],
)
def test_error_inside_a_success_is_classified_without_a_status(error, kind):
    outcome = classify_stream_error(error)

    assert outcome.kind is kind
    assert outcome.status is None
    assert not outcome.is_definite_refusal


def test_error_inside_a_stream_names_its_limit_and_delay():
    message = RATE + "tokens per min (TPM): Limit 9, Used 9. Please try again in 644ms."

    outcome = classify_stream_error(an_error(message, "tokens", "rate_limit_exceeded"))

    assert (outcome.limit_name, outcome.retry_after_s) == ("gpt-4o", 0.644)


@pytest.mark.parametrize(
    ("fault", "is_body_sent", "kind", "is_definite"),
    [
        (FaultKind.CONNECT, False, Kind.UNREACHABLE, True),
        (FaultKind.TLS, False, Kind.UNREACHABLE, True),
        (FaultKind.RESET, False, Kind.UNREACHABLE, True),
        (FaultKind.RESET, True, Kind.UNREACHABLE, False),
        (FaultKind.GARBAGE, True, Kind.UPSTREAM_ERROR, False),
        (FaultKind.GARBAGE, False, Kind.UPSTREAM_ERROR, False),
        (FaultKind.HEADERS_TIMEOUT, True, Kind.TIMED_OUT, False),
        (FaultKind.HEADERS_TIMEOUT, False, Kind.TIMED_OUT, False),
        (FaultKind.STALL, True, Kind.TIMED_OUT, False),
    ],
)
def test_fault_of_the_transport_is_classified(fault, is_body_sent, kind, is_definite):
    outcome = classify_fault(Fault(fault, "it broke", is_body_sent))

    assert outcome == Outcome(kind, message="it broke", is_definite_refusal=is_definite, fault=fault)


@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from([b"retry-after", b"retry-after-ms", b"content-type"]), st.binary(max_size=20)),
    st.builds(
        ErrorBody,
        message=st.text(max_size=200),
        type=st.none() | st.text(max_size=20),
        code=st.none() | st.text(max_size=20),
        is_readable=st.booleans(),
    ),
)
def test_any_answer_has_an_outcome(status, headers, error):
    outcome = classify(status, headers, error, wall_now=NOW)

    assert (outcome.kind is Kind.OK) == (200 <= status < 300)
    assert outcome.retry_after_s is None or outcome.retry_after_s >= 0
    assert classify_stream_error(error).kind is not Kind.OK
