import pytest

from gateway.core.call import Schema
from gateway.core.errors import InvalidCall
from gateway.core.hints import ANTHROPIC_NAMES
from gateway.core.snapshot import AuthStrategy
from gateway.providers.base import Limits, Origin
from gateway.providers.catalog import KINDS
from gateway.wire.endpoints import find
from tests.unit.providers.samples import call, credential, provider

ANTHROPIC = KINDS["anthropic"]
URL = "https://api.anthropic.com/v1"
KEY = credential(text="sk-ant-api03-x")


def prepare(the_call, *, given=KEY, headers=(), body=b"{}", settings=None):
    row = provider(kind="anthropic", base_url=URL, settings=settings or {})
    destination = ANTHROPIC.destination_of(row, given)
    return ANTHROPIC.prepare(the_call, destination, model="claude-x", headers=headers, body=body, limits=Limits())


def test_chat_completions_go_to_messages():
    request = prepare(call(query=b"api-version=1"), body=b'{"translated":1}')

    assert (request.method, request.origin) == (b"POST", Origin("https", "api.anthropic.com", 443))
    assert (request.target, request.body) == (b"/v1/messages", b'{"translated":1}')
    assert request.headers == (
        (b"anthropic-version", b"2023-06-01"),
        (b"content-type", b"application/json"),
        (b"x-api-key", b"sk-ant-api03-x"),
        (b"accept-encoding", b"identity"),
        (b"x-client-request-id", b"req_1"),
    )


@pytest.mark.parametrize(
    ("path", "method"),
    [("/messages", "POST"), ("/messages/count_tokens", "POST"), ("/messages/batches", "GET")],
)
def test_native_calls_keep_their_path_and_query(path, method):
    request = prepare(call(path, method, query=b"beta=true"))

    assert request.target == b"/v1" + path.encode() + b"?beta=true"


@pytest.mark.parametrize(
    ("settings", "headers", "version", "betas"),
    [
        pytest.param({}, {}, b"2023-06-01", None, id="ours"),
        pytest.param({}, {b"anthropic-version": b"2024-01-01"}, b"2024-01-01", None, id="the-callers"),
        pytest.param(
            {"headers": {"Anthropic-Version": "2025-01-01", "anthropic-beta": "a"}}, {}, b"2025-01-01", b"a", id="row"
        ),
        pytest.param(
            {"headers": {"anthropic-beta": "a"}}, {b"anthropic-beta": b"b,c"}, b"2023-06-01", b"a,b,c", id="both"
        ),
        pytest.param({}, {b"anthropic-beta": b"b"}, b"2023-06-01", b"b", id="the-callers-betas"),
    ],
)
def test_version_and_betas_are_the_callers_and_the_rows(settings, headers, version, betas):
    request = prepare(call("/messages"), headers=tuple(headers.items()), settings=settings)

    said = [header for header in request.headers if header[0].startswith(b"anthropic-")]
    assert said == [(b"anthropic-version", version), *([(b"anthropic-beta", betas)] if betas else [])]


@pytest.mark.parametrize(
    ("given", "header"),
    [
        pytest.param(
            credential(text="sk-ant-oat01-x"), (b"authorization", b"Bearer sk-ant-oat01-x"), id="subscription"
        ),
        pytest.param(credential(AuthStrategy.HEADER, "k", header="X-Key"), (b"x-key", b"k"), id="a-header-of-its-own"),
        pytest.param(
            credential(text="k", project="wrkspc_1"), (b"anthropic-workspace-id", b"wrkspc_1"), id="workspace"
        ),
    ],
)
def test_credentials_are_presented_as_they_are(given, header):
    names = {name for name, _ in prepare(call(), given=given).headers}

    assert header in prepare(call(), given=given).headers
    assert not names & {b"openai-organization", b"openai-project"}


def test_a_key_that_no_header_can_carry_is_refused():
    with pytest.raises(ValueError, match="api_key"):
        prepare(call(), given=credential(text="k\r\nx: y"))


def test_a_workspace_that_no_header_can_carry_is_refused():
    with pytest.raises(ValueError, match="project"):
        prepare(call(), given=credential(text="k", project="a\r\nb"))


def test_all_models_are_asked_for():
    assert prepare(call("/models", "GET")).target == b"/v1/models?limit=1000"
    assert prepare(call("/models", "GET", query=b"limit=5")).target == b"/v1/models?limit=5"


def test_limits_are_read_by_anthropics_names_or_the_rows():
    row = provider(kind="anthropic", base_url=URL)
    own = provider(kind="anthropic", base_url=URL, settings={"limit_headers": {"requests_remaining": "x-left"}})

    assert ANTHROPIC.destination_of(row, KEY).limit_names is ANTHROPIC_NAMES
    assert ANTHROPIC.destination_of(own, KEY).limit_names.telling == {b"x-left"}


def test_chat_completions_and_responses_are_translated():
    targets = {"/chat/completions": "", "/responses": "", "/responses/input_tokens": "/count_tokens"}
    for path, below in targets.items():
        assert ANTHROPIC.translation_for(find("POST", path)) is not None
        assert prepare(call(path)).target == b"/v1/messages" + below.encode()
    for method, path in (("POST", "/messages"), ("GET", "/models"), ("POST", "/files")):
        assert ANTHROPIC.translation_for(find(method, path)) is None


@pytest.mark.parametrize(
    "path", ["/embeddings", "/responses/compact", "/completions", "/audio/speech", "/images/generations"]
)
def test_what_anthropic_has_not_is_refused_and_says_what_it_has(path):
    with pytest.raises(InvalidCall, match=f"it has no {path}") as caught:
        ANTHROPIC.translation_for(find("POST", path))

    assert (caught.value.status, caught.value.code) == (400, "endpoint_not_supported")


@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "azure_openai"])
def test_kinds_of_openai_refuse_what_is_anthropics(kind):
    endpoint = find("POST", "/messages")

    assert endpoint.schema is Schema.ANTHROPIC
    with pytest.raises(InvalidCall, match="chat/completions") as caught:
        KINDS[kind].translation_for(endpoint)
    assert caught.value.code == "endpoint_not_supported"
    assert KINDS[kind].translation_for(find("POST", "/chat/completions")) is None


def test_usage_is_never_asked_for():
    row = provider(kind="anthropic", base_url=URL)
    stream = call(is_stream=True)

    assert not ANTHROPIC.hides_usage(stream, ANTHROPIC.destination_of(row, KEY))
    assert prepare(stream, body=b'{"stream":true}').body == b'{"stream":true}'


def test_errors_are_read():
    error = ANTHROPIC.read_error(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "")

    assert (error.type, error.message) == ("overloaded_error", "Overloaded")


def test_prompts_alone_are_charged():
    assert {name: kind.charges_answers for name, kind in KINDS.items()} == {
        "openai": True,
        "openai_compatible": True,
        "azure_openai": True,
        "anthropic": False,
    }
