import msgspec
import pytest

from gateway.core.snapshot import AuthStrategy, StreamUsage
from gateway.providers.base import Limits, Origin
from gateway.providers.catalog import KINDS
from gateway.wire.realtime import SOCKETS
from tests.unit.providers.samples import call, credential, provider

AZURE = KINDS["azure_openai"]
HOST = "https://res.openai.azure.com"
DATED = {"api_version": "2024-10-21"}


def prepare(the_call, *, model="gpt-4o", base_url=f"{HOST}/v1", given=None, body=b'{"model":"gpt-4o"}', **settings):
    row = provider(kind="azure_openai", base_url=base_url, settings=settings)
    destination = AZURE.destination_of(row, given or credential(text="key"))
    return AZURE.prepare(the_call, destination, model=model, headers=(), body=body, limits=Limits())


@pytest.mark.parametrize(
    ("base_url", "settings", "path", "target"),
    [
        pytest.param(f"{HOST}/v1", {}, "/chat/completions", b"/openai/v1/chat/completions", id="the-resource"),
        pytest.param(f"{HOST}/openai/v1", {}, "/embeddings", b"/openai/v1/embeddings", id="v1-written-out"),
        pytest.param(
            f"{HOST}/v1",
            {"api_version": "preview"},
            "/embeddings",
            b"/openai/v1/embeddings?api-version=preview",
            id="v1-preview",
        ),
        pytest.param(
            f"{HOST}/v1",
            DATED,
            "/chat/completions",
            b"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            id="dated",
        ),
        pytest.param(
            f"{HOST}/openai/deployments/other/v1",
            DATED,
            "/embeddings",
            b"/openai/deployments/gpt-4o/embeddings?api-version=2024-10-21",
            id="dated-below-a-pasted-deployment",
        ),
        pytest.param(
            "https://apim.example/team/openai/v1",
            DATED,
            "/embeddings",
            b"/team/openai/deployments/gpt-4o/embeddings?api-version=2024-10-21",
            id="behind-a-gateway-of-theirs",
        ),
        pytest.param(
            f"{HOST}/v1", DATED, "/moderations", b"/openai/moderations?api-version=2024-10-21", id="no-deployments-path"
        ),
    ],
)
def test_calls_go_to_azures_paths(base_url, settings, path, target):
    request = prepare(call(path), base_url=base_url, **settings)

    assert request.target == target
    assert request.origin == Origin("https", base_url.split("/")[2], 443)


def test_a_deployments_name_is_one_segment_of_the_path():
    request = prepare(call(), model="gpt/4 o?", **DATED)

    assert request.target == b"/openai/deployments/gpt%2F4%20o%3F/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(b"a=1", b"?a=1&api-version=2024-10-21", id="added-behind"),
        pytest.param(b"api-version=2025-01-01-preview", b"?api-version=2025-01-01-preview", id="the-callers-own-stays"),
    ],
)
def test_the_version_is_named_once(query, expected):
    assert prepare(call(query=query), **DATED).target.partition(b"/chat/completions")[2] == expected


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        pytest.param(DATED, b"/openai/realtime?x=1&deployment=gpt-rt&api-version=2024-10-21", id="dated"),
        pytest.param({}, b"/openai/v1/realtime?x=1&model=gpt-rt", id="v1"),
    ],
)
def test_a_sessions_model_is_a_deployment_on_dated_paths(settings, target):
    session = msgspec.structs.replace(call(query=b"x=1&model=gpt-rt"), endpoint=SOCKETS["/realtime"], path="/realtime")

    assert prepare(session, model="gpt-rt", body=b"", **settings).target == target


def test_a_call_without_a_model_has_no_deployment():
    request = prepare(call("/models", "GET"), model=None, body=b"", **DATED)

    assert request.target == b"/openai/models?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("given", "header"),
    [
        pytest.param(credential(text="key"), (b"api-key", b"key"), id="api_key"),
        pytest.param(credential(AuthStrategy.HEADER, text="key"), (b"api-key", b"key"), id="header"),
        pytest.param(
            credential(AuthStrategy.HEADER, text="key", header="Ocp-Apim-Subscription-Key"),
            (b"ocp-apim-subscription-key", b"key"),
            id="a-header-of-its-own",
        ),
        pytest.param(
            credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, text="token"),
            (b"authorization", b"Bearer token"),
            id="entra",
        ),
    ],
)
def test_a_key_goes_into_its_own_header_and_a_token_is_a_bearer(given, header):
    headers = prepare(call(), given=given).headers

    assert header in headers
    assert not ({b"authorization", b"api-key"} - {header[0]}) & set(dict(headers))


def test_an_account_may_have_a_resource_of_its_own():
    given = credential(text="key", base_url="https://second.openai.azure.com/v1")

    request = prepare(call(), given=given, **DATED)

    assert request.origin.host == "second.openai.azure.com"
    assert request.target.startswith(b"/openai/deployments/")


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        pytest.param({}, True, id="v1"),
        pytest.param({"api_version": "preview"}, True, id="preview"),
        pytest.param({"api_version": "2024-10-21"}, True, id="knows-it"),
        pytest.param({"api_version": "2024-06-01"}, False, id="too-old"),
        pytest.param({"api_version": "2024-06-01", "stream_usage": StreamUsage.ASK}, True, id="told-to"),
        pytest.param({"stream_usage": StreamUsage.LEAVE}, False, id="told-not-to"),
    ],
)
def test_usage_is_asked_for_where_the_version_knows_how(settings, asks):
    request = prepare(call(is_stream=True), **settings)

    assert (b"include_usage" in request.body) is asks


def test_its_list_of_models_is_not_what_an_account_serves():
    destination = AZURE.destination_of(provider(base_url=f"{HOST}/v1"), credential())

    assert not destination.lists_models


def test_nothing_printed_holds_the_key():
    destination = AZURE.destination_of(provider(base_url=f"{HOST}/v1"), credential(text="hidden"))

    assert "hidden" not in repr(destination) + repr(prepare(call(), given=credential(text="hidden")))
