from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.affinity import encrypted_id
from gateway.core.call import Endpoint
from gateway.wire.endpoints import ENDPOINTS, find
from gateway.wire.objects import created_at, created_kind, read_objects


def row(method: str, path: str) -> Endpoint:
    endpoint = find(method, path)
    assert endpoint is not None
    return endpoint


def seen(body: object, method: str = "GET", path: str = "/batches/b", *, keeps_chats: bool = False) -> set[object]:
    read = read_objects(body, row(method, path), keeps_chats=keeps_chats)
    return {(one.id, one.kind, one.is_created) for one in read}


AT = datetime(2026, 11, 21, tzinfo=UTC)


def test_what_a_call_creates_is_known_by_its_row() -> None:
    (made,) = read_objects({"id": "x1", "created_at": AT.timestamp()}, row("POST", "/vector_stores"))

    assert (made.id, made.kind, made.is_created, made.created_at) == ("x1", "vector_stores", True, AT)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/files", "files"),
        ("/uploads", "uploads"),
        ("/batches", "batches"),
        ("/fine_tuning/jobs", "fine_tuning/jobs"),
        ("/videos", "videos"),
        ("/videos/video_1/remix", "videos"),
        ("/videos/edits", "videos"),
        ("/responses", "responses"),
        ("/threads", "threads"),
        ("/threads/runs", None),
        ("/threads/thread_1/messages", None),
        ("/uploads/upload_1/parts", None),
        ("/audio/voices", "audio/voices"),
        ("/realtime/client_secrets", None),
        ("/chat/completions", None),
    ],
)
def test_the_kind_of_what_a_row_creates(path: str, kind: str | None) -> None:
    assert created_kind(row("POST", path)) == kind


def test_every_kind_that_is_created_can_be_read_by_its_path() -> None:
    """But for those that the API itself cannot read."""
    unreadable = {"uploads", "realtime/calls", "chatkit/sessions", "audio/voices", "live/sessions"}
    kinds = {kind for one in ENDPOINTS if (kind := created_kind(one)) is not None}

    assert {kind for kind in kinds if find("GET", f"/{kind}/x") is None} <= unreadable


@pytest.mark.parametrize(
    ("body", "objects"),
    [
        pytest.param(
            {"id": "batch_1", "object": "batch", "output_file_id": "file-1", "error_file_id": None},
            {("batch_1", "batches", False), ("file-1", "files", False)},
            id="batch",
        ),
        pytest.param(
            {"id": "ftjob-1", "object": "fine_tuning.job", "fine_tuned_model": "ft:a", "result_files": ["file-2"]},
            {("ftjob-1", "fine_tuning/jobs", False), ("ft:a", "models", False), ("file-2", "files", False)},
            id="job",
        ),
        pytest.param(
            {"object": "list", "data": [{"id": "file-1", "object": "file"}, {"id": "file-2", "object": "file"}]},
            {("file-1", "files", False), ("file-2", "files", False)},
            id="page",
        ),
        pytest.param(
            {"id": "upload_1", "object": "upload", "file": {"id": "file-1", "object": "file"}},
            {("upload_1", "uploads", False), ("file-1", "files", False)},
            id="upload",
        ),
        pytest.param(
            {"id": "run_1", "object": "thread.run", "thread_id": "thread_1"}, {("thread_1", "threads", False)}, id="run"
        ),
        pytest.param({"id": "file-1", "object": "file", "deleted": True}, set(), id="deleted"),
        pytest.param({"id": "msg_1", "object": "thread.message", "metadata": {"thread_id": "no"}}, set(), id="message"),
        pytest.param(
            {"object": "response", "tools": [{"parameters": {"id": "file-1", "object": "file"}, "thread_id": "no"}]},
            set(),
            id="what-the-caller-wrote",
        ),
        pytest.param([{"id": "file-1", "object": "file"}], {("file-1", "files", False)}, id="array"),
        pytest.param("text", set(), id="text"),
        pytest.param(None, set(), id="null"),
        pytest.param({"id": "x" * 600, "object": "file"}, set(), id="too-long"),
    ],
)
def test_what_answers_show(body: object, objects: set[object]) -> None:
    assert seen(body) == objects


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "store": True,
    "conversation": {"id": "conv_1"},
    "output": [
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA"},
        {"type": "message", "id": "msg_1", "content": [{"annotations": [{"container_id": "cntr_1"}]}]},
    ],
}


def test_a_response_shows_its_items_and_what_it_made_in_passing() -> None:
    assert seen(RESPONSE, "POST", "/responses") == {
        ("resp_1", "responses", True),
        ("rs_1", "items", False),
        ("msg_1", "items", False),
        ("conv_1", "conversations", False),
        ("cntr_1", "containers", False),
        (encrypted_id("gAAA"), "encrypted_content", False),
    }


def test_of_a_response_that_is_not_kept_only_the_sealed_text_matters() -> None:
    objects = seen({**RESPONSE, "store": False, "conversation": None}, "POST", "/responses")

    assert {one for one in objects if one[1] != "containers"} == {(encrypted_id("gAAA"), "encrypted_content", False)}


def test_an_event_shows_the_response_in_it() -> None:
    event = {"type": "response.created", "response": {**RESPONSE, "output": []}}

    assert ("resp_1", "responses", True) in seen(event, "POST", "/responses")


def test_a_chat_is_an_object_only_when_it_is_stored() -> None:
    chat = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"message": {"audio": {"id": "audio_1"}}}]}

    assert seen(chat, "POST", "/chat/completions") == {("audio_1", "audio", False)}
    stored = seen(chat, "POST", "/chat/completions", keeps_chats=True)
    assert stored == {("chatcmpl-1", "chat/completions", False), ("audio_1", "audio", False)}
    listed = {"object": "list", "data": [{"id": "chatcmpl-2", "object": "chat.completion"}]}
    assert seen(listed, "GET", "/chat/completions") == {("chatcmpl-2", "chat/completions", False)}


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ({"created_at": AT.timestamp()}, AT),
        ({"created": AT.timestamp()}, AT),
        ({"created_at": None, "created": AT.timestamp()}, AT),
        ({}, None),
        ({"created_at": "today"}, None),
        ({"created_at": AT.isoformat()}, AT),
        ({"created_at": AT.replace(tzinfo=None).isoformat()}, AT),
        ({"created_at": -1}, None),
        ({"created_at": 10**15}, None),
    ],
)
def test_when_an_object_was_made(value: dict[str, object], at: datetime | None) -> None:
    assert created_at(value) == at


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "object", "output", "audio", "created_at", "data", "conversation"]), inner
        )
    ),
    max_leaves=25,
)


@given(JSON)
def test_any_answer_can_be_read(body: object) -> None:
    for path in ("/responses", "/files", "/threads/runs"):
        read_objects(body, row("POST", path))


def picture(role: str) -> dict[str, object]:
    content = [{"type": "image_file", "image_file": {"file_id": "file-1"}}, "x", {"image_file": 7}]
    return {"id": "msg_1", "object": "thread.message", "role": role, "content": content}


@pytest.mark.parametrize(
    ("body", "files"),
    [
        ({"type": "file_path", "file_id": "file-1", "index": 0}, {"file-1"}),
        ({"type": "file_path", "file_path": {"file_id": "file-1"}}, {"file-1"}),
        ({"type": "file_path", "file_path": {"file_id": 7}}, set()),
        ({"type": "file_citation", "file_id": "file-1"}, set()),
        ({"type": "file_citation", "file_citation": {"file_id": "file-1"}}, set()),
        (picture("assistant"), {"file-1"}),
        (picture("user"), set()),
        ({"object": "thread.message", "role": "assistant", "content": "x"}, set()),
    ],
)
def test_files_that_a_tool_wrote_are_seen_and_those_it_was_given_are_not(body: object, files: set[str]) -> None:
    found = seen({"data": [{"annotations": [body]}, body]}, path="/threads/t/messages")

    assert {id_ for id_, kind, _ in found if kind == "files"} == files
