import pytest

from gateway.core.errors import NotAllowed
from gateway.ingress.cors import Cors

APP = b"https://app.example.com"
PREFLIGHT = {b"origin": APP, b"access-control-request-method": b"POST"}
CORS = Cors(frozenset({"https://app.example.com"}))
ANY = Cors(frozenset({"*"}))


def test_named_origin_may_read_answers():
    headers = dict(CORS.answer_headers({b"origin": APP}))

    assert headers[b"access-control-allow-origin"] == APP
    assert headers[b"vary"] == b"Origin"
    assert b"x-request-id" in headers[b"access-control-expose-headers"]
    assert b"retry-after-ms" in headers[b"access-control-expose-headers"]


def assert_refused(cors, preflight):
    with pytest.raises(NotAllowed) as refused:
        cors.preflight_headers(preflight)
    assert refused.value.code == "origin_not_allowed"


@pytest.mark.parametrize(
    "request_headers",
    [
        {b"origin": b"https://evil.example.com"},
        {b"origin": b"https://app.example.com.evil.com"},
        {b"origin": b"http://app.example.com"},
        {b"origin": b"null"},
        {b"origin": b"\xff"},
    ],
)
def test_others_get_nothing(request_headers):
    preflight = {**request_headers, b"access-control-request-method": b"POST"}

    assert CORS.answer_headers(request_headers) == ()
    assert_refused(CORS, preflight)


def test_who_has_no_origin_is_no_page():
    assert CORS.answer_headers({}) == ()


def test_without_origins_nobody_is_let_in():
    assert Cors().answer_headers({b"origin": APP}) == ()
    assert_refused(Cors(), PREFLIGHT)


def test_star_lets_every_origin_in_by_its_name():
    assert dict(ANY.answer_headers({b"origin": b"null"}))[b"access-control-allow-origin"] == b"null"


def test_preflight_is_told_what_may_be_sent():
    headers = dict(CORS.preflight_headers({**PREFLIGHT, b"access-control-request-headers": b"authorization,x-foo"}))

    assert headers[b"access-control-allow-origin"] == APP
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert headers[b"access-control-allow-headers"] == b"authorization,x-foo"
    assert headers[b"access-control-max-age"] == b"600"


def test_options_that_are_no_preflight_are_no_business_of_ours():
    assert CORS.preflight_headers({b"origin": APP}) is None
    assert CORS.preflight_headers({b"access-control-request-method": b"POST"}) is None
