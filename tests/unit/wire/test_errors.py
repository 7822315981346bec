import json

import msgspec
import pytest

from gateway.core.call import Schema
from gateway.core.errors import AllOutOfQuota, AllOverloaded, AllRateLimited, GatewayError, InvalidCall
from gateway.core.outcome import ErrorBody
from gateway.wire.endpoints import find
from gateway.wire.errors import anthropic_error_body, error_headers, error_in_answer, read_error, write_error

CHAT = find("POST", "/chat/completions")


def read(value, content_type="application/json"):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_error(body, content_type)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            {"error": {"message": "m", "type": "tokens", "param": "p", "code": "rate_limit_exceeded"}},
            ErrorBody("m", "tokens", "rate_limit_exceeded", "p", is_readable=True),
            id="openai",
        ),
        pytest.param(
            {"error": {"message": "m", "type": None, "param": None, "code": None}},
            ErrorBody("m", is_readable=True),
            id="openai-nulls",
        ),
        pytest.param(
            {"error": {"message": "Provider returned error", "code": 429}, "user_id": "u"},
            ErrorBody("Provider returned error", code="429", is_readable=True),
            id="openrouter-code-is-a-number",
        ),
        pytest.param({"error": "quota"}, ErrorBody("quota", is_readable=True), id="bare-text"),
        pytest.param(
            {"error": "not_found", "message": "No such thing"},
            ErrorBody("No such thing", is_readable=True),
            id="text-beside-message",
        ),
        pytest.param(
            [{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}],
            ErrorBody("m", "RESOURCE_EXHAUSTED", "429", is_readable=True),
            id="google-list",
        ),
        pytest.param(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"},
            ErrorBody("Overloaded", "overloaded_error", is_readable=True),
            id="anthropic",
        ),
        pytest.param(
            {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "message": "m",
                    "details": {"error_code": "enforced_spend_limit_reached"},
                },
            },
            ErrorBody("m", "rate_limit_error", "enforced_spend_limit_reached", is_readable=True),
            id="anthropic-spend-limit",
        ),
        pytest.param(
            {"error": {"code": "429", "message": "m"}}, ErrorBody("m", code="429", is_readable=True), id="azure"
        ),
        pytest.param(
            {"statusCode": 429, "message": "Rate limit is exceeded."},
            ErrorBody("Rate limit is exceeded.", code="429", is_readable=True),
            id="azure-gateway",
        ),
        pytest.param(
            {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400},
            ErrorBody("m", "BadRequestError", "400", is_readable=True),
            id="vllm-flat",
        ),
        pytest.param(
            {"object": "error", "message": {"detail": [{"msg": "x"}]}, "type": "invalid_request_error"},
            ErrorBody('{"detail":[{"msg":"x"}]}', "invalid_request_error", is_readable=True),
            id="mistral-message-is-an-object",
        ),
        pytest.param({"detail": "Not Found"}, ErrorBody("Not Found", is_readable=True), id="fastapi"),
        pytest.param(
            {"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]},
            ErrorBody("field required", "missing", is_readable=True),
            id="fastapi-list",
        ),
        pytest.param(
            {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]},
            ErrorBody("Authentication error", code="10000", is_readable=True),
            id="cloudflare-json",
        ),
        pytest.param({"message": "m"}, ErrorBody("m", is_readable=True), id="only-a-message"),
        pytest.param({"error": {}}, ErrorBody(), id="empty-error"),
        pytest.param({"error": {"message": 5, "code": True}}, ErrorBody(is_readable=True), id="wrong-types"),
        pytest.param({"error": {"code": 10**30, "type": "t"}}, ErrorBody(type="t", is_readable=True), id="huge-code"),
        pytest.param({"id": "x"}, ErrorBody(), id="no-error"),
        pytest.param({"error": 5}, ErrorBody(), id="error-is-a-number"),
        pytest.param([], ErrorBody(), id="empty-list"),
        pytest.param(5, ErrorBody(), id="number"),
        pytest.param("text", ErrorBody("text"), id="json-text"),
        pytest.param(b"", ErrorBody(), id="empty-body"),
    ],
)
def test_every_known_shape_is_read(value, expected):
    assert read(value) == expected


def test_html_leaves_its_title_for_people():
    body = b"<!DOCTYPE html><html><head><title>502:\n Bad gateway</title></head><body>" + b"x" * 100_000

    assert read(body, "text/html; charset=UTF-8") == ErrorBody("502: Bad gateway")
    assert read(b"<h1>no title</h1>", "") == ErrorBody()


def test_plain_text_is_a_message_and_no_readable_error():
    assert read(b" upstream connect error \xff", "text/plain") == ErrorBody("upstream connect error \ufffd")


def test_what_cannot_be_decoded_is_no_fault_of_ours():
    assert not read(b'{"error":' + b"[" * 100_000).is_readable
    assert not read(b'{"error":"\xff"}').is_readable


def test_messages_are_bounded():
    assert len(read({"error": {"message": "x" * 100_000}}).message) == 4_000
    assert len(read(b"x" * 100_000, "text/plain").message) == 4_000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"error":{"message":"m","code":502}}', ErrorBody("m", code="502", is_readable=True), id="error"),
        pytest.param(b'{"error":null,"choices":[]}', None, id="null"),
        pytest.param(b'{"choices":[{"error":{"message":"m"}}]}', None, id="nested"),
        pytest.param(b'{"choices":[]}', None, id="none"),
        pytest.param(b'"error"', None, id="no-object"),
        pytest.param(b'{"error":', None, id="cut"),
    ],
)
def test_an_error_inside_of_a_success_is_found(body, expected):
    assert error_in_answer(body, CHAT) == expected


@pytest.mark.parametrize(
    ("method", "path", "body", "is_error"),
    [
        pytest.param("POST", "/embeddings", b'{"error":{"message":"m"}}', True, id="embedding"),
        pytest.param("POST", "/embeddings", b'{"object":"error","error":{"message":"m"}}', True, id="vllm"),
        pytest.param("POST", "/embeddings", b'{"object":[],"error":{"message":"m"}}', True, id="odd-object"),
        pytest.param(
            "POST", "/responses", b'{"object":"response","status":"failed","error":{"message":"m"}}', True, id="failed"
        ),
        pytest.param("POST", "/responses", b'{"error":{"message":"m"}}', True, id="in-place-of-a-response"),
        pytest.param(
            "POST", "/responses", b'{"object":"response","status":"completed","error":null}', False, id="completed"
        ),
        pytest.param(
            "GET",
            "/responses/resp_1",
            b'{"object":"response","status":"failed","error":{"message":"m"}}',
            False,
            id="failed-long-ago",
        ),
        pytest.param(
            "GET",
            "/fine_tuning/jobs/ftjob-1",
            b'{"object":"fine_tuning.job","status":"failed","error":{"message":"m"}}',
            False,
            id="job-that-failed",
        ),
    ],
)
def test_how_the_work_of_an_object_went_is_no_error_of_the_call(method, path, body, is_error):
    assert (error_in_answer(body, find(method, path)) is not None) is is_error


def test_our_errors_have_all_four_keys():
    error = InvalidCall("Missing 'x'.", param="x", code="missing_required_parameter")

    assert json.loads(write_error(error)) == {
        "error": {
            "message": "Missing 'x'.",
            "type": "invalid_request_error",
            "param": "x",
            "code": "missing_required_parameter",
        }
    }
    assert json.loads(write_error(GatewayError("x")))["error"]["param"] is None


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        pytest.param(GatewayError("x"), {}, id="nothing-to-say"),
        pytest.param(
            AllRateLimited("x", retry_after_s=7.25), {b"retry-after": b"8", b"retry-after-ms": b"7250"}, id="rounded-up"
        ),
        pytest.param(
            AllRateLimited("x", retry_after_s=0.0004), {b"retry-after": b"1", b"retry-after-ms": b"1"}, id="never-zero"
        ),
        pytest.param(
            AllRateLimited("x", retry_after_s=-3.0), {b"retry-after": b"1", b"retry-after-ms": b"1"}, id="past"
        ),
        pytest.param(
            AllRateLimited("x", retry_after_s=120.0), {b"retry-after": b"120", b"retry-after-ms": b"120000"}, id="edge"
        ),
        pytest.param(
            AllRateLimited("x", retry_after_s=121.0),
            {b"retry-after": b"121", b"retry-after-ms": b"121000", b"x-should-retry": b"false"},
            id="too-long-to-wait",
        ),
        pytest.param(AllRateLimited("x", retry_after_s=float("inf")), {}, id="never"),
        pytest.param(AllOutOfQuota("x"), {b"x-should-retry": b"false"}, id="out-of-quota"),
    ],
)
def test_headers_say_when_a_repeat_makes_sense(error, headers):
    assert dict(error_headers(error)) == headers


def test_an_error_that_asks_for_a_repeat_says_so():
    class Again(GatewayError):
        should_retry = True

    assert dict(error_headers(Again("x"))) == {b"x-should-retry": b"true"}


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        (InvalidCall("no"), "invalid_request_error"),
        (AllRateLimited("later"), "rate_limit_error"),
        (GatewayError("bug"), "api_error"),
        (GatewayError("odd", status=405), "invalid_request_error"),
        (AllOverloaded("busy"), "overloaded_error"),
        (GatewayError("nobody", status=503), "api_error"),
    ],
)
def test_callers_of_anthropics_api_read_anthropics_errors(error, type_):
    body = json.loads(write_error(error, Schema.ANTHROPIC, call_id="req_1"))

    inner = {"type": type_, "message": error.message, "details": {"error_code": error.code}}
    assert body == {"type": "error", "error": inner, "request_id": "req_1"}


def test_an_error_of_anthropics_form_needs_neither_code_nor_call():
    body = json.loads(anthropic_error_body("Overloaded", "overloaded_error", None))

    assert body == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    ("details", "hints"),
    [
        pytest.param([{"retryDelay": "34s"}], "retry in 34s", id="delay"),
        pytest.param([{"violations": [{"quotaId": "PerDay"}, {"quotaId": 5}, "x"]}], "PerDay", id="quota"),
        pytest.param([{"retryDelay": 34}, {"violations": {}}, "x", None], "", id="other-types"),
        pytest.param({"retryDelay": "34s"}, "", id="no-list"),
        pytest.param(None, "", id="none"),
        pytest.param([{"retryDelay": "9" * 9000}] * 99, "retry in " + "9" * 491, id="bounded"),
    ],
)
def test_details_tell_of_limits_and_delays(details, hints):
    body = msgspec.json.encode({"error": {"message": "m", "details": details}})

    assert read_error(body, "application/json").hints == hints
