from datetime import UTC, datetime

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

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
INVALID = "invalid_request_error"


def an_error(message="", type_=None, code=None):
    return ErrorBody(message=message, type=type_, code=code, is_readable=True)


def outcome_of(status, message="", type_=None, code=None, headers=None):
    return classify(status, headers or {}, an_error(message, type_, code), wall_now=NOW)


RATE = "Rate limit reached for gpt-4o in organization org-AbCd12345678 on "
OPENAI = [  # reference §3.2, row by row
    (400, INVALID, None, "Unrecognized request argument supplied: foo", Kind.CALLER_FAULT),
    (400, INVALID, "context_length_exceeded", "This model's maximum context length is 8192 tokens.", Kind.CALLER_FAULT),
    (400, INVALID, INVALID, "This model's maximum context length is 8192 tokens.", Kind.CALLER_FAULT),
    (400, INVALID, "invalid_encrypted_content", "The encrypted content gAAA could not be verified", Kind.CALLER_FAULT),
    (400, INVALID, "previous_response_not_found", "Previous response with id 'resp_1' not found.", Kind.CALLER_FAULT),
    (404, INVALID, "previous_response_not_found", "Previous response with id 'resp_1' not found.", Kind.CALLER_FAULT),
    (400, INVALID, "content_policy_violation", "Your request was rejected by our safety system", Kind.CALLER_FAULT),
    (403, INVALID, "content_filter", "The response was filtered", Kind.CALLER_FAULT),
    (429, INVALID, "invalid_prompt", "Invalid prompt: flagged", Kind.CALLER_FAULT),
    (400, INVALID, "billing_hard_limit_reached", "Billing hard limit has been reached", Kind.OUT_OF_QUOTA),
    (400, "billing_limit_user_error", None, "Billing hard limit has been reached", Kind.OUT_OF_QUOTA),
    (400, INVALID, None, "Invalid service_tier argument", Kind.CALLER_FAULT),
    (401, INVALID, "invalid_api_key", "Incorrect API key provided: sk-ab***xyz.", Kind.CREDENTIAL_REJECTED),
    (401, INVALID, "account_deactivated", "Your OpenAI account has been deactivated", Kind.CREDENTIAL_REJECTED),
    (401, INVALID, None, "You must be a member of an organization to use the API.", Kind.CREDENTIAL_REJECTED),
    (401, INVALID, "mismatched_project", "OpenAI-Project header should match", Kind.CREDENTIAL_REJECTED),
    (401, None, "ip_not_authorized", "Your IP is not authorized", Kind.FORBIDDEN),
    (401, None, None, "IP not authorized", Kind.FORBIDDEN),
    (401, INVALID, "missing_scope", "Missing scopes: model.request", Kind.MISSING_PERMISSION),
    (401, INVALID, None, "You have insufficient permissions for this operation.", Kind.MISSING_PERMISSION),
    (403, INVALID, None, "Nope. Missing scopes: model.request", Kind.MISSING_PERMISSION),
    (403, "request_forbidden", "unsupported_country_region_territory", "Country not supported", Kind.FORBIDDEN),
    (403, "request_forbidden", None, "Country, region, or territory not supported", Kind.FORBIDDEN),
    (403, INVALID, "model_not_found", "Project `proj_x` does not have access to model `m`", Kind.NO_ACCESS_TO_MODEL),
    (403, INVALID, None, "Project `proj_x` does not have access to model `m`", Kind.NO_ACCESS_TO_MODEL),
    (403, None, None, "Something new", Kind.FORBIDDEN),
    (404, INVALID, "model_not_found", "The model `x` does not exist", Kind.NO_ACCESS_TO_MODEL),
    (404, INVALID, None, "No such File object: file-1", Kind.CALLER_FAULT),
    (404, None, None, "Unknown request URL: POST /v1/x", Kind.CALLER_FAULT),
    (404, INVALID, None, "Invalid URL (POST /v1/x)", Kind.CALLER_FAULT),
    (405, INVALID, None, "Not allowed to GET", Kind.CALLER_FAULT),
    (413, INVALID, None, "Request Entity Too Large", Kind.CALLER_FAULT),
    (408, None, None, "Request timeout", Kind.UPSTREAM_ERROR),
    (409, None, "conversation_locked", "Locked", Kind.CALLER_FAULT),
    (418, None, None, "Short and stout", Kind.CALLER_FAULT),
    (422, INVALID, None, "Field required", Kind.CALLER_FAULT),
    (424, None, "external_connector_error", "MCP server failed", Kind.CALLER_FAULT),
    (425, None, None, "Too early", Kind.UPSTREAM_ERROR),
    (429, "requests", "rate_limit_exceeded", RATE + "requests per min (RPM): Limit 3, Used 3", Kind.RATE_LIMITED),
    (429, "tokens", None, RATE + "tokens per min (TPM)", Kind.RATE_LIMITED),
    (429, "tokens", "rate_limit_exceeded", "Request too large for gpt-4o in organization org-1", Kind.TOO_LARGE),
    (429, "tokens", None, RATE + "tokens per min (TPM): Limit 30000, Used 9, Requested 31538.", Kind.TOO_LARGE),
    (429, "rate_limit_error", "slow_down", "Slow down", Kind.RATE_LIMITED),
    (503, None, "slow_down", "Slow Down", Kind.RATE_LIMITED),
    (429, None, "a_code_of_next_year", "Whatever", Kind.RATE_LIMITED),
    (429, None, None, "", Kind.RATE_LIMITED),
    (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota", Kind.OUT_OF_QUOTA),
    (429, "insufficient_quota", "a_code_of_next_year", "No money", Kind.OUT_OF_QUOTA),
    (429, None, "credit_balance_exhausted", "No money", Kind.OUT_OF_QUOTA),
    (429, None, "organization_spend_limit_exceeded", "No money", Kind.OUT_OF_QUOTA),
    (429, None, "project_spend_limit_exceeded", "No money", Kind.OUT_OF_QUOTA),
    (403, None, "insufficient_quota", "No money", Kind.OUT_OF_QUOTA),
    (429, None, None, "You exceeded your current quota, please check your plan", Kind.OUT_OF_QUOTA),
    (429, "server_error", None, "The engine is currently overloaded, please try again later", Kind.OVERLOADED),
    (429, None, None, "That model is currently overloaded with other requests.", Kind.OVERLOADED),
    (500, "server_error", None, "The server had an error while processing your request.", Kind.UPSTREAM_ERROR),
    (500, "server_error", "server_error", "Sorry", Kind.UPSTREAM_ERROR),
    (503, "server_error", None, "Sorry", Kind.OVERLOADED),
    (503, "service_unavailable_error", "server_is_overloaded", "Busy", Kind.OVERLOADED),
    (504, None, None, "Gateway timeout", Kind.UPSTREAM_ERROR),
    (400, INVALID, None, "Your organization must be verified to stream this model.", Kind.NO_ACCESS_TO_MODEL),
]
VENDORS = [
    (529, "overloaded_error", None, "Overloaded", Kind.OVERLOADED),
    (529, None, None, "", Kind.OVERLOADED),
    (500, "api_error", None, "Internal server error", Kind.UPSTREAM_ERROR),
    (429, "rate_limit_error", None, "This request would exceed your organization's rate limit", Kind.RATE_LIMITED),
    (429, "rate_limit_error", None, "Your organization has reached its monthly spend limit", Kind.OUT_OF_QUOTA),
    (429, "rate_limit_error", "enforced_spend_limit_reached", "Limit", Kind.OUT_OF_QUOTA),
    (400, INVALID, None, "Your credit balance is too low to access the Anthropic API.", Kind.OUT_OF_QUOTA),
    (400, INVALID, None, "This organization has been disabled.", Kind.CREDENTIAL_REJECTED),
    (400, INVALID, None, "You have reached your specified API usage limits.", Kind.OUT_OF_QUOTA),
    (401, "authentication_error", None, "invalid x-api-key", Kind.CREDENTIAL_REJECTED),
    (403, "permission_error", None, "Your API key does not have permission", Kind.MISSING_PERMISSION),
    (404, "not_found_error", None, "model: claude-9", Kind.NO_ACCESS_TO_MODEL),
    (413, "request_too_large", None, "Request exceeds the maximum size", Kind.CALLER_FAULT),
    (429, None, "429", "have exceeded token rate limit of your current OpenAI S0 pricing tier.", Kind.RATE_LIMITED),
    (404, None, "DeploymentNotFound", "The API deployment for this resource does not exist.", Kind.NO_ACCESS_TO_MODEL),
    (404, None, "404", "Resource not found", Kind.CALLER_FAULT),
    (401, None, "401", "Access denied due to invalid subscription key", Kind.CREDENTIAL_REJECTED),
    (401, None, "PermissionDenied", "The principal `x` lacks the required data action", Kind.MISSING_PERMISSION),
    (429, None, "NoCapacity", "The system is currently experiencing high demand", Kind.OVERLOADED),
    (402, "unknown_error", INVALID, "Insufficient Balance", Kind.OUT_OF_QUOTA),
    (402, None, "402", "This request requires more credits", Kind.OUT_OF_QUOTA),
    (400, INVALID, INVALID, "Model Not Exist", Kind.NO_ACCESS_TO_MODEL),
    (400, INVALID, None, "Organization has been restricted. Please reach out", Kind.CREDENTIAL_REJECTED),
    (413, "tokens", "rate_limit_exceeded", "Request too large for model `m` in organization `o`", Kind.TOO_LARGE),
    (498, None, None, "Flex capacity exceeded", Kind.OVERLOADED),
    (
        403,
        INVALID,
        None,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097",
        Kind.CALLER_FAULT,
    ),
    (403, None, "403", "Your chosen model requires moderation and your input was flagged", Kind.CALLER_FAULT),
    (403, None, "403", "Key limit exceeded (total limit)", Kind.OUT_OF_QUOTA),
    (404, None, "404", "No endpoints found for vendor/model", Kind.NO_ACCESS_TO_MODEL),
    (502, None, "502", "Provider returned error", Kind.UPSTREAM_ERROR),
    (429, "exceeded_current_quota_error", None, "Your account is suspended", Kind.OUT_OF_QUOTA),
    (429, "engine_overloaded_error", None, "The engine is busy", Kind.OVERLOADED),
    (404, "resource_not_found_error", None, "Not found the model kimi-x or Permission denied", Kind.NO_ACCESS_TO_MODEL),
    (429, None, None, "You exceeded your current quota.\n* metric: x\nPlease retry in 34.07s.", Kind.RATE_LIMITED),
    (429, "RESOURCE_EXHAUSTED", "429", "You exceeded your current quota", Kind.RATE_LIMITED),
    (400, "INVALID_ARGUMENT", "400", "API key not valid. Please pass a valid API key.", Kind.CREDENTIAL_REJECTED),
    (503, "UNAVAILABLE", "503", "The model is overloaded.", Kind.OVERLOADED),
    (
        400,
        None,
        "Client specified an invalid argument",
        "Incorrect API key provided: xa***23",
        Kind.CREDENTIAL_REJECTED,
    ),
    (403, None, None, "Your newly created teams doesn't have any credits yet", Kind.OUT_OF_QUOTA),
    (404, "NotFoundError", "404", "The model `x` does not exist.", Kind.NO_ACCESS_TO_MODEL),
    (404, "api_error", None, 'model "x" not found, try pulling it first', Kind.NO_ACCESS_TO_MODEL),
    (400, "invalid_model", "1500", "Invalid model: x", Kind.NO_ACCESS_TO_MODEL),
    (407, None, None, "Proxy authentication required", Kind.UPSTREAM_ERROR),
    (302, None, None, "", Kind.UPSTREAM_ERROR),
    (101, None, None, "", Kind.UPSTREAM_ERROR),
]


@pytest.mark.parametrize(("status", "type_", "code", "message", "kind"), OPENAI + VENDORS)
def test_answer_is_classified(status, type_, code, message, kind):
    assert outcome_of(status, message, type_, code).kind is kind


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
