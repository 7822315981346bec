import pytest

from gateway.core.outcome import Fault, FaultKind
from gateway.upstream.whole import read_whole

RESET = Fault(FaultKind.RESET, "reset by peer", is_body_sent=True)


def told(*pieces):
    """What gives the pieces one by one, then the end."""
    left = [*pieces, b""]

    async def next_chunk():
        return left.pop(0)

    return next_chunk


@pytest.mark.parametrize("pieces", [(), (b"abc",), (b"a", b"bc")], ids=["nothing", "one", "several"])
async def test_pieces_are_joined(pieces):
    assert await read_whole(told(*pieces), 3) == b"".join(pieces)


async def test_a_fault_takes_the_place_of_what_came_before():
    assert await read_whole(told(b"abc", RESET), 100) == RESET


async def test_no_more_is_read_than_asked_for():
    next_chunk = told(b"abc", b"d", b"never read")

    fault = await read_whole(next_chunk, 3)

    assert fault.kind is FaultKind.GARBAGE
    assert await next_chunk() == b"never read"
