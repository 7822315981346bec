import asyncio

import pytest

from gateway.relay.gate import Gate
from tests.fakes.clock import FakeClock


async def start(gate, ended):
    """A call that stays until `ended` is set."""
    task = gate.enter()
    try:
        await ended.wait()
    finally:
        gate.leave(task)


async def running(gate, count):
    ended = asyncio.Event()
    calls = [asyncio.ensure_future(start(gate, ended)) for _ in range(count)]
    await FakeClock().settle()
    assert gate.calls == count
    return ended, calls


async def test_gate_counts_the_calls_inside():
    gate = Gate()
    ended, calls = await running(gate, 3)
    inside = gate.calls

    ended.set()
    await asyncio.gather(*calls)

    assert (inside, gate.calls) == (3, 0)
    assert not gate.is_draining


async def test_drain_of_an_empty_worker_is_over_at_once():
    gate = Gate()

    assert await gate.drain(1000.0) == 0
    assert gate.is_draining


async def test_drain_waits_for_the_last_call():
    gate = Gate()
    ended, calls = await running(gate, 2)
    drain = asyncio.ensure_future(gate.drain(1000.0))
    await FakeClock().settle()
    before = drain.done()

    ended.set()
    cut = await drain

    assert (before, cut) == (False, 0)
    await asyncio.gather(*calls)


async def test_drain_that_runs_out_of_time_cancels_the_rest():
    gate = Gate()
    _, calls = await running(gate, 3)

    cut = await gate.drain(0.0)

    assert cut == 3
    assert all(call.cancelled() for call in calls)
    assert gate.calls == 0


async def test_last_call_that_leaves_as_the_time_runs_out_is_no_trouble():
    gate = Gate()
    ended, calls = await running(gate, 1)
    ended.set()

    cut = await gate.drain(0.0)

    assert cut == 0
    await asyncio.gather(*calls)


async def test_call_that_ends_by_an_error_has_left():
    gate = Gate()

    async def fails():
        task = gate.enter()
        try:
            raise ValueError("a bug")
        finally:
            gate.leave(task)

    with pytest.raises(ValueError, match="a bug"):
        await asyncio.ensure_future(fails())

    assert gate.calls == 0
