import pytest

from gateway.core.call import Call
from gateway.core.errors import (
    AllOutOfQuota,
    AllOverloaded,
    AllRateLimited,
    GatewayError,
    InvalidCall,
    NoAccountAvailable,
    NoDiskSpace,
    ShuttingDown,
    UpstreamFailed,
    UpstreamTimedOut,
)
from gateway.core.ids import AccountId, CallId, ProviderId
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.ingress.plane import UNKNOWN, end_of, own_headers
from gateway.relay.metering import Progress
from gateway.telemetry.events import CallEnd
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import KeptMeter


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (InvalidCall, CallEnd.REFUSED),
        (NoDiskSpace, CallEnd.REFUSED),
        (AllRateLimited, OutcomeKind.RATE_LIMITED),
        (AllOutOfQuota, OutcomeKind.OUT_OF_QUOTA),
        (AllOverloaded, OutcomeKind.OVERLOADED),
        (UpstreamFailed, OutcomeKind.UPSTREAM_ERROR),
        (UpstreamTimedOut, OutcomeKind.TIMED_OUT),
        (NoAccountAvailable, CallEnd.NO_ACCOUNT),
        (ShuttingDown, CallEnd.SHUTTING_DOWN),
        (GatewayError, CallEnd.CRASHED),
    ],
)
def test_an_error_of_ours_tells_how_the_call_ended(error, end):
    assert end_of(error("no")) is end


@pytest.mark.parametrize(
    ("account_id", "attempts", "served_model", "told"),
    [
        (None, 0, None, {}),
        (None, 1, None, {"provider": "openai", "attempts": "1"}),
        (AccountId("a"), 2, "gpt-é", {"provider": "openai", "account": "a", "attempts": "2", "model": "gpt-é"}),
    ],
    ids=["nobody", "a-callers-own-key", "an-account-and-its-model"],
)
def test_an_answer_tells_who_served_the_call(account_id, attempts, served_model, told):
    clock = FakeClock()
    progress = Progress(Call(id=CallId("req_1"), endpoint=UNKNOWN), KeptMeter(), clock, clock.now())
    for _ in range(attempts):
        progress.attempted(ProviderId("openai"), account_id, "gpt-4", Outcome(OutcomeKind.OK, 200), 0.1)
    progress.served_model = served_model

    headers = dict(own_headers(CallId("req_1"), progress))

    assert headers.pop(b"x-request-id") == b"req_1"
    assert {name.decode(): value.decode("latin-1") for name, value in headers.items()} == {
        f"x-gateway-{name}": value for name, value in told.items()
    }
