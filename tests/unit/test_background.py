import asyncio

import pytest

from gateway import background as background_module
from gateway.background import FIRST_REST_S, LONGEST_REST_S, Background, every, kept_running
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import finished


class Crashes:
    """Crashes so many times, after so long, then ends."""

    def __init__(self, times, *, clock=None, after_s=0.0):
        self.times = times
        self.clock = clock
        self.after_s = after_s
        self.runs = 0

    async def __call__(self):
        self.runs += 1
        if self.clock is not None:
            self.clock.move(self.after_s)
        if self.runs <= self.times:
            raise RuntimeError("a bug")


@pytest.fixture(autouse=True)
def log(monkeypatch):
    """What was logged."""
    lines = []

    class Log:
        def exception(self, event, **fields):
            lines.append((event, fields))

    monkeypatch.setattr(background_module, "get_logger", Log)
    return lines


async def test_job_that_ends_is_not_started_again(log):
    job = Crashes(0)

    await kept_running("job", job, FakeClock())

    assert job.runs == 1
    assert log == []


async def test_job_that_crashes_is_logged_and_started_again_after_rests_that_double(log):
    clock, job = FakeClock(), Crashes(10)

    await finished(clock, kept_running("registry", job, clock))

    assert job.runs == 11
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    event, fields = log[0]
    assert event == "task.crashed"
    assert (fields["task"], fields["error"], fields["next_start_s"]) == ("registry", "RuntimeError", FIRST_REST_S)


async def test_job_that_ran_well_for_long_is_started_again_soon():
    clock = FakeClock()
    job = Crashes(5, clock=clock, after_s=LONGEST_REST_S + 1)

    await finished(clock, kept_running("job", job, clock))

    assert clock.slept == [FIRST_REST_S] * 5


async def test_cancelled_job_is_not_started_again(log):
    clock = FakeClock()
    runs = []

    async def job():
        runs.append(1)
        await asyncio.Event().wait()

    task = asyncio.ensure_future(kept_running("job", job, clock))
    await clock.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert runs == [1]
    assert log == []


async def test_repeated_job_rests_between_its_runs():
    clock = FakeClock()
    at = []

    async def job():
        at.append(clock.now())

    task = asyncio.ensure_future(every(10.0, job, clock))
    await clock.advance(35.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert at == [1000.0, 1010.0, 1020.0, 1030.0]


async def test_what_need_not_burden_the_start_rests_first():
    clock = FakeClock()
    at = []

    async def job():
        at.append(clock.now())

    task = asyncio.ensure_future(every(10.0, job, clock, first_after_s=60.0))
    await clock.advance(75.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert at == [1060.0, 1070.0]


async def test_stop_ends_every_task_and_waits_for_it():
    clock = FakeClock()
    background, ended = Background(clock), []

    async def slow_to_end(name):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # noqa: TID251  # yields to the loop; no time passes
            ended.append(name)

    for name in ("one", "two"):
        background.start(name, lambda name=name: slow_to_end(name))
    await clock.settle()
    names = {task.get_name() for task in asyncio.all_tasks()}

    await background.stop()

    assert {"one", "two"} <= names
    assert sorted(ended) == ["one", "two"]


async def test_one_job_that_crashes_leaves_the_others_alone():
    clock = FakeClock()
    background = Background(clock)
    beats = []

    async def beat():
        beats.append(clock.now())

    background.start("bad", Crashes(10_000))
    background.start("good", lambda: every(1.0, beat, clock))
    await clock.advance(5.5)

    await background.stop()

    assert len(beats) == 6
