"""Calls whose answers are streams of chat chunks."""

import json

from gateway.core.outcome import Fault, FaultKind
from tests.fakes.relay_kit import OK, STREAM, event, stream, two_tiers

RESET = Fault(FaultKind.RESET, "reset by peer", is_body_sent=True)
WHOLE = b"".join(STREAM)
RATE_LIMIT_EVENT = event(
    {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded", "param": None}}
)


def kit_of(*pieces, second=OK, **settings):
    """Account `a` streams the pieces; `b`, of the next tier, does whatever it should."""
    return two_tiers(stream(*pieces), second, **settings)


async def begun(kit, **fields):
    return await kit.answer(is_stream=True, asks_usage=True, **fields)


async def body_of(kit, **fields):
    return await kit.streamed(await begun(kit, **fields))


def error_at_the_end(body):
    """The object of the error event with which a body ends."""
    last = body.rstrip(b"\n").rpartition(b"\n\n")[2]
    return json.loads(last.removeprefix(b"data: "))["error"]
