import msgspec
import pytest

from gateway.core.snapshot import StreamUsage
from gateway.providers.base import Limits, Origin
from gateway.providers.catalog import KINDS
from gateway.providers.openai_compatible import read_base_url
from tests.unit.providers.samples import call, credential, provider

OPENAI = KINDS["openai"]
BODY = b'{"model":"gpt-4o","messages":[]}'


LIMITS = Limits(connect_s=1.0)


def prepare(the_call, headers=(), body=BODY, **row):
    destination = OPENAI.destination_of(provider(**row), credential())
    return OPENAI.prepare(the_call, destination, model=None, headers=headers, body=body, limits=LIMITS)


@pytest.mark.parametrize(
    ("base_url", "origin", "prefix"),
    [
        pytest.param("https://api.openai.com/v1", Origin("https", "api.openai.com", 443), b"/v1", id="https"),
        pytest.param("http://127.0.0.1:9000/v1", Origin("http", "127.0.0.1", 9000), b"/v1", id="port"),
        pytest.param("http://localhost", Origin("http", "localhost", 80), b"", id="no-path"),
        pytest.param("http://[::1]:81/v1/", Origin("http", "::1", 81), b"/v1", id="ipv6-and-slash"),
        pytest.param(
            "https://x.openai.azure.com/openai/v1",
            Origin("https", "x.openai.azure.com", 443),
            b"/openai/v1",
            id="longer-path",
        ),
    ],
)
def test_a_base_url_is_an_origin_and_a_path(base_url, origin, prefix):
    assert read_base_url(base_url) == (origin, prefix)


def test_a_call_goes_below_the_base_url_with_its_query():
    request = prepare(call(query=b"a=1&b=%20"), base_url="https://example.org/api/v3")

    assert request.method == b"POST"
    assert request.origin == Origin("https", "example.org", 443)
    assert request.target == b"/api/v3/chat/completions?a=1&b=%20"
    assert prepare(call()).target == b"/v1/chat/completions"


def test_the_body_and_the_limits_are_those_given():
    request = prepare(call())

    assert request.body is BODY
    assert request.limits is LIMITS


def test_headers_are_the_callers_then_the_accounts_then_our_id():
    headers = ((b"user-agent", b"app"), (b"content-type", b"text/plain"), (b"openai-beta", b"x"))

    request = prepare(call(), headers)

    assert request.headers == (
        (b"user-agent", b"app"),
        (b"openai-beta", b"x"),
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer sk-test"),
        (b"accept-encoding", b"identity"),
        (b"x-client-request-id", b"req_1"),
    )


def test_a_call_without_a_body_has_no_content_type():
    request = prepare(call("/models", "GET"), body=b"")

    assert b"content-type" not in dict(request.headers)


def test_fixed_headers_replace_the_callers_but_never_the_credential():
    fixed = {"User-Agent": "gateway", "Authorization": "Bearer other", "Accept-Encoding": "br", "Content-Type": "a/b"}

    headers = prepare(call(), ((b"user-agent", b"app"),), settings={"headers": fixed}).headers

    assert sorted(headers) == [
        (b"accept-encoding", b"br"),
        (b"authorization", b"Bearer sk-test"),
        (b"content-type", b"a/b"),
        (b"user-agent", b"gateway"),
        (b"x-client-request-id", b"req_1"),
    ]


@pytest.mark.parametrize(
    ("path", "fields", "setting", "hides"),
    [
        pytest.param("/chat/completions", {"is_stream": True}, None, True, id="stream"),
        pytest.param("/completions", {"is_stream": True}, None, True, id="completion"),
        pytest.param("/chat/completions", {"is_stream": True, "asks_usage": True}, None, False, id="asked-itself"),
        pytest.param("/chat/completions", {}, None, False, id="no-stream"),
        pytest.param("/chat/completions", {"is_stream": True}, StreamUsage.LEAVE, False, id="left-by-setting"),
        pytest.param("/embeddings", {"is_stream": True}, None, False, id="no-events"),
    ],
)
def test_usage_is_asked_for_where_it_can_be_hidden(path, fields, setting, hides):
    row = provider(settings={"stream_usage": setting})
    destination = OPENAI.destination_of(row, credential())

    request = OPENAI.prepare(call(path, **fields), destination, model=None, headers=(), body=BODY, limits=LIMITS)

    assert OPENAI.hides_usage(call(path, **fields), destination) is hides
    assert (b'"stream_options":{"include_usage":true}' in request.body) is hides


def test_nothing_printed_holds_the_credential():
    destination = OPENAI.destination_of(provider(), credential())
    request = OPENAI.prepare(call(), destination, model=None, headers=(), body=BODY, limits=LIMITS)

    assert "sk-test" not in f"{destination!r} {request!r} {destination} {request}"


def test_an_unusable_credential_stops_before_any_call():
    with pytest.raises(ValueError, match="api_key"):
        OPENAI.destination_of(provider(), credential(text="sk\n"))


def test_errors_are_read_by_the_kind():
    assert OPENAI.read_error(b'{"error":{"message":"m","code":"c"}}', "application/json").code == "c"


@pytest.mark.parametrize("is_creating", [False, True])
def test_a_creating_call_is_never_sent_again_unasked(is_creating):
    made = call()
    made = msgspec.structs.replace(made, endpoint=msgspec.structs.replace(made.endpoint, is_creating=is_creating))

    assert prepare(made).may_resend is not is_creating
