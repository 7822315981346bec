import pytest

from gateway.core.errors import InvalidCall
from gateway.wire.headers import answer_headers, client_timeout_s, max_wait_s, request_headers


@pytest.mark.parametrize(
    "name",
    [
        b"accept",
        b"content-type",
        b"user-agent",
        b"openai-beta",
        b"openai-safety-identifier",
        b"idempotency-key",
        b"anthropic-version",
        b"traceparent",
        b"x-title",
        b"http-referer",
        b"some-header-of-tomorrow",
    ],
)
def test_what_the_upstream_should_read_goes_there(name):
    assert request_headers([(name, b"v")]) == ((name, b"v"),)


@pytest.mark.parametrize(
    "name",
    [
        b"host",
        b"content-length",
        b"content-encoding",
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"te",
        b"upgrade",
        b"expect",
        b"accept-encoding",
        b"authorization",
        b"proxy-authorization",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"cookie",
        b"openai-organization",
        b"openai-project",
        b"x-provider",
        b"x-gateway-key",
        b"x-gateway-max-wait",
        b"x-stainless-retry-count",
        b"x-request-id",
        b"x-client-request-id",
        b"x-forwarded-for",
        b"forwarded",
        b"x-real-ip",
        b"origin",
        b"sec-fetch-mode",
    ],
)
def test_what_belongs_to_this_hop_or_this_caller_stays(name):
    assert request_headers([(name, b"v"), (b"accept", b"*/*")]) == ((b"accept", b"*/*"),)


@pytest.mark.parametrize(
    "name",
    [
        b"set-cookie",
        b"transfer-encoding",
        b"connection",
        b"x-ratelimit-remaining-requests",
        b"anthropic-ratelimit-tokens-reset",
        b"openai-organization",
        b"openai-project",
        b"cf-ray",
        b"alt-svc",
        b"strict-transport-security",
        b"date",
        b"server",
        b"x-request-id",
        b"access-control-allow-origin",
        b"x-gateway-account",
    ],
)
@pytest.mark.parametrize("is_passed_error", [True, False])
def test_what_tells_of_an_account_or_its_front_stays(name, is_passed_error):
    assert answer_headers([(name, b"v")], is_passed_error=is_passed_error) == ()


@pytest.mark.parametrize("name", [b"content-type", b"content-length", b"openai-processing-ms", b"openai-model", b"new"])
def test_the_rest_of_an_answers_headers_goes_to_the_client(name):
    assert answer_headers(((name, b"v"),)) == ((name, b"v"),)


@pytest.mark.parametrize("name", [b"retry-after", b"retry-after-ms", b"x-should-retry"])
def test_delays_pass_only_with_an_error_that_passes(name):
    assert answer_headers([(name, b"5")]) == ()
    assert answer_headers([(name, b"5")], is_passed_error=True) == ((name, b"5"),)


@pytest.mark.parametrize("pass_on", [request_headers, answer_headers])
def test_headers_that_connection_names_go_no_further(pass_on):
    headers = [(b"connection", b"Close, X-Hop"), (b"connection", b"x-other"), (b"x-hop", b"1"), (b"x-other", b"2")]

    assert pass_on([*headers, (b"x-end", b"3")]) == ((b"x-end", b"3"),)


def test_connection_cannot_take_the_content_type_away():
    headers = [(b"connection", b"content-type, keep-alive"), (b"content-type", b"application/json")]

    assert request_headers(headers) == ((b"content-type", b"application/json"),)


def test_order_and_repeats_are_kept():
    headers = [(b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3")]

    assert request_headers(headers) == tuple(headers)


@pytest.mark.parametrize(
    ("headers", "timeout_s"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({b"x-stainless-read-timeout": b"600"}, 600.0, id="python"),
        pytest.param({b"x-stainless-timeout": b"30"}, 30.0, id="node"),
        pytest.param({b"x-stainless-read-timeout": b"60.5", b"x-stainless-timeout": b"90"}, 60.5, id="the-shortest"),
        pytest.param({b"x-stainless-read-timeout": b"soon"}, None, id="unreadable"),
        pytest.param({b"x-stainless-timeout": b"0"}, None, id="zero"),
        pytest.param({b"x-stainless-timeout": b"inf"}, None, id="infinite"),
        pytest.param({b"x-stainless-timeout": b"-5"}, None, id="negative"),
    ],
)
def test_a_clients_timeout_is_what_its_sdk_tells(headers, timeout_s):
    assert client_timeout_s(headers) == timeout_s


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        pytest.param({}, 10.0, id="default"),
        pytest.param({b"x-gateway-max-wait": b"45"}, 45.0, id="asked"),
        pytest.param({b"x-gateway-max-wait": b"0"}, 0.0, id="not-at-all"),
        pytest.param({b"x-gateway-max-wait": b" 2.5 "}, 2.5, id="fractions"),
        pytest.param({b"x-gateway-max-wait": b"9999"}, 300.0, id="at-most-the-ceiling"),
        pytest.param({b"x-stainless-read-timeout": b"5"}, 4.0, id="within-the-clients-patience"),
        pytest.param({b"x-gateway-max-wait": b"60", b"x-stainless-timeout": b"50"}, 40.0, id="whatever-was-asked"),
    ],
)
def test_a_call_waits_as_long_as_all_agree(headers, wait_s):
    assert max_wait_s(headers, 10.0, 300.0) == wait_s


@pytest.mark.parametrize("value", [b"", b"soon", b"-1", b"nan", b"inf", b"1,5", b"\xff"])
def test_a_wait_that_is_no_number_is_refused_by_name(value):
    with pytest.raises(InvalidCall, match="x-gateway-max-wait") as caught:
        max_wait_s({b"x-gateway-max-wait": value}, 10.0, 300.0)

    assert caught.value.param == "x-gateway-max-wait"


def test_a_new_body_has_neither_the_old_length_nor_the_old_coding():
    headers = ((b"content-length", b"5"), (b"content-encoding", b"gzip"), (b"retry-after", b"3"), (b"x-a", b"b"))

    assert answer_headers(headers, is_body_new=True) == ((b"x-a", b"b"),)
    assert answer_headers(headers, is_body_new=True, is_passed_error=True) == ((b"retry-after", b"3"), (b"x-a", b"b"))
