import pytest

from gateway.core.affinity import LONGEST_ID, Reference
from gateway.core.call import Call
from gateway.core.errors import InvalidCall
from gateway.core.ids import CallId, ModelName
from gateway.wire.endpoints import find
from gateway.wire.message_ids import (
    read_batch_models,
    read_message_ids,
    read_message_references,
    renamed_batch_models,
)
from gateway.wire.objects import read_objects
from gateway.wire.references import may_refer, references_of
from gateway.wire.refusals import MOST_REFERENCES

MESSAGES = find("POST", "/messages")
DOCUMENT = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
USE = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "f",
    "input": {"file_id": "file_x", "thread_id": "t", "audio": {"id": "a"}},
}


def turns(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def test_files_and_containers_are_named_where_they_stand():
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [DOCUMENT]}
    fields = {**turns(result, {"type": "container_upload", "file_id": "file_2"}), "container": {"id": "container_1"}}

    assert read_message_references(fields) == [
        Reference("container_1", "containers", "container", is_soft=True),
        Reference("file_2", "files", "messages[0].content[1].file_id", is_soft=True),
        Reference("file_1", "files", "messages[0].content[0].content[0].source.file_id", is_soft=True),
    ]


def test_skills_of_ones_own_are_named():
    skills = [{"type": "custom", "skill_id": "skill_1"}, {"type": "anthropic", "skill_id": "pptx"}]

    assert read_message_references({"container": {"skills": skills}}) == [
        Reference("skill_1", "skills", "container.skills[0].skill_id", is_soft=True)
    ]


def test_no_id_is_passed_over_for_being_one_too_many():
    with pytest.raises(InvalidCall) as refused:
        read_message_references(turns(*({"file_id": f"file_{number}"} for number in range(MOST_REFERENCES + 1))))

    assert refused.value.code == "too_many_references"


def test_calls_of_a_batch_name_what_they_would_name_alone():
    fields = {"requests": [{"custom_id": "a", "params": {**turns(DOCUMENT), "container": "container_1"}}]}

    assert {reference.id for reference in read_message_references(fields)} == {"file_1", "container_1"}


def test_the_models_of_a_batchs_calls_are_read():
    requests = [{"params": {"model": name}} for name in ("claude-b", "claude-a", "claude-b", 5, " ")]

    assert read_batch_models({"requests": [*requests, "x", {"params": 5}]}) == ("claude-b", "claude-a")
    assert read_batch_models({"requests": 5}) == read_batch_models({"model": "x"}) == ()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(turns(USE), id="a-tools-input"),
        pytest.param({"tools": [{"input_schema": {"properties": {"file_id": {"id": "x"}}}}]}, id="a-tools-schema"),
        pytest.param({"metadata": {"user_id": "u", "file_id": "x"}}, id="metadata"),
        pytest.param({"container": "x" * (LONGEST_ID + 1)}, id="too-long"),
        pytest.param({"container": 5, **turns({"file_id": None}, "text", [["x"]])}, id="no-ids"),
    ],
)
def test_what_is_the_callers_own_names_nothing(fields):
    assert read_message_references(fields) == []


def test_answers_make_files_and_containers_known():
    output = {"type": "code_execution_result", "content": [{"type": "code_execution_output", "file_id": "file_3"}]}
    content = [USE, {"type": "code_execution_tool_result", "content": output}]
    answer = {
        "id": "msg_1",
        "type": "message",
        "content": content,
        "container": {"id": "container_1", "expires_at": "x"},
    }

    assert read_message_ids(answer) == {"container_1": "containers", "file_3": "files"}
    assert {(seen.id, seen.kind, seen.is_created) for seen in read_objects(answer, MESSAGES)} == {
        ("container_1", "containers", False),
        ("file_3", "files", False),
    }
    assert read_message_ids({"type": "message_start", "message": answer}) == read_message_ids(answer)
    assert read_objects([answer], MESSAGES) == []


def test_a_batch_is_an_object_of_its_own():
    (made,) = read_objects({"id": "msgbatch_1", "type": "message_batch"}, find("POST", "/messages/batches"))

    assert (made.id, made.kind, made.is_created) == ("msgbatch_1", "messages/batches", True)


@pytest.mark.parametrize(
    ("body", "may"),
    [
        (b'{"messages":[{"input":{"thread_id":"t","conversation":"c","audio":{"id":"a"}}}]}', False),
        (b'{"container":"c"}', True),
        (b'{"tools":[{"type":"code_execution_20250825"}]}', True),
        (b'{"source":{"file_id":"f"}}', True),
        (rb'{"fil\u0065_id":"f"}', True),
    ],
)
def test_most_messages_are_not_looked_into(body, may):
    call = Call(id=CallId("c"), endpoint=MESSAGES, model=ModelName("claude-x"))

    assert may_refer(call, {}, body) is may


def test_the_path_of_a_batch_names_it():
    endpoint = find("GET", "/messages/batches/b_1/results")
    call = Call(id=CallId("c"), endpoint=endpoint, path="/messages/batches/b_1/results")

    named = references_of(call, {})

    assert (named.path, named.others) == (Reference("b_1", "messages/batches"), [])
    assert may_refer(call, {}, b"")


def test_the_calls_of_a_batch_go_under_other_names_and_nothing_else_does():
    body = b'{"requests":[{"params":{"model":"fast","metadata":{"model":"fast"}}},{"params":{"model":"x"}}]}'
    names = {ModelName("fast"): ModelName("claude-x")}

    assert renamed_batch_models(body, {}) is body
    assert renamed_batch_models(body, names) == body.replace(b'{"model":"fast","meta', b'{"model":"claude-x","meta')
