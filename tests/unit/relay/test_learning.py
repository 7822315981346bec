"""What is learned from the answers of calls that name or make stateful objects."""

from datetime import UTC, datetime

import pytest

from gateway.core.ids import ModelName
from tests.fakes.relay_kit import EVENT_HEADERS
from tests.fakes.scripted_upstream import Reply
from tests.fakes.stateful_kit import MADE, NOT_HERE, World

pytestmark = pytest.mark.usefixtures("ended_writers")


async def test_what_a_call_makes_is_its_callers() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", Reply(pieces=(MADE,)))

    await world.served(world.call("/files"))

    made = world.known.get("file-1")
    assert made is not None
    assert (made.owner, made.account_id) == ("ann", "a")
    assert made.created_at == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize("owner", [pytest.param(None, id="shared"), "ann"])
async def test_what_an_object_leads_to_is_whose_that_is(owner: str | None) -> None:
    world = World("a")
    world.has("batch_1", owner=owner, kind="batches")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"id":"batch_1","object":"batch","output_file_id":"file-out"}',)))

    await world.served(world.call("/batches/batch_1", "GET"))

    output = world.known.get("file-out")
    assert output is not None
    assert output.owner == owner


async def test_an_unknown_id_that_serves_is_everybodys() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", Reply(pieces=(MADE,)))

    await world.served(world.call("/files/file-1", "GET"))

    found = world.known.get("file-1")
    assert found is not None
    assert found.owner is None


async def test_an_unknown_id_that_a_field_names_is_nobodys_yet() -> None:
    """An upstream may pass over the field, and the id be made tomorrow, by somebody else."""
    world = World("a")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"id":"resp_1","object":"response"}',)))

    answer = await world.served(world.call("/responses"), b'{"file_id":"file-2","previous_response_id":"resp_2"}')

    assert answer.status == 200
    assert world.known.get("file-2") is world.known.get("resp_2") is None


async def test_an_image_teaches_nothing() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"created":1,"data":[{"id":"file-1","object":"file"}]}',)))

    await world.served(world.call("/images/edits", model=ModelName("gpt-image-1")), b'{"model":"gpt-image-1"}')

    assert world.known.get("file-1") is None


async def test_a_refused_call_teaches_nothing() -> None:
    world = World("a")
    world.kit.upstream.on("sk-a", NOT_HERE)

    answer = await world.served(world.call("/files/file-1", "GET"))

    assert (answer.status, world.known.get("file-1")) == (404, None)


async def test_what_is_deleted_is_forgotten_and_what_is_below_it_forgets_nothing() -> None:
    world = World("a")
    world.has("thread_1", kind="threads")
    world.kit.upstream.on("sk-a", Reply(pieces=(b'{"id":"x","deleted":true}',)))

    await world.served(world.call("/threads/thread_1/messages/msg_1", "DELETE"))
    assert world.known.get("thread_1") is not None
    await world.served(world.call("/threads/thread_1", "DELETE"))
    assert world.known.get("thread_1") is None


RESPONSE = b'"object":"response","created_at":1700000000,"store":true'


def events(*pairs: tuple[str, bytes]) -> bytes:
    return b"".join(
        b'event: %b\ndata: {"type":"%b",%b}\n\n' % (name.encode(), name.encode(), rest) for name, rest in pairs
    )


async def test_a_streams_ids_are_learned_from_its_first_and_last_events() -> None:
    world = World("a")
    world.kit.upstream.on(
        "sk-a",
        Reply(
            200,
            EVENT_HEADERS,
            (
                events(("response.created", b'"response":{"id":"resp_1",%b,"output":[]}' % RESPONSE)),
                events(("response.output_text.delta", b'"delta":"hi"')),
                events(
                    (
                        "response.completed",
                        b'"response":{"id":"resp_1","status":"completed",%b,"output":[{"type":"message","id":"msg_1"}]}'
                        % RESPONSE,
                    )
                ),
            ),
        ),
    )
    call = world.call("/responses", model=ModelName("gpt-4"), is_stream=True)

    answer = await world.served(call, b'{"model":"gpt-4","input":"hi","stream":true}')
    assert answer.coming is not None
    text = await world.kit.streamed(answer)

    assert b"response.completed" in text
    assert {id_: row.owner for id_, row in world.store.rows.items()} == {"resp_1": "ann", "msg_1": "ann"}


CONTAINER = (
    "response.output_item.done",
    b'"output_index":0,"item":{"id":"ci_1","type":"code_interpreter_call","container_id":"cntr_1"}',
)
ANNOTATION = (
    "response.output_text.annotation.added",
    b'"annotation":{"type":"container_file_citation","container_id":"cntr_2","file_id":"cfile_1"}',
)
WRITTEN = (
    "thread.message.completed",
    b'"id":"msg_1","object":"thread.message","role":"assistant","content":[{"type":"text","text":{"value":"x",'
    b'"annotations":[{"type":"file_path","text":"x","file_path":{"file_id":"file-made"}}]}}]',
)


@pytest.mark.parametrize(
    ("event", "id_", "kind"),
    [
        pytest.param(CONTAINER, "cntr_1", "containers", id="a container"),
        pytest.param(ANNOTATION, "cntr_2", "containers", id="a container's file"),
        pytest.param(WRITTEN, "file-made", "files", id="a file"),
    ],
)
async def test_what_a_tool_makes_is_known_before_its_stream_ends(event: tuple[str, bytes], id_: str, kind: str) -> None:
    world = World("a")
    first = events(*[("response.output_text.delta", b'"delta":"hi"')] * 6)
    pieces = (first, events(event), events(("response.output_text.delta", b'"delta":"!"')))
    world.kit.upstream.on("sk-a", Reply(200, EVENT_HEADERS, pieces))

    answer = await world.served(
        world.call("/responses", model=ModelName("gpt-4"), is_stream=True), b'{"model":"gpt-4","stream":true}'
    )
    assert answer.coming is not None
    while id_.encode() not in await world.kit.finished(answer.coming.next_piece()):
        assert id_ not in world.store.rows

    assert (world.store.rows[id_].kind, world.store.rows[id_].owner) == (kind, "ann")
    await answer.coming.close()
