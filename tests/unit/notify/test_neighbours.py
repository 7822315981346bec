"""What workers of one service tell each other, over real sockets."""

import asyncio
import contextlib
import os

import pytest

from gateway.core.outcome import Scope, ScopeKind
from gateway.core.uses import Totals, Use
from gateway.notify.neighbours import Neighbours, open_lines
from tests.fakes.gateway_fixture import until
from tests.waits import PATIENCE_S


def use(requests, holder="a"):
    return Use(Scope(ScopeKind.HOLDER_MODEL, holder, "gpt-4"), Totals(requests))


@pytest.fixture
def service():
    """The lines of three workers, as their parent keeps them."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(line) for line in open_lines(3)]


@contextlib.asynccontextmanager
async def worker(service, index):
    """A process of that place; what it heard, as it comes."""
    heard = asyncio.Queue()
    neighbours = Neighbours(
        os.dup(service[index].hears.fileno()),
        [os.dup(line.tells.fileno()) for number, line in enumerate(service) if number != index],
        sender=f"s-{index}",
        hear=lambda process, uses: heard.put_nowait((process, uses)),
    )
    neighbours.start()
    try:
        yield neighbours, heard
    finally:
        neighbours.close()


async def test_all_others_hear_it_and_the_sender_does_not(service):
    async with worker(service, 0) as (first, own), worker(service, 1) as (_, second), worker(service, 2) as (_, third):
        first.tell([use(5)])

        async with asyncio.timeout(PATIENCE_S):
            assert await second.get() == await third.get() == ("s-0", (use(5),))
        assert own.empty()


async def test_who_follows_a_worker_that_died_hears_what_was_told_meanwhile(service):
    async with worker(service, 0) as (first, _):
        async with worker(service, 1):
            pass
        first.tell([use(7)])

        async with worker(service, 1) as (_, heard), asyncio.timeout(PATIENCE_S):
            assert await heard.get() == ("s-0", (use(7),))


async def test_nobody_waits_for_a_neighbour_that_does_not_read(service):
    async with worker(service, 0) as (first, _), worker(service, 1) as (_, heard):
        for number in range(5_000):  # nobody reads meanwhile, and their queues are soon full
            first.tell([use(number)])

        async with asyncio.timeout(PATIENCE_S):
            await heard.get()
            first.tell([use(5_000)])
            while (await heard.get())[1][0].sent.requests != 5_000:
                pass


async def test_what_is_not_understood_is_passed_over(service):
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with worker(service, 0) as (first, _), worker(service, 1) as (_, heard):
        service[1].tells.send(b"\xff{")
        service[1].tells.send(b"{}")
        first.tell([use(1)])

        async with asyncio.timeout(PATIENCE_S):
            assert await heard.get() == ("s-0", (use(1),))
    assert not faults


async def test_who_is_left_alone_hears_no_more(service):
    async with worker(service, 0) as (last, _):
        for line in service:
            line.__exit__()
        hears = last._hears

        await until(lambda: hears.fileno() == -1, "the end of it")


def test_who_is_alone_has_no_line():
    assert open_lines(1) == []
    assert not Neighbours(None, (), sender="s-0", hear=lambda *_: None).are_there
