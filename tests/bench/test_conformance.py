"""The parts of `make conformance` that can be wrong without anybody seeing it."""

from collections import Counter

import msgspec
import pytest
from pydantic import TypeAdapter
from sdk_catalog import operations
from sdk_mock import Asked, Mock
from sdk_results import Run, differences, grouped, lost
from sdk_samples import sample


@pytest.fixture(scope="module")
def catalog():
    """Not read at import: that would cost each process that runs tests 3 s."""
    return {(each.method, each.path): each for each in operations()}


def test_the_catalog_knows_calls_of_every_kind(catalog):
    chat = catalog["POST", "/chat/completions"]

    assert (chat.answer.__name__, chat.event.__name__) == ("ChatCompletion", "ChatCompletionChunk")
    assert catalog["GET", "/files/{file_id}/content"].is_binary
    assert catalog["DELETE", "/files/{file_id}"].answer.__name__ == "FileDeleted"
    assert ("GET", "/vector_stores/{vector_store_id}/files/{file_id}/content") in catalog
    assert len(catalog) > 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat/completions"),
        ("GET", "/batches"),
        ("GET", "/conversations/{conversation_id}/items/{item_id}"),
        ("POST", "/audio/transcriptions"),
        ("POST", "/threads/{thread_id}/runs"),
    ],
    ids=["model", "page", "union", "by-an-argument", "events"],
)
def test_a_sample_is_one_that_its_type_accepts(catalog, method, path):
    operation = catalog[method, path]

    for wanted in filter(None, (operation.answer, operation.event)):
        TypeAdapter(wanted).validate_python(sample(wanted))


def test_there_is_a_sample_of_every_answer(catalog):
    for operation in catalog.values():
        for wanted in (None if operation.is_binary else operation.answer, operation.event):
            assert wanted is None or sample(wanted) is not None


async def asked_of(mock: Mock, method: str, path: str, body: bytes = b"", *headers: tuple[bytes, bytes]):
    sent = []
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "query_string": b"", "headers": headers}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await mock(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.fixture
def journal():
    return []


@pytest.fixture
def mock(journal):
    return Mock(journal.append, ["gpt-4"])


async def test_the_mock_answers_streams_files_lists_and_unknown_paths(mock):
    json = (b"content-type", b"application/json")

    assert (await asked_of(mock, "POST", "/v1/chat/completions", b'{"stream": true}', json))[1].endswith(
        b"data: [DONE]\n\n"
    )
    assert (await asked_of(mock, "GET", "/v1/files/file-1/content"))[0] == 200
    assert b'"gpt-4"' in (await asked_of(mock, "GET", "/models"))[1]
    assert (await asked_of(mock, "GET", "/v1/nothing"))[0] == 404


async def test_the_journal_does_not_depend_on_boundaries_spaces_or_order(mock, journal):
    for body in (b'{"a":1,"b":2}', b'{"b": 2, "a": 1}'):
        await asked_of(mock, "POST", "/v1/embeddings", body, (b"content-type", b"application/json"))
    for boundary in (b"x1", b"y2"):
        body = b"--%b\r\ncontent\r\n--%b--" % (boundary, boundary)
        await asked_of(mock, "POST", "/v1/files", body, (b"content-type", b"multipart/form-data; boundary=" + boundary))

    first, second, third, fourth = journal
    assert first == second
    assert third == fourth
    assert first != third


def test_what_passes_directly_and_not_through_the_gateway_is_lost():
    direct = Run({"a": None, "b": None, "c": "broken anyway", "d": None})
    through = Run({"a": None, "b": "Error code: 404 - req_ab12\nmore", "c": None})

    failures = lost(direct, through)

    assert failures == {"b": "Error code: 404 - req_ab12\nmore", "d": "did not run"}
    assert (direct.passed, through.passed) == (3, 2)
    assert grouped(failures) == [("Error code: # - #", ["b"]), ("did not run", ["d"])]


def test_requests_that_differ_are_told_from_both_sides():
    same = Asked("GET", "/a", "", (), "")
    before = msgspec.structs.replace(same, body="1")
    after = msgspec.structs.replace(same, body="2")

    assert differences(Counter([same, before]), Counter([same, after])) == ([before], [after])
