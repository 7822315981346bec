import re

import pytest

from gateway.core.call import BodyKind, Endpoint, ModelUse, Schema, StreamKind
from gateway.wire.endpoints import ENDPOINTS, EndpointTable, allowed_methods, as_head, find, other, path_values

NAME = re.compile(r"\{(\w+)(?:\.\.\.)?\}")


def test_every_row_is_found_by_its_method_and_path():
    for endpoint in ENDPOINTS:
        path = NAME.sub(r"a-\1", endpoint.path)
        assert find(endpoint.method, path) is endpoint
        assert path_values(endpoint, path) == {name: f"a-{name}" for name in NAME.findall(endpoint.path)}


def test_the_table_has_all_of_the_published_api_but_websockets():
    assert len([row for row in ENDPOINTS if row.schema is Schema.OPENAI]) == 245 - 6


def test_messages_are_anthropics_and_nothing_else_is():
    rows = [row for row in ENDPOINTS if row.schema is Schema.ANTHROPIC]

    assert len(rows) == 8
    assert all(row.path.startswith("/messages") and row.goes_with == "claude-" for row in rows)
    assert not any(row.path.startswith("/messages") or row.goes_with for row in ENDPOINTS if row not in rows)


def test_ids_in_paths_are_named_so():
    others = {name for row in ENDPOINTS for name in NAME.findall(row.path) if not name.endswith("_id")}

    assert others == {"model", "version", "fine_tuned_model_checkpoint"}


def test_creating_rows_post_and_lists_are_read():
    assert all(row.method == "POST" for row in ENDPOINTS if row.is_creating or row.creates)
    assert all(row.method == "GET" and "{" not in row.path for row in ENDPOINTS if row.is_list)
    assert not any(row.is_stateless and (row.creates or "_id}" in row.path) for row in ENDPOINTS)
    assert {row.body for row in ENDPOINTS if row.method != "POST"} == {BodyKind.NONE}


@pytest.mark.parametrize(
    "name", ["chat.completions", "completions", "embeddings", "moderations", "images.generations", "audio.speech"]
)
def test_calls_that_make_nothing_may_be_repeated(name):
    row = next(row for row in ENDPOINTS if row.name == name)

    assert not row.is_creating


@pytest.mark.parametrize(
    ("method", "is_creating"),
    [("GET", False), ("DELETE", False), ("PUT", False), ("POST", True), ("PATCH", True)],
)
def test_an_unknown_endpoint_is_one_row_of_the_method_asked_for(method, is_creating):
    row = other(method)

    assert (row.name, row.method, row.is_creating, row.model) == ("other", method, is_creating, ModelUse.OPTIONAL)


def test_the_head_of_a_get_is_read_of_nothing():
    row = as_head(ENDPOINTS[2])

    assert (row.method, row.name, row.is_download, row.is_list) == ("HEAD", ENDPOINTS[2].name, True, False)


def test_names_and_places_are_unique():
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    assert len({(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_streams_of_words_are_read_and_those_of_things_pass():
    kinds = {row.name: row.stream for row in ENDPOINTS if row.stream not in {StreamKind.NONE, StreamKind.EVENTS}}

    assert kinds == {
        "chat.completions": StreamKind.CHAT,
        "completions": StreamKind.COMPLETION,
        "responses.create": StreamKind.RESPONSES,
        "responses.get": StreamKind.RESPONSES,
    }


@pytest.mark.parametrize(
    ("path", "model"),
    [
        pytest.param("/models/gpt-4o", "gpt-4o", id="plain"),
        pytest.param("/models/meta-llama/llama-3.1-8b", "meta-llama/llama-3.1-8b", id="a-slash"),
        pytest.param("/models/meta-llama%2Fllama-3.1-8b", "meta-llama/llama-3.1-8b", id="an-encoded-slash"),
        pytest.param("/models/ft:gpt-4o:acme%3A%3Aid", "ft:gpt-4o:acme::id", id="colons"),
        pytest.param("/models/a%2525", "a%25", id="decoded-once"),
    ],
)
def test_model_of_a_path_is_its_whole_rest_decoded_once(path, model):
    endpoint = find("GET", path)

    assert endpoint is not None
    assert endpoint.name == "models.get"
    assert path_values(endpoint, path) == {"model": model}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/nothing", id="unknown"),
        pytest.param("GET", "/models/", id="no-model"),
        pytest.param("GET", "/models//", id="only-slashes"),
        pytest.param("POST", "/chat", id="half-a-path"),
        pytest.param("POST", "/chat/completions/", id="slash-at-the-end"),
        pytest.param("POST", "", id="empty"),
        pytest.param("post", "/chat/completions", id="methods-are-capitals"),
        pytest.param("PUT", "/chat/completions", id="other-method"),
    ],
)
def test_what_no_row_names_is_not_found(method, path):
    assert find(method, path) is None


def test_allowed_methods_name_those_of_the_path():
    assert allowed_methods("/chat/completions") == ("GET", "POST")
    assert allowed_methods("/models/gpt-4o") == ("DELETE", "GET")
    assert allowed_methods("/nothing") == ()


def row(method: str, path: str) -> Endpoint:
    return Endpoint(name=f"{method} {path}", method=method, path=path, body=BodyKind.NONE)


TABLE = EndpointTable(
    [
        row("GET", "/files/{file}"),
        row("DELETE", "/files/{file}"),
        row("GET", "/files/recent"),
        row("GET", "/files/{file}/content"),
        row("GET", "/files/{rest...}"),
        row("GET", "/threads/{thread}/runs/{run}"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        pytest.param("GET", "/files/file-1", "/files/{file}", id="one-segment"),
        pytest.param("GET", "/files/recent", "/files/recent", id="written-beats-named"),
        pytest.param("DELETE", "/files/recent", "/files/{file}", id="of-another-method"),
        pytest.param("GET", "/files/file-1/content", "/files/{file}/content", id="below-a-name"),
        pytest.param("GET", "/files/recent/content", "/files/{file}/content", id="below-a-written-one"),
        pytest.param("GET", "/files/a/b/c", "/files/{rest...}", id="the-rest"),
        pytest.param("GET", "/threads/t/runs/r", "/threads/{thread}/runs/{run}", id="two-names"),
    ],
)
def test_the_most_written_row_wins(method, path, expected):
    endpoint = TABLE.find(method, path)

    assert endpoint is not None
    assert endpoint.path == expected


def test_an_empty_segment_is_no_name():
    assert TABLE.find("DELETE", "/files/") is None
    assert TABLE.find("GET", "/threads//runs/r") is None


def test_methods_of_a_path_come_from_all_rows_that_fit():
    assert TABLE.allowed_methods("/files/recent") == ("DELETE", "GET")


def test_values_of_two_names_are_told_apart():
    endpoint = TABLE.find("GET", "/threads/t%201/runs/r")

    assert endpoint is not None
    assert path_values(endpoint, "/threads/t%201/runs/r") == {"thread": "t 1", "run": "r"}


def test_a_path_of_a_hundred_thousand_segments_is_refused_at_once():
    assert find("GET", "/" * 100_000) is None
    assert find("GET", "/chat" * 100_000) is None


def test_what_makes_an_object_is_never_repeated_blindly():
    """But for responses: those that only answer may be asked for again, and those that act are told by their body."""
    repeated = {row.name for row in ENDPOINTS if row.creates is not None and not row.is_creating}

    assert repeated <= {"responses.create", "responses.compact"}
    assert not [row.name for row in ENDPOINTS if row.is_creating and row.method == "GET"]
    assert not [row.name for row in ENDPOINTS if row.is_list and (row.method != "GET" or "{" in row.path)]
