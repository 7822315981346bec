"""Requests and reading, short: what every test of the engines says."""

from gateway.core.outcome import Fault
from gateway.providers.base import Limits, Origin, UpstreamRequest
from tests.integration.upstream.conftest import Engine

QUICK = Limits(connect_s=5.0, headers_s=5.0, stall_s=5.0)


def get(origin: Origin, *, method: bytes = b"GET", limits: Limits = QUICK) -> UpstreamRequest:
    return UpstreamRequest(method, origin, b"/v1/models?x=1", ((b"authorization", b"Bearer sk-1"),), limits=limits)


def post(origin: Origin, body: bytes = b'{"model":"m"}', *, limits: Limits = QUICK, **more: bool) -> UpstreamRequest:
    headers = ((b"content-type", b"application/json"), (b"authorization", b"Bearer sk-1"))
    return UpstreamRequest(b"POST", origin, b"/v1/chat/completions", headers, body, limits, **more)


async def fetch(engine: Engine, request: UpstreamRequest) -> tuple[int, bytes | Fault]:
    """One whole call: status and body."""
    answer = await engine.attempt(request)
    assert not isinstance(answer, Fault), answer
    try:
        return answer.status, await answer.read_all(2**30)
    finally:
        answer.close()


async def fault_of(engine: Engine, request: UpstreamRequest) -> Fault:
    """The fault of a call, wherever it came."""
    answer = await engine.attempt(request)
    if isinstance(answer, Fault):
        return answer
    body = await answer.read_all(2**30)
    answer.close()
    assert isinstance(body, Fault), body
    return body
