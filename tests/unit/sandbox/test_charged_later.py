"""What a call owes is charged once, when its answer is over, however it ends."""

import msgspec
import pytest

from gateway.sandbox.answer import Ending
from gateway.sandbox.config import LimitRule, SandboxConfig
from gateway.sandbox.faults import Fault, FaultKind
from gateway.sandbox.request import Request
from gateway.sandbox.service import Service

HALF_LATER = SandboxConfig(limits=(LimitRule(tokens=1000, charged_later=0.5),))


@pytest.fixture
def service() -> Service:
    return Service(HALF_LATER, clock=lambda: 0.0)


def request_of(tokens: int) -> Request:
    asked = {"model": "gpt-4o", "max_tokens": tokens, "messages": [{"role": "user", "content": "hi"}]}
    headers = [(b"authorization", b"Bearer sk-a"), (b"content-type", b"application/json")]
    return Request("POST", "/v1/chat/completions", "", headers, msgspec.json.encode(asked))


def charged(service: Service) -> int:
    """Tokens of the calls before this one, of which 1 is charged before its headers are written."""
    probe = request_of(2)
    answer = service.say(probe, probe.body)
    return 1000 - 1 - int(dict(answer.headers)["x-ratelimit-remaining-tokens"])


def test_rest_is_charged_when_the_answer_is_done(service: Service) -> None:
    _, steps = service.respond(request_of(100))
    next(steps)
    assert charged(service) == 50

    list(steps)
    assert charged(service) == 100 + 2


def test_rest_is_charged_when_the_caller_hangs_up(service: Service) -> None:
    _, steps = service.respond(request_of(100))
    next(steps)
    del steps  # as the server lets go of what it will not send

    assert charged(service) == 100


def test_rest_is_charged_to_a_message_over_a_websocket(service: Service) -> None:
    upgrade = request_of(100)
    service.say(upgrade, upgrade.body)

    assert charged(service) == 100


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE_HEADERS, "server_error"])
def test_rest_is_charged_to_a_call_that_a_fault_ends(service: Service, kind: str) -> None:
    service.script.add(Fault(kind), 0.0)
    _, steps = service.respond(request_of(100))
    assert any(isinstance(step, Ending) for step in steps)

    assert charged(service) == 100


def test_after_a_reset_nobody_owes(service: Service) -> None:
    _, steps = service.respond(request_of(100))
    next(steps)
    service.reset()
    list(steps)

    assert charged(service) == 0
