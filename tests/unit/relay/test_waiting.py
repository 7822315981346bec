import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import Instant
from gateway.relay.waiting import Waiting
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import finished

KEY = ("", "gpt-4", "chat.completions")
OTHER = ("", "gpt-5", "chat.completions")


def waiting_room(clock=None, *, max_calls=100, max_bytes=10_000):
    return Waiting(clock=clock or FakeClock(), max_calls=max_calls, max_bytes=max_bytes)


def until(clock, seconds):
    return Instant(clock.now() + seconds)


def test_first_to_come_is_the_head_and_the_next_follows():
    room = waiting_room()
    first, second = room.join(KEY, 10), room.join(KEY, 20)

    assert room.is_head(first)
    assert not room.is_head(second)
    room.leave(first)
    assert room.is_head(second)


def test_call_that_had_its_turn_stands_at_the_head_again():
    room = waiting_room()
    room.join(KEY, 1)

    back = room.join(KEY, 1, is_first=True)

    assert room.is_head(back)


def test_lines_of_different_pools_do_not_meet():
    room = waiting_room()
    first, other = room.join(KEY, 1), room.join(OTHER, 1)

    assert room.is_head(first)
    assert room.is_head(other)
    room.leave(first)
    assert not room.is_busy(KEY)
    assert room.is_busy(OTHER)


def test_room_is_bounded_by_calls_and_by_bytes():
    by_calls, by_bytes = waiting_room(max_calls=2), waiting_room(max_bytes=100)
    kept = by_calls.join(KEY, 1)
    by_calls.join(OTHER, 1)
    by_bytes.join(KEY, 60)

    assert by_calls.join(KEY, 1) is None
    assert by_bytes.join(KEY, 41) is None
    assert by_bytes.join(KEY, 40) is not None
    by_calls.leave(kept)
    assert by_calls.join(KEY, 1) is not None


async def test_ring_ends_a_wait_at_once():
    clock = FakeClock()
    ticket = waiting_room(clock).join(KEY, 1)
    wait = asyncio.ensure_future(ticket.wait(until(clock, 10)))
    await clock.settle()

    ticket.ring()
    await wait

    assert clock.now() == 1000.0
    assert clock.sleepers == 0


async def test_wait_ends_at_its_time_without_a_ring():
    clock = FakeClock()
    ticket = waiting_room(clock).join(KEY, 1)

    await finished(clock, ticket.wait(until(clock, 10)))

    assert clock.now() == 1010.0


async def test_ring_before_the_wait_is_not_lost_and_counts_once():
    clock = FakeClock()
    ticket = waiting_room(clock).join(KEY, 1)
    ticket.ring()

    await finished(clock, ticket.wait(until(clock, 10)))
    at_once = clock.now()
    await finished(clock, ticket.wait(until(clock, 10)))

    assert (at_once, clock.now()) == (1000.0, 1010.0)


async def test_past_time_is_no_wait():
    clock = FakeClock()

    await waiting_room(clock).join(KEY, 1).wait(until(clock, -5))

    assert clock.slept == []


async def test_who_leaves_wakes_the_next():
    clock = FakeClock()
    room = waiting_room(clock)
    first, second = room.join(KEY, 1), room.join(KEY, 1)
    wait = asyncio.ensure_future(second.wait(until(clock, 100)))
    await clock.settle()

    room.leave(first)
    await wait

    assert clock.now() == 1000.0


async def test_good_news_wake_only_the_heads():
    clock = FakeClock()
    room = waiting_room(clock)
    waits = [asyncio.ensure_future(room.join(key, 1).wait(until(clock, 100))) for key in (KEY, KEY, OTHER)]
    await clock.settle()

    room.ring_heads()
    await clock.settle()

    assert [wait.done() for wait in waits] == [True, False, True]
    waits[1].cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_cancelled_wait_leaves_no_sleeper_behind():
    clock = FakeClock()
    wait = asyncio.ensure_future(waiting_room(clock).join(KEY, 1).wait(until(clock, 100)))
    await clock.settle()

    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    await clock.settle()

    assert clock.sleepers == 0


@given(st.lists(st.tuples(st.sampled_from(["join", "first", "leave"]), st.integers(0, 40), st.booleans()), max_size=60))
def test_counts_are_those_of_the_lines_whatever_comes_and_goes(steps):
    room = waiting_room(max_calls=12, max_bytes=200)
    lines = {KEY: [], OTHER: []}

    for what, size, is_other in steps:
        key = OTHER if is_other else KEY
        line = lines[key]
        if what == "leave":
            if line:
                room.leave(line.pop(size % len(line)))
            continue
        ticket = room.join(key, size, is_first=what == "first")
        if ticket is not None:
            line.insert(0 if what == "first" else len(line), ticket)

        held = [ticket for line in lines.values() for ticket in line]
        assert room.calls == len(held) <= 12
        assert room.bytes == sum(ticket.body_bytes for ticket in held) <= 200
        for name, tickets in lines.items():
            assert room.is_busy(name) == bool(tickets)
            assert all(room.is_head(ticket) == (place == 0) for place, ticket in enumerate(tickets))
