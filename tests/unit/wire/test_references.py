import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.affinity import Reference, encrypted_id
from gateway.core.call import Call
from gateway.core.errors import InvalidCall
from gateway.core.ids import CallId, ModelName
from gateway.wire.endpoints import ENDPOINTS, find, other
from gateway.wire.references import (
    kind_of_path,
    may_refer,
    path_reference,
    read_form_references,
    read_query_references,
    read_references,
    references_of,
    unknown_path_references,
)
from gateway.wire.refusals import MOST_REFERENCES

CHAT = find("POST", "/chat/completions")
RESPONSES = find("POST", "/responses")
assert CHAT is not None
assert RESPONSES is not None


def call(path: str = "/chat/completions", method: str = "POST", **fields: object) -> Call:
    return Call(id=CallId("c"), endpoint=find(method, path) or other(method), path=path, **fields)


def found(body: object) -> list[tuple[str, str, str | None, bool]]:
    return [(one.id, one.kind, one.param, one.is_soft) for one in read_references(body)]


PLACES = [
    ({"previous_response_id": "resp_1"}, ("resp_1", "responses", "previous_response_id", False)),
    ({"conversation": "conv_1"}, ("conv_1", "conversations", "conversation", False)),
    ({"conversation": {"id": "conv_1"}}, ("conv_1", "conversations", "conversation.id", False)),
    ({"input_file_id": "file-1"}, ("file-1", "files", "input_file_id", False)),
    ({"training_file": "file-1"}, ("file-1", "files", "training_file", False)),
    ({"validation_file": "file-1"}, ("file-1", "files", "validation_file", False)),
    ({"file_ids": ["file-1"]}, ("file-1", "files", "file_ids[0]", False)),
    ({"assistant_id": "asst_1"}, ("asst_1", "assistants", "assistant_id", False)),
    (
        {"messages": [{"content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        ("file-1", "files", "messages[0].content[0].file.file_id", False),
    ),
    ({"messages": [{"audio": {"id": "audio_1"}}]}, ("audio_1", "audio", "messages[0].audio.id", True)),
    (
        {"input": [{"content": [{"type": "input_file", "file_id": "file-1"}]}]},
        ("file-1", "files", "input[0].content[0].file_id", False),
    ),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, ("msg_1", "items", "input[0].id", True)),
    ({"input": [{"id": "msg_1"}]}, ("msg_1", "items", "input[0].id", True)),
    ({"input": [{"type": "reasoning", "id": "rs_1"}]}, ("rs_1", "items", "input[0].id", True)),
    (
        {"input": [{"type": "reasoning", "encrypted_content": "gAAA"}]},
        (encrypted_id("gAAA"), "encrypted_content", "input[0].encrypted_content", True),
    ),
    (
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        ("vs_1", "vector_stores", "tools[0].vector_store_ids[0]", False),
    ),
    ({"tools": [{"container": "cntr_1"}]}, ("cntr_1", "containers", "tools[0].container", False)),
    (
        {"tools": [{"container": {"type": "auto", "file_ids": ["file-1"]}}]},
        ("file-1", "files", "tools[0].container.file_ids[0]", False),
    ),
    (
        {"tools": [{"input_image_mask": {"file_id": "file-1"}}]},
        ("file-1", "files", "tools[0].input_image_mask.file_id", False),
    ),
    (
        {"tools": [{"environment": {"skills": [{"skill_id": "skill_1"}]}}]},
        ("skill_1", "skills", "tools[0].environment.skills[0].skill_id", False),
    ),
    (
        {"tool_resources": {"code_interpreter": {"file_ids": ["file-1"]}}},
        ("file-1", "files", "tool_resources.code_interpreter.file_ids[0]", False),
    ),
    (
        {"thread": {"messages": [{"attachments": [{"file_id": "file-1"}]}]}},
        ("file-1", "files", "thread.messages[0].attachments[0].file_id", False),
    ),
    (
        {"data_source": {"source": {"type": "file_id", "id": "file-1"}}},
        ("file-1", "files", "data_source.source.id", False),
    ),
    ({"data_source": {"model": "ft:gpt-4:o::1"}}, ("ft:gpt-4:o::1", "models", "data_source.model", True)),
    ({"images": [{"file_id": "file-1"}]}, ("file-1", "files", "images[0].file_id", False)),
    ({"input_reference": {"file_id": "file-1"}}, ("file-1", "files", "input_reference.file_id", False)),
    ({"video": {"id": "video_1"}}, ("video_1", "videos", "video.id", False)),
    ({"voice": {"id": "voice_1"}}, ("voice_1", "audio/voices", "voice.id", True)),
    ({"consent": "cons_1"}, ("cons_1", "audio/voice_consents", "consent", True)),
    ({"prompt": {"id": "pmpt_1", "variables": {}}}, ("pmpt_1", "prompts", "prompt.id", True)),
    ({"session": {"prompt": {"id": "pmpt_1"}}}, ("pmpt_1", "prompts", "session.prompt.id", True)),
    ({"workflow": {"id": "wf_1"}}, ("wf_1", "workflows", "workflow.id", True)),
    ({"vault_ids": ["vault_1"]}, ("vault_1", "vaults", "vault_ids[0]", True)),
]


@pytest.mark.parametrize(("body", "reference"), PLACES, ids=[f"{one[1][2]}" for one in PLACES])
def test_every_place_that_can_carry_an_id_is_read(body: object, reference: tuple[str, str, str, bool]) -> None:
    assert reference in found(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": {"file_id": "file-1", "previous_response_id": "x"}},
        {"tools": [{"type": "function", "parameters": {"properties": {"file_id": {"type": "string"}}}}]},
        {"text": {"format": {"schema": {"file_id": "x"}}}},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        {"tools": [{"container": "auto"}]},
        {"previous_response_id": None, "conversation": None, "file_ids": None, "container": 7},
        {"file_ids": [1, None, {}]},
        {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "file-1"}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"arguments": "{}"}}]}]},
        {"input": [{"type": "message", "id": "msg_1", "content": "x"}]},
        {"audio": {"voice": "alloy", "format": "wav"}, "modalities": ["text", "audio"]},
        {"model": "gpt-4", "prompt": "pmpt_1", "workflow": "wf_1"},
        {"file_id": "x" * 600},
        {"file_id": ""},
    ],
)
def test_what_is_no_id_is_none(body: object) -> None:
    assert found(body) == []


def test_an_id_is_named_once_where_it_stands_first() -> None:
    both = found({"file_ids": ["file-1", "file-2", "file-1"], "training_file": "file-1"})

    assert [(one[0], one[2]) for one in both] == [("file-1", "file_ids[0]"), ("file-2", "file_ids[1]")]


def test_no_id_is_passed_over_for_being_one_too_many() -> None:
    """Behind a thousand of one's own, somebody else's would have gone unseen."""
    assert len(found({"file_ids": [f"file-{number}" for number in range(MOST_REFERENCES)]})) == MOST_REFERENCES
    for body in (
        {"file_ids": [f"file-{number}" for number in range(MOST_REFERENCES + 1)]},
        {"input": [{"file_id": f"file-{number}"} for number in range(MOST_REFERENCES + 1)]},
    ):
        with pytest.raises(InvalidCall) as refused:
            read_references(body)
        assert refused.value.code == "too_many_references"


def test_a_body_that_names_two_where_one_stands_is_refused() -> None:
    """Which of them is read differs from server to server: the other one may be somebody else's."""
    body = b'{"model": "m", "previous_response_id": "resp_1", "previous_response_id": null}'

    with pytest.raises(InvalidCall) as refused:
        references_of(call("/responses"), msgspec.json.decode(body), body=body)

    assert refused.value.code == "duplicate_member"


def test_calls_of_functions_are_no_objects() -> None:
    assert found({"input": [{"type": "function_call_output", "call_id": "call_1", "output": "x"}]}) == []


def test_ids_in_lists_may_be_objects() -> None:
    assert [one[:3] for one in found({"file_ids": [{"id": "file-1"}]})] == [("file-1", "files", "file_ids[0]")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["file_id", "input", "id", "type", "conversation", "audio", "model"]), inner)
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(["input", "file_ids", "tools", "voice", "metadata"]), JSON))
def test_any_body_can_be_read(body: dict[str, object]) -> None:
    assert len({one.id for one in read_references(body)}) == len(read_references(body))


@pytest.mark.parametrize("type_", [{}, [], 7, None])
def test_an_item_whose_type_is_none_is_no_trouble(type_: object) -> None:
    read_references({"input": [{"id": "a", "type": type_}]})


def test_of_a_query_without_end_the_beginning_is_read() -> None:
    query = b"file_id=file-1&" + b"file_id=x&" * 5_000

    assert [one.id for one in read_query_references(query)] == ["file-1", "x"]


@pytest.mark.parametrize(
    ("form", "kinds"),
    [
        ([("file_id", "file-1"), ("purpose", "batch")], ["files"]),
        ([("video[id]", "video_1"), ("prompt", "x")], ["videos"]),
        ([("input_reference[file_id]", "file-1")], ["files"]),
        ([("file_ids[]", "file-1"), ("file_ids[0]", "file-2")], ["files", "files"]),
        ([("consent", "cons_1")], ["audio/voice_consents"]),
        ([("model", "ft:gpt-4:o::1")], ["models"]),
        ([("model", "whisper-1"), ("metadata[a]", "b"), ("file", "")], []),
        ([("session", '{"tools": [{"vector_store_ids": ["vs_1"]}]}'), ("prompt", "{x")], ["vector_stores"]),
        ([("session", ' {"prompt": {"id": "pmpt_1"}}'), ("x", '\ufeff{"file_id": "file-1"}')], ["prompts", "files"]),
        ([("file_ids", '["file-1", "file-2"]'), ("x", '[{"file_id": "file-3"}]')], ["files", "files", "files"]),
    ],
)
def test_forms_name_ids_too(form: list[tuple[str, str]], kinds: list[str]) -> None:
    assert [one.kind for one in read_form_references(form)] == kinds


def test_queries_name_ids_too() -> None:
    assert read_query_references(b"call_id=rtc_1&x=y") == [
        Reference("rtc_1", "realtime/calls", "call_id", is_soft=True)
    ]
    assert read_query_references(b"limit=3&order=asc") == []
    for query in (b"f%69le_%69d=file-1", b"x=y;file_id=file-1", b"file%5Fid=file%2D1"):
        assert [one.id for one in read_query_references(query)] == ["file-1"]


@pytest.mark.parametrize(
    ("method", "path", "reference"),
    [
        ("GET", "/files/file-1", ("file-1", "files", False)),
        ("GET", "/files/file-1/content", ("file-1", "files", False)),
        ("GET", "/threads/thread_1/runs/run_1", ("thread_1", "threads", False)),
        ("GET", "/vector_stores/vs_1/files/file-1", ("vs_1", "vector_stores", False)),
        ("GET", "/fine_tuning/jobs/ftjob-1/events", ("ftjob-1", "fine_tuning/jobs", False)),
        ("DELETE", "/models/ft:gpt-4:o::1", ("ft:gpt-4:o::1", "models", True)),
        ("GET", "/fine_tuning/checkpoints/ft:a%3Ab/permissions", ("ft:a:b", "models", True)),
        ("POST", "/uploads/upload_1/parts", ("upload_1", "uploads", True)),
        ("GET", "/chat/completions/chatcmpl-1", ("chatcmpl-1", "chat/completions", False)),
    ],
)
def test_the_first_id_of_a_path_decides(method: str, path: str, reference: tuple[str, str, bool]) -> None:
    endpoint = find(method, path)
    assert endpoint is not None

    read = path_reference(endpoint, path)

    assert read is not None
    assert (read.id, read.kind, read.is_soft, read.param) == (*reference, None)


def test_every_row_with_an_id_has_a_kind() -> None:
    rows = [row for row in ENDPOINTS if "{" in row.path]

    assert len(rows) > 100
    assert all(kind_of_path(row.path) for row in rows)
    assert kind_of_path("/files") is None


def test_unknown_paths_may_name_anything() -> None:
    assert [(one.id, one.kind) for one in unknown_path_references("/foo/foo_1/bar")] == [
        ("foo_1", "foo"),
        ("bar", "foo/foo_1"),
    ]
    assert all(one.is_soft for one in unknown_path_references("/a/b/c"))
    assert [one.id for one in unknown_path_references("/a/b/c/d/e/f/g/h/i/j/file-1")][-1] == "file-1"
    assert {one.id for one in unknown_path_references("/a/file-1;x/file-2%2Fcontent/%20file-3")} >= {
        "file-1",
        "file-2",
        "file-3",
    }


@pytest.mark.parametrize("path", ["/files/file-1%2Fcontent", "/files/file-1;x", "/files/file-1%252Fcontent"])
def test_an_id_whose_end_another_server_sees_elsewhere_is_named(path: str) -> None:
    assert "file-1" in {one.id for one in references_of(call(path, "GET"), {}).others}


def test_what_has_an_owner_of_its_own_below_another_object_is_named_too() -> None:
    named = references_of(call("/vector_stores/vs_1/files/file-1", "GET"), {})

    assert [(one.id, one.kind, one.is_soft, one.param) for one in named.others] == [("file-1", "files", True, None)]
    assert references_of(call("/threads/thread_1/runs/run_1", "GET"), {}).others == []


# -- the chat's short way ----------------------------------------------------------------------------------------


def chat(*messages: object, **fields: object) -> dict[str, object]:
    return {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}, *messages], **fields}


@pytest.mark.parametrize(
    "fields",
    [
        chat(),
        chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}], stream=True, user="u"),
        chat(
            {"role": "user", "content": [{"type": "text", "text": "file_id"}, {"type": "image_url", "image_url": {}}]}
        ),
        chat({"role": "tool", "tool_call_id": "call_1", "content": "audio"}),
        chat(store=False, audio=None),
        chat(7, None, ["x"], {"content": [1, "text", None]}),
        {"model": "gpt-4"},
        {"messages": {"audio": 1}},
    ],
)
def test_the_usual_chat_names_nothing(fields: dict[str, object]) -> None:
    assert not may_refer(call(), fields, b"")


@pytest.mark.parametrize(
    "fields",
    [
        chat({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}),
        chat({"role": "user", "content": [{"type": "image_file", "file_id": "file-1"}]}),
        chat({"role": "assistant", "audio": {"id": "audio_1"}}),
        chat(store=True),
        chat(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}),
    ],
)
def test_a_chat_that_may_name_something_is_looked_into(fields: dict[str, object]) -> None:
    assert may_refer(call(), fields, b"")


def test_a_fine_tuned_model_is_named_wherever_models_are() -> None:
    tuned = ModelName("ft:gpt-4:o::1")

    for one in (call(model=tuned), call("/embeddings", model=tuned)):
        assert may_refer(one, {}, b"")
        assert [other.id for other in references_of(one, {}).others] == [tuned]
    assert not may_refer(call("/embeddings", model=ModelName("text-embedding-3-small")), {"file_id": "file-1"}, b"")
    assert may_refer(call("/responses"), {}, b"")


def test_references_of_a_call_are_those_of_all_its_parts() -> None:
    named = references_of(
        call("/videos/video_1/remix", query=b"file_id=file-3"), {"file_id": "file-1"}, [("file_id", "file-2")]
    )

    assert named.path == Reference("video_1", "videos")
    assert [one.id for one in named.others] == ["file-1", "file-2", "file-3"]
    assert references_of(call(), {"store": True}).keeps_chats
    assert not references_of(call("/responses"), {"store": True}).keeps_chats
    assert references_of(call("/files", "GET", query=b"after=file-1"), {}).others == []
    assert [one.id for one in references_of(call("/foo/foo_1", "GET"), {}).others] == ["foo_1"]
