"""Usage of assistants' runs, of eval runs and of fine-tuning jobs is counted once, by who sees their end first."""

import json

import pytest

from gateway.core.call import Call, Usage
from gateway.core.ids import KeyId, ModelName
from gateway.core.owed_usage import OwedUsage
from gateway.telemetry.events import CallRecord
from tests.fakes.scripted_upstream import EVENT_HEADERS, JSON_HEADERS, Reply
from tests.fakes.stateful_kit import World, ended_writers

__all__ = ["ended_writers"]
pytestmark = pytest.mark.usefixtures("ended_writers")

USED = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
KEY = KeyId("key-1")
OTHER = KeyId("key-2")
RUNS = "/threads/thread_1/runs"
RUN = f"{RUNS}/run_1"


def run(status: str, usage: object = None) -> bytes:
    made = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": status, "model": "gpt-4o"}
    return json.dumps(made | {"usage": usage}).encode()


def step(usage: object) -> bytes:
    return json.dumps({"id": "step_1", "object": "thread.run.step", "status": "completed", "usage": usage}).encode()


def events(*kinds: tuple[str, bytes]) -> Reply:
    data = [b"event: %b\ndata: %b\n\n" % (kind.encode(), body) for kind, body in kinds]
    return Reply(headers=EVENT_HEADERS, pieces=(*data, b"event: done\ndata: [DONE]\n\n"))


CREATED = ("thread.run.created", run("queued"))
STEP = ("thread.run.step.completed", step(USED))
NEEDED = ("thread.run.requires_action", run("requires_action"))
COMPLETED = ("thread.run.completed", run("completed", USED))


class Scene:
    def __init__(self) -> None:
        self.world = World("a")
        self.last: CallRecord

    async def ask(  # a call, and what it is answered, by name
        self, path: str, body: bytes | Reply, method: str = "GET", sent: bytes = b"{}", model: str | None = None
    ) -> tuple[int, int]:
        """Tokens that the call was finished with."""
        reply = body if isinstance(body, Reply) else Reply(headers=JSON_HEADERS, pieces=(body,))
        self.world.kit.upstream.on("sk-a", reply)
        key, named = (KEY if method == "POST" else OTHER), None if model is None else ModelName(model)
        call: Call = self.world.call(path, method, model=named, key_id=key)
        self.last = await self.world.ended(call, sent)
        return self.last.input_tokens, self.last.output_tokens


@pytest.mark.parametrize("path", [RUNS, "/threads/runs"])
@pytest.mark.parametrize("end", ["completed", "incomplete", "failed", "cancelled", "expired"])
async def test_a_run_is_counted_when_it_is_read_as_over_and_once(path: str, end: str) -> None:
    scene = Scene()

    made = await scene.ask(path, run("queued"), "POST", b'{"assistant_id":"asst_1"}')
    waiting = [await scene.ask(RUN, run(status)) for status in ("in_progress", "requires_action", "cancelling")]
    done = await scene.ask(RUN, run(end, USED))
    usage_of = scene.last.usage_of
    again = await scene.ask(RUN, run(end, USED))

    assert [made, *waiting, done, again] == [(0, 0)] * 4 + [(5, 3), (0, 0)]
    assert usage_of == OwedUsage("run_1", "gpt-4o", KEY)


async def test_a_run_whose_stream_ends_it_is_counted_by_its_stream_and_its_steps_are_parts_of_it() -> None:
    scene = Scene()

    streamed = await scene.ask(RUNS, events(CREATED, STEP, COMPLETED), "POST", b'{"stream":true}')
    read = await scene.ask(RUN, run("completed", USED))

    assert (streamed, read) == ((5, 3), (0, 0))


async def test_a_run_of_several_streams_is_counted_by_the_last_of_them() -> None:
    scene = Scene()

    first = await scene.ask(RUNS, events(CREATED, STEP, NEEDED), "POST", b'{"stream":true}')
    outputs = events(STEP, COMPLETED)
    last = await scene.ask(f"{RUN}/submit_tool_outputs", outputs, "POST", b'{"stream":true,"tool_outputs":[]}')

    assert (first, last) == ((0, 0), (5, 3))
    assert scene.last.usage_of == OwedUsage("run_1", "gpt-4o", KEY)


async def test_who_was_quicker_than_its_stream_has_counted_it() -> None:
    scene = Scene()
    await scene.ask(RUNS, run("queued"), "POST")
    polled = await scene.ask(RUN, run("completed", USED))

    outputs = events(STEP, COMPLETED)
    streamed = await scene.ask(f"{RUN}/submit_tool_outputs", outputs, "POST", b'{"stream":true,"tool_outputs":[]}')

    assert (polled, streamed) == ((5, 3), (0, 0))


async def test_a_run_that_is_over_at_once_is_counted_at_once() -> None:
    scene = Scene()

    made = await scene.ask(RUNS, run("completed", USED), "POST")
    read = await scene.ask(RUN, run("completed", USED))

    assert (made, read, scene.world.owed.rows) == ((5, 3), (0, 0), {})


async def test_a_list_and_the_steps_of_runs_count_nothing() -> None:
    scene = Scene()
    await scene.ask(RUNS, run("queued"), "POST")

    listed = await scene.ask(RUNS, b'{"object":"list","data":[%b]}' % run("completed", USED))
    steps = await scene.ask(f"{RUN}/steps/step_1", step(USED))

    assert (listed, steps, list(scene.world.owed.rows)) == ((0, 0), (0, 0), ["run_1"])


def eval_run(status: str, *models: dict[str, object]) -> bytes:
    return json.dumps({"id": "evalrun_1", "object": "eval.run", "status": status, "per_model_usage": models}).encode()


async def test_an_evals_run_is_counted_over_its_models_and_once() -> None:
    scene = Scene()
    asked = {"model_name": "gpt-4o", "invocation_count": 2, **USED, "cached_tokens": 4}
    grader = {"model_name": "o3", "invocation_count": 2, "prompt_tokens": 10, "completion_tokens": 1}
    source = b'{"data_source":{"type":"completions","model":"gpt-4o"}}'

    made = await scene.ask("/evals/eval_1/runs", eval_run("queued"), "POST", source, "gpt-4o")
    running = await scene.ask("/evals/eval_1/runs/evalrun_1", eval_run("in_progress", asked))
    done = await scene.ask("/evals/eval_1/runs/evalrun_1", eval_run("completed", asked, grader))
    cached, usage_of = scene.last.cached_tokens, scene.last.usage_of
    again = await scene.ask("/evals/eval_1/runs/evalrun_1", eval_run("completed", asked, grader))

    assert [made, running, done, again] == [(0, 0), (0, 0), (15, 4), (0, 0)]
    assert (cached, usage_of) == (4, OwedUsage("evalrun_1", "gpt-4o", KEY))


async def test_an_evals_run_that_is_cancelled_is_counted_by_that() -> None:
    scene = Scene()
    await scene.ask("/evals/eval_1/runs", eval_run("queued"), "POST")

    ended = await scene.ask("/evals/eval_1/runs/evalrun_1", eval_run("canceled", {"model_name": "m", **USED}), "POST")

    assert ended == (5, 3)


async def test_a_fine_tuning_job_says_what_it_was_trained_with() -> None:
    scene = Scene()
    job = {"id": "ftjob-1", "object": "fine_tuning.job", "model": "gpt-4o", "trained_tokens": None}
    succeeded = job | {"status": "succeeded", "trained_tokens": 1234}

    await scene.ask("/fine_tuning/jobs", json.dumps(job | {"status": "queued"}).encode(), "POST", model="gpt-4o")
    usages = []
    for _ in range(2):
        await scene.ask("/fine_tuning/jobs/ftjob-1", json.dumps(succeeded).encode())
        usages.append(scene.last.usage)

    assert usages[0] == Usage(trained_tokens=1234)
    assert not usages[1]
