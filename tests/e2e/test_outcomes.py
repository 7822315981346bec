"""Each row of SPEC §4's table: what an upstream's answer parks, and what the caller gets."""

import pytest

from gateway.core.cooldown import Phase
from gateway.core.outcome import OutcomeKind
from gateway.sandbox.faults import Fault

CHAT = "/v1/chat/completions"


@pytest.fixture
def pair(shared):
    return shared.gateway


@pytest.fixture
async def sandbox(shared):
    """Without idle connections: what fails on a kept one is sent again at once, unseen and uncounted."""
    shared.sandbox.refuse()
    await shared.sandbox.accept()
    return shared.sandbox


def keys(sandbox):
    return [seen.key for seen in sandbox.log if seen.path == CHAT]


def held_scopes(gateway, label):
    (account,) = [account for account in gateway.snapshot.accounts.values() if account.label == label]
    return gateway.service.board.status_of(account.id)


def held_against(gateway, label):
    """What is known against an account: scope kind, reason, phase."""
    return {(str(one.kind), str(one.reason), one.state) for one in held_scopes(gateway, label)}


ACCOUNT_FAULTS = {
    "rate_limited": ("holder_model", OutcomeKind.RATE_LIMITED),
    "tokens_limited": ("holder_model", OutcomeKind.RATE_LIMITED),
    "rate_limited_per_day": ("holder_model", OutcomeKind.RATE_LIMITED),
    "slow_down": ("holder_model", OutcomeKind.RATE_LIMITED),
    "insufficient_quota": ("holder", OutcomeKind.OUT_OF_QUOTA),
    "credit_balance_exhausted": ("holder", OutcomeKind.OUT_OF_QUOTA),
    "organization_spend_limit": ("holder", OutcomeKind.OUT_OF_QUOTA),
    "project_spend_limit": ("holder", OutcomeKind.OUT_OF_QUOTA),
    "billing_hard_limit": ("holder", OutcomeKind.OUT_OF_QUOTA),
    "insufficient_balance": ("holder", OutcomeKind.OUT_OF_QUOTA),
    "invalid_api_key": ("account", OutcomeKind.CREDENTIAL_REJECTED),
    "missing_api_key": ("account", OutcomeKind.CREDENTIAL_REJECTED),
    "account_deactivated": ("account", OutcomeKind.CREDENTIAL_REJECTED),
    "not_a_member": ("account", OutcomeKind.CREDENTIAL_REJECTED),
    "missing_scope": ("account_endpoint", OutcomeKind.MISSING_PERMISSION),
    "insufficient_permissions": ("account_endpoint", OutcomeKind.MISSING_PERMISSION),
    "model_not_found": ("account_model", OutcomeKind.NO_ACCESS_TO_MODEL),
    "no_access_to_model": ("account_model", OutcomeKind.NO_ACCESS_TO_MODEL),
}


@pytest.mark.parametrize(("kind", "parked"), ACCOUNT_FAULTS.items(), ids=ACCOUNT_FAULTS)
async def test_a_fault_of_the_account_parks_it_and_another_answers_unseen(pair, sandbox, kind, parked):
    sandbox.script(Fault(kind, key="sk-a"))

    first = await pair.chat()
    second = await pair.chat()

    assert (first.status_code, first.headers["x-gateway-attempts"]) == (200, "2")
    assert (second.status_code, second.headers["x-gateway-attempts"]) == (200, "1")
    assert keys(sandbox) == ["sk-a", "sk-b", "sk-b"]
    scope, reason = parked
    assert held_against(pair, "sk-a") == {(scope, str(reason), Phase.COOLING)}


NOT_PARKING = ["too_large", "overloaded", "overloaded_529", "engine_overloaded", "server_error", "bad_gateway",
    "html_502", "html_520", "reset_before_headers", "close_before_headers", "garbage_http", "empty_body",
    "garbage_body", "json_error", "reset_in_body", "truncated_chunk"]  # fmt: skip


@pytest.mark.parametrize("kind", NOT_PARKING)
async def test_a_fault_that_parks_nothing_is_answered_by_another_account(pair, sandbox, kind):
    sandbox.script(Fault(kind, key="sk-a"))

    answer = await pair.chat()

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
    assert keys(sandbox) == ["sk-a", "sk-b"]
    assert {phase for _, _, phase in held_against(pair, "sk-a")} <= {Phase.READY}


CALLER_FAULTS = {
    "bad_request": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "invalid_prompt": 400,
    "service_tier": 400,
    "unprocessable": 422,
    "conflict": 409,
    "not_found": 404,
}


@pytest.mark.parametrize(("kind", "status"), CALLER_FAULTS.items(), ids=CALLER_FAULTS)
async def test_a_fault_of_the_caller_comes_as_it_came_at_once(pair, sandbox, kind, status):
    sandbox.script(Fault(kind, key="sk-a"))

    answer = await pair.chat()

    assert answer.status_code == status
    assert answer.content == sandbox.log[0].answer
    assert keys(sandbox) == ["sk-a"]
    assert held_against(pair, "sk-a") == set()


@pytest.mark.parametrize("kind", ["unsupported_region", "html_403", "ip_not_authorized"])
async def test_a_wall_parks_at_the_second_call_alone(pair, sandbox, kind):
    sandbox.script(Fault(kind, key="sk-a", times=2))

    for _ in range(3):
        assert (await pair.chat()).status_code == 200

    assert keys(sandbox) == ["sk-a", "sk-b", "sk-a", "sk-b", "sk-b"]


@pytest.mark.parametrize("kind", ["invalid_api_key", "account_deactivated", "missing_scope"])
async def test_an_upstreams_401_never_reaches_a_caller(pair, sandbox, kind):
    sandbox.script(Fault(kind, times=None))

    answer = await pair.chat()

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_account_available"


async def test_a_model_that_no_account_has_is_a_404(pair, sandbox):
    sandbox.script(Fault("model_not_found", times=None))

    answer = await pair.chat()

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert keys(sandbox) == ["sk-a", "sk-b"]


async def test_a_request_too_large_for_everybody_comes_as_it_came(pair, sandbox):
    sandbox.script(Fault("too_large", times=None))

    answer = await pair.chat()

    assert answer.status_code == 429
    assert "Request too large" in answer.json()["error"]["message"]
    assert keys(sandbox) == ["sk-a", "sk-b"]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("server_error", 500, None),
        ("bad_gateway", 502, "502"),
        ("html_502", 502, "upstream_error"),
        ("garbage_body", 502, "upstream_error"),
        ("reset_before_headers", 502, "upstream_unreachable"),
        ("garbage_http", 502, "upstream_error"),
        ("overloaded", 503, "server_is_overloaded"),
    ],
)
async def test_a_lasting_fault_of_the_upstream_ends_after_four_attempts(pair, sandbox, kind, status, code):
    await pair.chat()  # its success keeps the faults of all these kinds from being ten in a row
    sandbox.reset()
    sandbox.refuse()
    await sandbox.accept()  # without idle connections
    sandbox.script(Fault(kind, times=None))

    answer = await pair.chat()

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-gateway-attempts"] == "4"
    assert len(sandbox.log) == 4


async def test_an_upstream_that_refuses_connections_is_a_502(pair, sandbox):
    sandbox.refuse()

    answer = await pair.chat()

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    await sandbox.accept()
    assert (await pair.chat()).status_code == 200


async def test_a_named_overload_parks_at_once_and_one_without_a_delay_at_the_third(pair, sandbox):
    sandbox.script(Fault("overloaded", key="sk-a", retry_after="20"))
    await pair.chat()
    await pair.chat()
    assert keys(sandbox) == ["sk-a", "sk-b", "sk-b"]

    sandbox.script(Fault("overloaded", key="sk-a", times=3, model="gpt-4o"))
    for _ in range(4):
        assert (await pair.chat(model="gpt-4o")).status_code == 200
    assert keys(sandbox)[3:] == ["sk-a", "sk-b", "sk-a", "sk-b", "sk-a", "sk-b", "sk-b"]
