import base64
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import msgspec
import pytest

from gateway.core.ids import Secret
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.core.snapshot import ClientAuth, Grant
from gateway.providers.base import Origin, Via
from gateway.providers.oauth import AccessToken, no_answer, read_token, token_request, via_for_tokens
from tests.unit.providers.samples import provider

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECRET = "s3cr&t+/é"  # noqa: S105  # nobody's
GRANT = Grant("https://login.example:8443/oauth2/token?x=1", "the app", Secret(SECRET), scope="a/.default")


def read(status, body, headers=None):
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return read_token(status, headers or {}, raw, GRANT, wall_now=NOW)


def test_a_token_is_asked_for_as_a_form():
    request = token_request(GRANT, Via())

    assert (request.method, request.origin) == (b"POST", Origin("https", "login.example", 8443))
    assert request.target == b"/oauth2/token?x=1"
    assert dict(request.headers)[b"content-type"] == b"application/x-www-form-urlencoded"
    assert dict(parse_qsl(request.body.decode())) == {
        "grant_type": "client_credentials",
        "client_id": "the app",
        "client_secret": SECRET,
        "scope": "a/.default",
    }
    assert SECRET not in repr(request)


def test_id_and_secret_may_go_into_the_header():
    grant = msgspec.structs.replace(GRANT, client_auth=ClientAuth.BASIC, scope=None, audience="api://x")

    request = token_request(grant, Via())

    login = base64.b64decode(dict(request.headers)[b"authorization"].removeprefix(b"Basic ")).decode()
    assert login == "the+app:s3cr%26t%2B%2F%C3%A9"
    assert dict(parse_qsl(request.body.decode())) == {"grant_type": "client_credentials", "audience": "api://x"}


def test_what_was_signed_takes_the_place_of_the_secret():
    grant = msgspec.structs.replace(GRANT, client_secret=Secret(""), client_certificate=Secret("PEM"))

    request = token_request(grant, Via(), Secret("eyJh.eyJi.c2ln"))

    assert dict(parse_qsl(request.body.decode())) == {
        "grant_type": "client_credentials",
        "client_id": "the app",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "eyJh.eyJi.c2ln",
        "scope": "a/.default",
    }


def test_a_token_endpoint_that_repeats_what_was_signed_tells_nobody():
    grant = msgspec.structs.replace(GRANT, client_secret=Secret(""), client_certificate=Secret("PEM"))
    body = msgspec.json.encode({"error": "invalid_client", "error_description": "bad eyJhbGciOi.eyJhdWQi.c2ln-_ here"})

    outcome = read_token(401, {}, body, grant, wall_now=NOW)

    assert outcome.message == "the token endpoint answered 401: invalid_client bad *** here"


def test_an_address_without_a_path_has_the_root():
    request = token_request(Grant("http://login.example", "a", Secret("b")), Via())

    assert (request.target, request.origin.port) == (b"/", 80)


def test_tokens_are_fetched_through_the_providers_proxy():
    assert via_for_tokens(provider(settings={"proxy": "http://p:1"})).proxy == Secret("http://p:1")
    assert via_for_tokens(provider()).proxy is None


@pytest.mark.parametrize(
    ("expires_in", "lifetime_s"),
    [
        pytest.param(3599, 3599.0, id="number"),
        pytest.param("3599", 3599.0, id="text"),
        pytest.param(None, 300.0, id="unsaid"),
        pytest.param("soon", 300.0, id="unreadable"),
        pytest.param(0, 300.0, id="zero"),
        pytest.param(-5, 300.0, id="negative"),
        pytest.param(True, 300.0, id="no-number"),
        pytest.param(10**12, 86_400.0, id="absurd"),
    ],
)
def test_a_token_lasts_as_long_as_its_answer_says(expires_in, lifetime_s):
    body = {"access_token": "abc.def", "token_type": "Bearer", "expires_in": expires_in}

    assert read(200, body) == AccessToken(Secret("abc.def"), lifetime_s)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        pytest.param(401, {"error": "invalid_client"}, OutcomeKind.CREDENTIAL_REJECTED, "invalid_client", id="client"),
        pytest.param(400, {"error": "invalid_scope"}, OutcomeKind.CREDENTIAL_REJECTED, "invalid_scope", id="scope"),
        pytest.param(403, b"<html>", OutcomeKind.CREDENTIAL_REJECTED, None, id="forbidden"),
        pytest.param(
            400, {"error": "temporarily_unavailable"}, OutcomeKind.NO_TOKEN, "temporarily_unavailable", id="t"
        ),
        pytest.param(404, b"nope", OutcomeKind.NO_TOKEN, None, id="wrong-address"),
        pytest.param(500, b"", OutcomeKind.NO_TOKEN, None, id="broken"),
        pytest.param(200, b"[]", OutcomeKind.NO_TOKEN, None, id="no-object"),
        pytest.param(200, b"\xff", OutcomeKind.NO_TOKEN, None, id="no-json"),
        pytest.param(200, {"access_token": ""}, OutcomeKind.NO_TOKEN, None, id="empty"),
        pytest.param(200, {"access_token": "a\r\nx: y"}, OutcomeKind.NO_TOKEN, None, id="no-header-value"),
        pytest.param(200, {"error": {"a": 1}}, OutcomeKind.NO_TOKEN, None, id="error-of-another-shape"),
    ],
)
def test_an_answer_without_a_token_says_what_the_account_suffers(status, body, kind, code):
    outcome = read(status, body)

    assert (outcome.kind, outcome.status, outcome.code) == (kind, status, code)
    assert outcome.is_definite_refusal
    assert f"answered {status}" in outcome.message


def test_a_delay_is_heard():
    assert read(429, b"", {b"retry-after": b"7"}).retry_after_s == 7.0


@pytest.mark.parametrize("form", [SECRET, "s3cr%26t%2B%2F%C3%A9"])
def test_no_text_repeats_the_secret(form):
    outcome = read(401, {"error": f"bad {form}", "error_description": f"AADSTS7000215: {form}\r\nis\nwrong"})

    assert form not in outcome.message + (outcome.code or "")
    assert outcome.message.endswith("AADSTS7000215: *** is wrong")


def test_a_token_endpoint_that_cannot_be_asked_is_no_fault_of_the_upstream():
    outcome = no_answer(Fault(FaultKind.CONNECT, "connection refused"))

    assert outcome.kind is OutcomeKind.NO_TOKEN
    assert outcome.fault is None
    assert outcome.message == "the token endpoint gave no answer: connection refused"
