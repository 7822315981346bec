import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.cooldown import Phase
from gateway.core.outcome import OutcomeKind, ScopeKind
from gateway.core.snapshot import RowProblem, Snapshot
from gateway.ingress.admin.deps import VerifyResult
from gateway.store.cipher import Cipher, new_key, parse_keys
from tests.integration.admin.conftest import KEY, Admin, admin_of, rows_of, scope_status


async def test_status_shows_the_scopes_that_rest(admin: Admin):
    await admin.add_provider()
    account = await admin.add_account(KEY)
    ready = (await admin.call("GET", f"/accounts/{account['id']}/status")).json()
    resting = scope_status(Phase.COOLING, ScopeKind.HOLDER, reason=OutcomeKind.OUT_OF_QUOTA)
    admin.health.scopes[account["id"]] = [resting]

    cooling = (await admin.call("GET", f"/accounts/{account['id']}/status")).json()

    assert (ready["state"], ready["scopes"]) == ("ready", [])
    assert (cooling["state"], cooling["in_flight"]) == ("cooling", 1)
    assert cooling["scopes"][0]["reason"] == "out_of_quota"


async def test_account_whose_model_rests_is_ready_as_a_whole(admin: Admin):
    await admin.add_provider()
    account = await admin.add_account(KEY)
    admin.health.scopes[account["id"]] = [scope_status(Phase.COOLING, ScopeKind.HOLDER_MODEL, "gpt-4")]

    status = (await admin.call("GET", f"/accounts/{account['id']}/status")).json()

    assert (status["state"], status["scopes"][0]["what"]) == ("ready", "gpt-4")


async def test_clear_cooldown_reaches_the_board_and_the_audit(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    account = await admin.add_account(KEY)
    admin.health.scopes[account["id"]] = [scope_status(Phase.REJECTED)]

    response = await admin.call("POST", f"/accounts/{account['id']}/clear-cooldown")

    assert (response.status_code, response.json()["state"]) == (200, "ready")
    assert admin.health.cleared == [account["id"]]
    [row] = await rows_of(engine, "SELECT actor, row_id FROM audit_log WHERE action = 'cooldown cleared'")
    assert row == {"actor": "admin from 127.0.0.1", "row_id": account["id"]}


async def test_verify_tries_the_opened_credential_even_of_a_paused_account(admin: Admin):
    await admin.add_provider()
    account = await admin.add_account(KEY, is_active=False)

    response = await admin.call("POST", f"/accounts/{account['id']}/verify")

    assert response.json() == {"is_ok": True, "outcome": "ok", "status": 200, "message": ""}
    [(provider, tried)] = admin.verify.seen
    assert provider.base_url == "https://api.openai.com/v1"
    assert tried.credential.secret.reveal() == KEY


@pytest.mark.parametrize("phase", [Phase.REJECTED, Phase.COOLING])
async def test_verified_account_is_no_longer_rejected_and_a_refused_one_stays(admin: Admin, phase: Phase):
    await admin.add_provider()
    account = await admin.add_account(KEY)
    admin.health.scopes[account["id"]] = [scope_status(phase, reason=OutcomeKind.CREDENTIAL_REJECTED)]
    admin.verify.result = VerifyResult(is_ok=False, outcome=OutcomeKind.CREDENTIAL_REJECTED, status=401)
    await admin.call("POST", f"/accounts/{account['id']}/verify")
    assert admin.health.cleared == []

    admin.verify.result = VerifyResult(is_ok=True, outcome=OutcomeKind.OK, status=200)
    await admin.call("POST", f"/accounts/{account['id']}/verify")

    assert admin.health.cleared == [account["id"]]


async def test_row_that_no_key_opens_is_shown_without_its_credential(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    account = await admin.add_account(KEY)
    async with admin_of(engine, Cipher(parse_keys(new_key("k9")))) as stranger:
        shown = await stranger.call("GET", f"/accounts/{account['id']}")
        tried = await stranger.call("POST", f"/accounts/{account['id']}/verify")
        paused = await stranger.call("PATCH", f"/accounts/{account['id']}", {"is_active": False})

    assert shown.json()["auth_data"] is None
    assert tried.json()["is_ok"] is False
    assert "k1" in tried.json()["message"]
    assert paused.status_code == 200


async def test_problems_of_the_snapshot_are_shown_with_their_rows(engine: AsyncEngine, cipher: Cipher):
    async with admin_of(engine, cipher) as first:
        await first.add_provider()
        account = await first.add_account(KEY)
    problem = RowProblem("accounts", account["id"], "weight must be greater than 0")

    async with admin_of(engine, cipher, snapshot=Snapshot(version=7, problems=(problem,))) as admin:
        shown = (await admin.call("GET", f"/accounts/{account['id']}")).json()
        status = (await admin.call("GET", f"/accounts/{account['id']}/status")).json()
        problems = (await admin.call("GET", "/problems")).json()

    assert shown["problem"] == problem.message
    assert (status["state"], status["problem"]) == ("skipped", problem.message)
    assert problems == {
        "data": [
            {"table": "accounts", "id": account["id"], "message": problem.message, "is_skipped": True},
        ],
        "total": 1,
        "snapshot_version": 7,
    }
