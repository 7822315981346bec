import pytest

from gateway.core.call import ModelUse
from gateway.core.errors import EndpointNotFound, InvalidCall, NotAllowed
from gateway.ingress.asked import endpoint_of, envelope_of, is_upload, methods_of

JSON = {b"content-type": b"Application/JSON; charset=utf-8", b"content-length": b"9"}
FORM = {b"content-type": b"multipart/form-data; boundary=x", b"content-length": b"9"}


@pytest.mark.parametrize(
    ("method", "path", "name", "sent"),
    [
        ("POST", "/chat/completions", "chat.completions", "POST"),
        ("GET", "/files/file-1/content", "files.content", "GET"),
        ("HEAD", "/files/file-1/content", "files.content", "HEAD"),
        ("HEAD", "/models", "models.list", "GET"),
        ("HEAD", "/brand/new", "other", "HEAD"),
        ("PUT", "/chat/completions", "other", "PUT"),
        ("POST", "/models", "other", "POST"),
        ("GET", "/embeddings/", "other", "GET"),
        ("POST", "//chat/completions", "other", "POST"),
        ("GET", "/models/a%00b", "models.get", "GET"),
    ],
)
def test_every_request_has_a_row(method, path, name, sent):
    row = endpoint_of(method, path)

    assert (row.name, row.method) == (name, sent)


@pytest.mark.parametrize(
    ("method", "path", "error", "code"),
    [
        ("GET", "", EndpointNotFound, "unknown_url"),
        ("GET", "//", EndpointNotFound, "unknown_url"),
        ("CONNECT", "/files", EndpointNotFound, "method_not_allowed"),
        ("TRACE", "/brand/new", EndpointNotFound, "method_not_allowed"),
        ("GET", "/files/..", InvalidCall, "invalid_path"),
        ("GET", "/realtime", InvalidCall, "upgrade_required"),
        ("GET", "/projects", NotAllowed, "admin_path_refused"),
        ("GET", "/files/", EndpointNotFound, "unknown_url"),
        ("GET", "/%66iles/file-1", EndpointNotFound, "unknown_url"),
        ("HEAD", "/Files", EndpointNotFound, "unknown_url"),
        ("POST", "/files/", EndpointNotFound, "unknown_url"),
        ("POST", "//uploads", EndpointNotFound, "unknown_url"),
    ],
)
def test_some_requests_go_no_further(method, path, error, code):
    with pytest.raises(error) as refused:
        endpoint_of(method, path)

    assert refused.value.code == code


def test_methods_of_an_unknown_path_are_the_usual_ones():
    assert methods_of("/embeddings") == ("POST",)
    assert "PATCH" in methods_of("/brand/new")


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", "/files", FORM, True),
        ("POST", "/files", {b"transfer-encoding": b"chunked"}, True),
        ("POST", "/files", {b"content-length": b"0"}, False),
        ("POST", "/images/edits", JSON, False),
        ("POST", "/chat/completions", FORM, False),
        ("POST", "/batches/b/cancel", FORM, False),
        ("GET", "/brand/new", {}, False),
        ("POST", "/brand/new", {b"content-length": b"5"}, True),
    ],
)
def test_what_is_an_upload(method, path, headers, expected):
    assert is_upload(endpoint_of(method, path), headers) is expected


@pytest.mark.parametrize(
    ("request_line", "headers", "query", "body", "said"),
    [
        ("POST /images/edits", JSON, b"", b'{"model":"a","stream":true}', ("a", True)),
        ("POST /brand/new", JSON, b"", b'{"model":"a","stream":true}', ("a", False)),
        ("POST /brand/new", JSON, b"", b"no json", (None, False)),
        ("POST /brand/new", JSON, b"", b'{"model":7}', (None, False)),
        ("POST /brand/new", FORM, b"", b'{"model":"a"}', (None, False)),
        ("GET /responses/r", {}, b"stream=true&starting_after=3", b"", (None, True)),
        ("GET /responses/r", {}, b"", b"", (None, False)),
        ("DELETE /models/ft:gpt-4o%3Aacme", {}, b"", b"", ("ft:gpt-4o:acme", False)),
        ("POST /batches/b/cancel", JSON, b"", b"{", (None, False)),
    ],
)
def test_what_a_request_says_that_need_not_be_json(request_line, headers, query, body, said):
    method, path = request_line.split(" ")

    envelope = envelope_of(endpoint_of(method, path), headers, path, query, body)

    assert (envelope.model, envelope.is_stream) == said


def test_a_body_that_a_known_endpoint_reads_must_be_json():
    with pytest.raises(InvalidCall) as refused:
        envelope_of(endpoint_of("POST", "/images/edits"), JSON, "/images/edits", b"", b"no json")

    assert refused.value.code == "invalid_json"


def test_unknown_endpoints_may_go_without_a_model():
    assert endpoint_of("POST", "/brand/new").model is ModelUse.OPTIONAL


def test_options_that_are_no_preflight_are_the_upstreams():
    assert endpoint_of("OPTIONS", "/files").name == "other"
