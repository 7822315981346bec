import pytest

from gateway.core.errors import (
    AllOutOfQuota,
    AllRateLimited,
    InvalidCall,
    ModelNotFound,
    Unauthenticated,
    UpstreamFailed,
    UpstreamTimedOut,
)
from gateway.core.ids import ProviderId, Secret
from gateway.core.outcome import Fault, FaultKind
from gateway.core.snapshot import AuthStrategy
from gateway.providers.catalog import KINDS
from gateway.relay.job import Job
from gateway.relay.metering import Progress
from gateway.relay.own_keys import OwnKey, OwnKeys
from tests.fakes.relay_kit import CHAT_BODY, OK, STREAM, RelayKit, refusal, stream
from tests.fakes.scripted_upstream import JSON_HEADERS, Reply

OWN = OwnKey(Secret("own"))
HTML = ((b"content-type", b"text/html"),)


class Kit(RelayKit):
    """An account `a`, and callers with a key of their own."""

    def __init__(self, *script, **settings):
        super().__init__("a", **settings)
        self.own_keys = OwnKeys(
            upstream=self.upstream, credentials=self.credentials, kinds=KINDS, clock=self.clock, are_taken=True
        )
        self.upstream.on("own", *script)

    def own_job(self, key=OWN, **fields):
        call = self.call(named_provider=ProviderId("openai"), **fields)
        pool = self.own_keys.pool_for(self.board.snapshot, call, key)
        progress = Progress(call, self.meter, self.clock, self.clock.now())
        return Job(call, pool, (), CHAT_BODY, progress, CHAT_BODY)

    async def own_answer(self, **fields):
        return await self.finished(self.own_keys.relay_call(self.own_job(**fields)))


async def test_the_call_goes_out_once_with_the_key_and_leaves_no_trace():
    kit = Kit(OK)

    answer = await kit.own_answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["own"]
    assert kit.board.pools._pools == {}
    assert kit.board.headrooms._by_scope == {}
    assert kit.board.last_used(ProviderId("openai")) == float("-inf")
    kit.assert_idle()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_a_refusal_comes_as_it_is_and_parks_nobody(status):
    kit = Kit(refusal(status))

    answer = await kit.own_answer()

    assert answer.status == status
    assert kit.upstream.keys == ["own"]
    assert kit.board.healths.by_scope == {}
    assert not kit.board.breakers.is_any_open


async def test_limits_and_delays_reach_the_caller_and_identifiers_do_not():
    headers = (*JSON_HEADERS, (b"x-ratelimit-remaining-requests", b"3"), (b"retry-after", b"2"))
    hidden = ((b"openai-organization", b"org-abcdefghij"), (b"set-cookie", b"a=b"))
    body = b'{"error": {"message": "Incorrect API key provided: sk-abcdefgh1234", "code": "invalid_api_key"}}'
    kit = Kit(Reply(401, headers + hidden, (body,)))

    answer = await kit.own_answer()

    passed = dict(answer.headers)
    assert (passed[b"x-ratelimit-remaining-requests"], passed[b"retry-after"]) == (b"3", b"2")
    assert b"set-cookie" not in passed
    assert b"openai-organization" not in passed
    assert b"sk-abcdefgh1234" not in answer.body


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param(Reply(401, HTML, (b"<html>",)), Unauthenticated, id="page-with-401"),
        pytest.param(Reply(429, HTML, (b"<html>",)), AllRateLimited, id="page-with-429"),
        pytest.param(Reply(402, HTML, (b"<html>",)), AllOutOfQuota, id="page-with-402"),
        pytest.param(Reply(502, HTML, (b"<html>",)), UpstreamFailed, id="page-with-502"),
        pytest.param(Fault(FaultKind.CONNECT, "refused"), UpstreamFailed, id="unreachable"),
        pytest.param(Reply(wait_s=1000.0), UpstreamTimedOut, id="silence"),
    ],
)
async def test_what_cannot_be_passed_on_is_said_in_our_words(script, error):
    kit = Kit(script)

    with pytest.raises(error):
        await kit.own_answer()

    assert kit.upstream.keys == ["own"]
    assert kit.board.healths.by_scope == {}


async def test_a_stream_comes_through():
    kit = Kit(stream(*STREAM))

    answer = await kit.own_answer(is_stream=True)

    assert await kit.streamed(answer)
    kit.assert_idle()


async def test_the_caller_may_name_an_organization_and_a_project():
    kit = Kit(OK)

    await kit.finished(kit.own_keys.relay_call(kit.own_job(OwnKey(Secret("own"), "org-1", "proj_1"))))

    sent = dict(kit.upstream.attempts[0].request.headers)
    assert (sent[b"openai-organization"], sent[b"openai-project"]) == (b"org-1", b"proj_1")


@pytest.mark.parametrize(
    ("strategy", "header"),
    [
        pytest.param(AuthStrategy.API_KEY, (b"authorization", b"Bearer own"), id="api_key"),
        pytest.param(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, (b"authorization", b"Bearer own"), id="oauth"),
        pytest.param(AuthStrategy.NONE, (b"authorization", b"Bearer own"), id="none"),
        pytest.param(AuthStrategy.HEADER, (b"api-key", b"own"), id="header"),
    ],
)
def test_the_key_is_presented_as_the_provider_wants_it(strategy, header):
    kit = Kit(OK)
    (provider,) = kit.board.snapshot.providers.values()
    kit.board.snapshot.providers[provider.id] = type(provider)(
        id=provider.id, name="", kind="openai", base_url=provider.base_url, auth_strategy=strategy
    )

    assert header in kit.own_job().pool.members[0].destination.headers


def test_no_account_is_needed():
    kit = Kit(OK)
    kit.set_accounts()

    assert len(kit.own_job().pool.members) == 1


def test_what_cannot_be_sent_is_refused_before_any_attempt():
    kit = Kit(OK)

    with pytest.raises(InvalidCall) as caught:
        kit.own_job(OwnKey(Secret("hid\x01den")))

    assert "den" not in str(caught.value).replace("header", "")
    assert kit.upstream.attempts == []


def test_the_providers_allow_list_holds():
    kit = Kit(OK)
    (provider,) = kit.board.snapshot.providers.values()
    kit.board.snapshot.providers[provider.id] = type(provider)(
        id=provider.id,
        name="",
        kind="openai",
        base_url=provider.base_url,
        auth_strategy=provider.auth_strategy,
        supported_models=("gpt-4",),
    )

    assert kit.own_job(model="gpt-4").pool.model == "gpt-4"
    with pytest.raises(ModelNotFound):
        kit.own_job(model="gpt-5")
