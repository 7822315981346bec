"""Attempts on accounts that present access tokens."""

import json

import msgspec
import pytest

from gateway.core.errors import NoAccountAvailable
from gateway.core.ids import Secret
from gateway.core.outcome import Fault, FaultKind, OutcomeKind
from gateway.core.snapshot import AuthStrategy, Credential, Grant
from tests.fakes.relay_kit import OK, RelayKit, account, finished, refusal
from tests.fakes.scripted_upstream import Reply


def granted(name, **fields):
    grant = Grant("https://login.example/token", name, Secret("hidden"))
    credential = Credential(AuthStrategy.OAUTH_CLIENT_CREDENTIALS, grant=grant)
    return msgspec.structs.replace(account(name, **fields), credential=credential)


def sold(token):
    return Reply(200, pieces=(json.dumps({"access_token": token, "expires_in": 3600}).encode(),))


async def test_a_token_is_presented_as_a_bearer():
    kit = RelayKit(granted("a"))
    kit.upstream.on("", sold("t1"))
    kit.upstream.on("t1", OK)

    answers = [await kit.answer() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert kit.upstream.keys == ["", "t1", "t1"]
    kit.assert_idle()


async def test_a_token_that_is_refused_is_bought_anew_and_the_call_served():
    kit = RelayKit(granted("a"))
    kit.upstream.on("", sold("t1"), sold("t2"))
    kit.upstream.on("t1", OK, refusal(401))
    kit.upstream.on("t2", OK)
    await kit.answer()
    await kit.clock.advance(60)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["", "t1", "t1", "", "t2"]
    assert kit.serving() == {"a"}
    kit.assert_idle()


async def test_a_new_token_that_is_refused_too_is_the_accounts_rejection():
    kit = RelayKit(granted("a"), account("b", tier=1))
    kit.upstream.on("", sold("t1"), sold("t2"))
    kit.upstream.on("t1", OK, refusal(401))
    kit.upstream.on("t2", refusal(401))
    kit.upstream.on("sk-b", OK)
    await kit.answer()
    await kit.clock.advance(60)

    answer = await kit.answer()

    assert answer.status == 200
    assert kit.upstream.keys == ["", "t1", "t1", "", "t2", "sk-b"]
    assert kit.serving() == {"b"}


async def test_a_call_whose_account_is_edited_meanwhile_is_served_with_the_new_secret():
    kit = RelayKit(granted("a"))
    kit.upstream.on("", sold("t1"), sold("t2"))
    kit.upstream.on("t1", msgspec.structs.replace(refusal(401), wait_s=1.0))
    kit.upstream.on("t2", OK)
    call = kit.start()
    await kit.clock.settle()
    edited = granted("a")
    grant = msgspec.structs.replace(edited.credential.grant, client_secret=Secret("new"))
    credential = msgspec.structs.replace(edited.credential, grant=grant)
    kit.set_accounts(msgspec.structs.replace(edited, credential=credential))

    answer = await finished(kit.clock, call)

    assert answer.status == 200
    assert kit.upstream.keys == ["", "t1", "", "t2"]
    assert [b"client_secret=new" in asked.request.body for asked in kit.upstream.attempts] == [
        False,
        False,
        True,
        False,
    ]


async def test_an_account_without_a_token_is_parked_and_another_serves():
    kit = RelayKit(granted("a"), account("b", tier=1))
    kit.upstream.on("", Fault(FaultKind.CONNECT, "refused"))
    kit.upstream.on("sk-b", OK)

    answer = await kit.answer()

    assert answer.status == 200
    (status,) = kit.board.status_of("a")
    assert (status.reason, status.what) == (OutcomeKind.NO_TOKEN, "")
    assert kit.serving() == {"b"}
    kit.assert_idle()


async def test_a_caller_does_not_read_what_the_token_endpoint_said():
    kit = RelayKit(granted("a"))
    kit.upstream.on("", Reply(401, pieces=(b'{"error": "invalid_client", "error_description": "app a of tenant x"}',)))

    with pytest.raises(NoAccountAvailable) as caught:
        await kit.answer(max_wait_s=0.0)

    assert "tenant" not in str(caught.value)
