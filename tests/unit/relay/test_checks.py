from random import Random

import msgspec
import pytest

from gateway.core.ids import Secret
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.core.snapshot import AuthStrategy, Credential, Grant
from gateway.providers.catalog import KINDS
from gateway.relay.asking import Asking
from gateway.relay.checks import MAX_LIST_BYTES, MAX_MODELS, Checks
from gateway.relay.credentials import Credentials
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import account, finished, snapshot_of
from tests.fakes.scripted_upstream import JSON_HEADERS, Pause, Reply, ScriptedUpstream
from tests.fakes.token_store import MemoryTokens

LIST = b'{"object":"list","data":[{"id":"gpt-4","object":"model","created":7,"owned_by":"openai"},{"id":"o3"}]}'


class Kit:
    """Checks against one scripted account."""

    def __init__(self, *script, kind="openai", checked=None, **settings):
        self.clock = FakeClock()
        self.upstream = ScriptedUpstream(self.clock)
        self.upstream.on("sk-a", *script)
        tokens = MemoryTokens(self.clock)
        credentials = Credentials(upstream=self.upstream, store=tokens, kinds=KINDS, clock=self.clock)
        asking = Asking(upstream=self.upstream, kinds=KINDS, credentials=credentials, rng=Random(1))
        self.checks = Checks(asking=asking, clock=self.clock)
        self.account = checked or account("a")
        (provider,) = snapshot_of(self.account, **settings).providers.values()
        self.provider = msgspec.structs.replace(provider, kind=kind)

    async def check(self):
        return await finished(self.clock, self.checks.check(self.provider, self.account))


async def test_an_account_that_works_tells_its_models():
    kit = Kit(Reply(pieces=(LIST,), wait_s=0.25))

    check = await kit.check()

    assert check.is_ok
    assert [(model.id, model.created, model.owned_by) for model in check.models] == [
        ("gpt-4", 7, "openai"),
        ("o3", 0, "openai"),
    ]
    assert check.latency_s == pytest.approx(0.25)
    (attempted,) = kit.upstream.attempts
    assert (attempted.request.method, attempted.request.target) == (b"GET", b"/v1/models")
    assert attempted.request.body == b""
    assert attempted.answer.closings == 1


@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        pytest.param(
            Reply(401, pieces=(b'{"error":{"code":"invalid_api_key"}}',)),
            OutcomeKind.CREDENTIAL_REJECTED,
            401,
            id="rejected",
        ),
        pytest.param(Reply(429, pieces=(b"{}",)), OutcomeKind.RATE_LIMITED, 429, id="limited"),
        pytest.param(Reply(500), OutcomeKind.UPSTREAM_ERROR, 500, id="broken"),
        pytest.param(Fault(FaultKind.CONNECT, "refused"), OutcomeKind.UNREACHABLE, None, id="unreachable"),
        pytest.param(Reply(wait_s=60.0), OutcomeKind.TIMED_OUT, None, id="silent"),
        pytest.param(Reply(pieces=(b"{", Pause(60.0))), OutcomeKind.TIMED_OUT, None, id="stalls"),
        pytest.param(
            Reply(pieces=(b"x" * (MAX_LIST_BYTES + 1),)), OutcomeKind.UPSTREAM_ERROR, None, id="without-an-end"
        ),
    ],
)
async def test_one_that_does_not_says_why(reply, kind, status):
    kit = Kit(reply)

    check = await kit.check()

    assert (check.outcome.kind, check.outcome.status, check.models, check.is_ok) == (kind, status, (), False)
    assert all(answer.closings == 1 for answer in kit.upstream.answers)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<html>", b"\xff", b'{"data":{}}', b'{"data":[{"name":"x"}]}', b'{"models":[]}'],
)
async def test_a_list_that_nobody_can_read_is_empty(body):
    check = await Kit(Reply(pieces=(body,))).check()

    assert (check.is_ok, check.models) == (True, ())


async def test_a_list_is_bounded():
    body = msgspec.json.encode({"data": [{"id": f"m{number}"} for number in range(MAX_MODELS + 5)]})

    assert len((await Kit(Reply(pieces=(body,))).check()).models) == MAX_MODELS


async def test_azure_lists_what_could_be_deployed_which_is_not_what_serves():
    kit = Kit(Reply(pieces=(LIST,)), kind="azure_openai")
    kit.upstream.on("", Reply(pieces=(LIST,)))

    check = await kit.check()

    assert (check.is_ok, check.models) == (True, ())
    assert kit.upstream.attempts[0].request.target == b"/openai/v1/models"


# -- access tokens -----------------------------------------------------------------------------------------------


def granted():
    grant = Grant("https://login.example/token", "app", Secret("hidden"))
    return msgspec.structs.replace(
        account("a"), credential=Credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, grant=grant)
    )


def sold(token):
    return Reply(200, JSON_HEADERS, (msgspec.json.encode({"access_token": token, "expires_in": 3600}),))


async def test_a_token_is_fetched_for_a_check():
    kit = Kit(checked=granted())
    kit.upstream.on("", sold("t1"))
    kit.upstream.on("t1", Reply(pieces=(LIST,)))

    assert (await kit.check()).is_ok
    assert kit.upstream.keys == ["", "t1"]


async def test_a_token_that_is_refused_is_bought_anew_before_the_verdict():
    kit = Kit(checked=granted())
    kit.upstream.on("", sold("t1"), sold("t2"))
    kit.upstream.on("t1", Reply(pieces=(LIST,)), Reply(401, pieces=(b"{}",)))
    kit.upstream.on("t2", Reply(pieces=(LIST,)))
    assert (await kit.check()).is_ok
    await kit.clock.advance(60)

    assert (await kit.check()).is_ok
    assert kit.upstream.keys == ["", "t1", "t1", "", "t2"]


async def test_what_a_new_token_is_refused_for_is_the_accounts():
    kit = Kit(checked=granted())
    kit.upstream.on("", sold("t1"))
    kit.upstream.on("t1", Reply(401, pieces=(b"{}",)))

    assert (await kit.check()).outcome.kind is OutcomeKind.CREDENTIAL_REJECTED
    assert kit.upstream.keys == ["", "t1"]


async def test_without_a_token_the_provider_is_not_asked():
    kit = Kit(checked=granted())
    kit.upstream.on("", Fault(FaultKind.CONNECT, "refused"))

    assert (await kit.check()).outcome.kind is OutcomeKind.NO_TOKEN
    assert kit.upstream.keys == [""]
