"""Usage that comes later than its call is counted once, by whoever sees the end of it first."""

import asyncio
import json

import pytest

from gateway.core.call import Call
from gateway.core.ids import KeyId, ModelName
from gateway.core.outcome import Fault, FaultKind
from gateway.core.owed_usage import OwedUsage
from gateway.relay.answer import ComingBody
from gateway.telemetry.events import CallRecord
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Reply
from tests.fakes.stateful_kit import World, ended_writers

__all__ = ["ended_writers"]
pytestmark = pytest.mark.usefixtures("ended_writers")

USED = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
ASKED = b'{"model":"gpt-4","input":"hi","background":true}'
KEY = KeyId("key-1")


def response(status: str, usage: object = None, **fields: object) -> bytes:
    made = {"id": "resp_1", "object": "response", "background": True, "status": status, "usage": usage, **fields}
    return json.dumps(made).encode()


def batch(status: str, **fields: object) -> bytes:
    return json.dumps({"id": "batch_1", "object": "batch", "status": status, "model": "gpt-4", **fields}).encode()


def events(*kinds: tuple[str, bytes]) -> Reply:
    data = [b'event: %b\ndata: {"type":"%b","response":%b}\n\n' % (k.encode(), k.encode(), v) for k, v in kinds]
    return Reply(headers=EVENT_HEADERS, pieces=tuple(data))


class Scene:
    def __init__(self) -> None:
        self.world = World("a")

    async def ask(self, path: str, body: bytes | Reply, method: str = "GET", sent: bytes = b"{}") -> CallRecord:
        """The finished record of a call that is answered so."""
        reply = body if isinstance(body, Reply) else Reply(headers=JSON_HEADERS, pieces=(body,))
        self.world.kit.upstream.on("sk-a", reply)
        model = ModelName("gpt-4") if path == "/responses" else None
        call: Call = self.world.call(path, method, model=model, key_id=KEY if method == "POST" else KeyId("key-2"))
        return await self.world.ended(call, sent)

    async def begun(self) -> ComingBody:
        """A response in the background whose stream has shown its first event."""
        self.world.kit.upstream.on("sk-a", events(CREATED, DELTA, COMPLETED))
        call = self.world.call("/responses", model=ModelName("gpt-4"))
        coming = (await self.world.served(call, STREAMED)).coming
        assert coming is not None
        await self.world.kit.finished(coming.next_piece())
        return coming


def counts(record: CallRecord) -> tuple[int, int]:
    return record.input_tokens, record.output_tokens


async def test_a_response_in_the_background_is_counted_when_it_is_read_as_over_and_once() -> None:
    scene = Scene()

    made = await scene.ask("/responses", response("queued"), "POST", ASKED)
    waiting = await scene.ask("/responses/resp_1", response("in_progress"))
    done = await scene.ask("/responses/resp_1", response("completed", USED))
    again = await scene.ask("/responses/resp_1", response("completed", USED))

    assert [counts(one) for one in (made, waiting, done, again)] == [(0, 0), (0, 0), (5, 3), (0, 0)]
    assert done.usage_of == OwedUsage("resp_1", "gpt-4", KEY)
    assert (done.client_key_id, again.usage_of) == ("key-2", made.usage_of)


async def test_what_was_told_with_its_call_is_not_counted_again() -> None:
    scene = Scene()
    sync = response("completed", USED, background=False)

    made = await scene.ask("/responses", sync, "POST", b'{"model":"gpt-4","input":"hi"}')
    read = await scene.ask("/responses/resp_1", sync)

    assert (counts(made), counts(read), scene.world.owed.asked) == ((5, 3), (0, 0), 0)


async def test_a_vendor_that_tells_at_once_is_counted_at_once() -> None:
    scene = Scene()

    made = await scene.ask("/responses", response("in_progress", USED), "POST", ASKED)
    read = await scene.ask("/responses/resp_1", response("completed", USED))

    assert (counts(made), counts(read)) == ((5, 3), (0, 0))


async def test_one_that_failed_owes_nothing_any_more() -> None:
    scene = Scene()

    await scene.ask("/responses", response("queued"), "POST", ASKED)
    failed = await scene.ask("/responses/resp_1/cancel", response("cancelled"), "POST")

    assert (counts(failed), scene.world.owed.rows) == ((0, 0), {})


STREAMED = ASKED.replace(b"}", b',"stream":true}')
CREATED = ("response.created", response("queued"))
DELTA = ("response.output_text.delta", b'{},"delta":"x"')
COMPLETED = ("response.completed", response("completed", USED))


async def test_its_own_stream_counts_it_and_nobody_else_does() -> None:
    scene = Scene()

    streamed = await scene.ask("/responses", events(CREATED, DELTA, COMPLETED), "POST", STREAMED)
    read = await scene.ask("/responses/resp_1", response("completed", USED))

    assert (counts(streamed), counts(read), streamed.usage_of) == ((5, 3), (0, 0), read.usage_of)


async def test_a_stream_that_is_left_is_counted_by_who_takes_it_up_again() -> None:
    scene = Scene()
    world = scene.world
    await (await scene.begun()).close()

    resumed = await scene.ask("/responses/resp_1", events(DELTA, COMPLETED))

    assert counts(world.kit.meter.calls[0]) == (0, 0)
    assert (counts(resumed), resumed.usage_of) == ((5, 3), OwedUsage("resp_1", "gpt-4"))


async def test_who_was_quicker_than_the_stream_has_counted_it() -> None:
    scene = Scene()
    world = scene.world
    coming = await scene.begun()
    world.owed.rows.clear()
    while await world.kit.finished(coming.next_piece()):
        pass
    await coming.close()

    assert counts(world.kit.meter.calls[-1]) == (0, 0)


async def test_a_batch_is_counted_by_what_it_tells() -> None:
    scene = Scene()

    await scene.ask("/batches", batch("validating"), "POST", b'{"input_file_id":"file-1"}')
    running = await scene.ask("/batches/batch_1", batch("in_progress", usage={"input_tokens": 0}))
    done = await scene.ask("/batches/batch_1", batch("completed", usage=USED, output_file_id="file-o"))
    file = await scene.ask("/files/file-o/content", LINES)

    assert [counts(one) for one in (running, done, file)] == [(0, 0), (5, 3), (0, 0)]
    assert done.usage_of == OwedUsage("batch_1", "gpt-4", KEY)


LINES = Reply(
    headers=((b"content-type", b"application/octet-stream"),),
    pieces=(b'{"response":{"body":{"usage":{"prompt_tokens":2,"completion_tokens":1}}}}\n' * 3,),
)


async def test_one_that_does_not_tell_is_counted_by_its_output() -> None:
    scene = Scene()

    await scene.ask("/batches", batch("validating"), "POST", b'{"input_file_id":"file-1"}')
    done = await scene.ask("/batches/batch_1", batch("completed", output_file_id="file-o"))
    whole = await scene.ask("/files/file-o/content", LINES)
    again = await scene.ask("/files/file-o/content", LINES)

    assert [counts(one) for one in (done, whole, again)] == [(0, 0), (6, 3), (0, 0)]
    assert whole.usage_of == OwedUsage("file-o", "gpt-4", KEY)


PART = Reply(status=206, headers=LINES.headers, pieces=LINES.pieces)
CUT = Reply(headers=LINES.headers, pieces=(*LINES.pieces, Fault(FaultKind.RESET, "reset")))


@pytest.mark.parametrize("reply", [PART, CUT], ids=["a range", "cut"])
async def test_a_part_of_the_output_counts_nothing(reply: Reply) -> None:
    scene = Scene()
    scene.world.owed.rows["file-o"] = OwedUsage("file-o")

    record = await scene.ask("/files/file-o/content", reply)

    assert (counts(record), list(scene.world.owed.rows)) == ((0, 0), ["file-o"])


async def test_a_caller_that_has_all_and_hangs_up_changes_nothing() -> None:
    scene = Scene()
    world = scene.world
    world.owed.rows["file-o"] = OwedUsage("file-o")
    world.owed.held = asyncio.Event()
    world.kit.upstream.on("sk-a", LINES)
    answer = await world.served(world.call("/files/file-o/content", "GET"))
    assert answer.coming is not None
    await world.kit.finished(answer.coming.next_piece())

    end = asyncio.create_task(answer.coming.next_piece())
    while world.owed.asked < 2:
        await world.settled()
    end.cancel()
    await world.settled()
    assert not end.done()
    world.owed.held.set()
    await asyncio.wait({end})
    await answer.coming.close()

    assert end.cancelled()
    assert counts(world.kit.meter.calls[-1]) == (6, 3)
