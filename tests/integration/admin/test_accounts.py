import asyncio
import json

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.auth_data import credential_text
from gateway.store.cipher import Cipher, new_key, parse_keys
from tests.integration.admin.conftest import KEY, OTHER, Admin, admin_of, rows_of


async def test_the_documented_body_makes_an_account(admin: Admin):
    await admin.add_provider()
    body = {"provider_id": "openai", "label": "Account 1", "auth_data": {"api_key": KEY}, "is_active": True}

    response = await admin.call("POST", "/accounts", body)

    assert response.status_code == 201
    account = response.json()
    assert account["label"] == "Account 1"
    assert account["provider_id"] == "openai"
    assert account["auth_data"] == {"api_key": "sk-…efgh"}
    assert account["is_active"] is True
    assert account["warnings"] == []


async def test_credential_rests_sealed_and_opens_to_what_was_sent(admin: Admin, engine: AsyncEngine, cipher: Cipher):
    await admin.add_provider()

    account = await admin.add_account(KEY)

    [row] = await rows_of(engine, "SELECT * FROM accounts")
    assert KEY not in json.dumps(row["auth_data"])
    assert cipher.open(row["auth_data"], account["id"]) == {"api_key": KEY}
    assert row["credential_digest"] == cipher.digest(credential_text({"api_key": KEY}))


async def test_account_without_a_label_gets_the_next_free_number(admin: Admin):
    await admin.add_provider()

    labels = [(await admin.add_account(f"sk-proj-number-{number}"))["label"] for number in range(3)]

    assert labels == ["account 1", "account 2", "account 3"]


async def test_credential_entered_twice_is_a_conflict_and_adds_nothing(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    first = await admin.add_account(KEY, label="first")

    response = await admin.call(
        "POST", "/accounts", {"provider_id": "openai", "label": "second", "auth_data": {"api_key": KEY}}
    )

    assert response.status_code == 409
    assert response.json()["errors"][0]["where"] == "body.auth_data"
    assert first["id"] in response.json()["detail"]
    assert len(await rows_of(engine, "SELECT id FROM accounts")) == 1


async def test_credential_is_known_while_its_row_is_still_plain(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    insert = (
        "INSERT INTO accounts (provider_id, label, auth_data) VALUES ('openai', 'x', jsonb_build_object('api_key', "
    )
    async with engine.begin() as connection:
        await connection.execute(text(f"{insert} '{KEY}'))"))

    response = await admin.call("POST", "/accounts", {"provider_id": "openai", "auth_data": {"api_key": KEY}})

    assert response.status_code == 409


async def test_credential_digested_with_an_older_key_is_known(engine: AsyncEngine):
    old, new = new_key("k1"), new_key("k2")
    async with admin_of(engine, Cipher(parse_keys(old))) as before:
        await before.add_provider()
        await before.add_account(KEY)

    async with admin_of(engine, Cipher(parse_keys(f"{new},{old}"))) as after:
        response = await after.call("POST", "/accounts", {"provider_id": "openai", "auth_data": {"api_key": KEY}})

    assert response.status_code == 409


async def test_one_key_for_two_organisations_makes_two_accounts(admin: Admin):
    await admin.add_provider()
    for organization in ("org-a", "org-b"):
        body = {"provider_id": "openai", "auth_data": {"api_key": KEY, "organization": organization}}
        response = await admin.call("POST", "/accounts", body)
        assert response.status_code == 201
        assert response.json()["auth_data"] == {"api_key": "sk-…efgh", "organization": organization}


async def test_one_credential_may_serve_two_providers(admin: Admin):
    await admin.add_provider("one", kind="openai_compatible")
    await admin.add_provider("two", kind="openai_compatible")

    await admin.add_account("not-needed", "one")
    await admin.add_account("not-needed", "two")


async def test_label_in_use_is_a_conflict(admin: Admin):
    await admin.add_provider()
    await admin.add_account(KEY, label="mine")

    response = await admin.call(
        "POST", "/accounts", {"provider_id": "openai", "label": "mine", "auth_data": {"api_key": OTHER}}
    )

    assert response.status_code == 409
    assert response.json()["errors"][0]["where"] == "body.label"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        pytest.param({"provider_id": "nobody"}, "body.provider_id", id="unknown-provider"),
        pytest.param({"provider_id": None}, "body.provider_id", id="provider-null"),
        pytest.param({"auth_data": {}}, "body.auth_data.api_key", id="no-key"),
        pytest.param({"auth_data": {"api_key": ""}}, "body.auth_data.api_key", id="empty-key"),
        pytest.param({"auth_data": {"api_key": 5}}, "body.auth_data.api_key", id="key-is-a-number"),
        pytest.param({"auth_data": {"api_key": "sk-line\nend"}}, "body.auth_data.api_key", id="key-with-line-end"),
        pytest.param({"auth_data": {"api_key": "sk-admin-abc"}}, "body.auth_data.api_key", id="admin-key"),
        pytest.param({"auth_data": "sk-abc"}, "body.auth_data", id="auth-data-is-text"),
        pytest.param({"label": ""}, "body.label", id="empty-label"),
        pytest.param({"label": " "}, "body.label", id="blank-label"),
        pytest.param({"label": "nul\0"}, "body", id="nul-in-label"),
        pytest.param({"metadata": {"a": "nul\0"}}, "body", id="nul-in-metadata"),
        pytest.param({"tier": -1}, "body.tier", id="negative-tier"),
        pytest.param({"tier": "first"}, "body.tier", id="tier-is-text"),
        pytest.param({"tier": 2**40}, "body.tier", id="tier-too-large"),
        pytest.param({"weight": 0}, "body.weight", id="no-weight"),
        pytest.param({"rpm_limit": 0}, "body.rpm_limit", id="no-requests"),
        pytest.param({"supported_models": "gpt-4"}, "body.supported_models", id="models-are-text"),
        pytest.param({"supported_models": [" "]}, "body.supported_models[0]", id="blank-model"),
        pytest.param({"is_active": "yes"}, "body.is_active", id="active-is-text"),
        pytest.param({"colour": "red"}, "body", id="unknown-field"),
    ],
)
async def test_bad_account_is_refused_with_the_place_named(admin: Admin, engine: AsyncEngine, fields: dict, where: str):
    await admin.add_provider()

    response = await admin.call("POST", "/accounts", {"provider_id": "openai", "auth_data": {"api_key": KEY}, **fields})

    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "invalid_request"
    assert [problem["where"] for problem in response.json()["errors"]] == [where]
    assert await rows_of(engine, "SELECT id FROM accounts") == []


async def test_key_of_an_unusual_form_is_kept_with_a_warning(admin: Admin):
    await admin.add_provider()

    account = await admin.add_account("0123456789abcdef")

    assert account["warnings"] == ["auth_data.api_key does not begin with sk-, as OpenAI's keys do."]


async def test_other_kinds_have_keys_of_their_own_forms(admin: Admin):
    await admin.add_provider("local", kind="openai_compatible")

    assert (await admin.add_account("0123456789abcdef", "local"))["warnings"] == []


async def test_paused_provider_is_pointed_out(admin: Admin):
    await admin.add_provider(is_active=False)

    assert "not active" in (await admin.add_account(KEY))["warnings"][0]


async def test_patch_changes_what_is_named_and_leaves_the_rest(admin: Admin):
    await admin.add_provider()
    account = await admin.add_account(KEY, label="old", quota_group="org-a", tier=2)

    changed = await admin.call("PATCH", f"/accounts/{account['id']}", {"label": "new"})

    assert changed.status_code == 200
    assert changed.json() == {**account, "label": "new", "updated_at": changed.json()["updated_at"]}


async def test_patch_tells_null_from_absent(admin: Admin):
    await admin.add_provider()
    account = await admin.add_account(KEY, quota_group="org-a", rpm_limit=10)

    changed = await admin.call("PATCH", f"/accounts/{account['id']}", {"quota_group": None})

    assert (changed.json()["quota_group"], changed.json()["rpm_limit"]) == (None, 10)


async def test_new_credential_keeps_the_id_and_lifts_a_rejection(admin: Admin, engine: AsyncEngine, cipher: Cipher):
    await admin.add_provider()
    account = await admin.add_account(KEY)

    changed = await admin.call("PATCH", f"/accounts/{account['id']}", {"auth_data": {"api_key": OTHER}})

    assert changed.json()["id"] == account["id"]
    assert changed.json()["auth_data"] == {"api_key": "sk-…vuts"}
    [row] = await rows_of(engine, "SELECT auth_data FROM accounts")
    assert cipher.open(row["auth_data"], account["id"]) == {"api_key": OTHER}
    assert admin.health.cleared == [account["id"]]


async def test_own_credential_again_is_no_conflict_but_another_account_s_is(admin: Admin):
    await admin.add_provider()
    mine, _ = await admin.add_account(KEY), await admin.add_account(OTHER)

    same = await admin.call("PATCH", f"/accounts/{mine['id']}", {"auth_data": {"api_key": KEY}})
    taken = await admin.call("PATCH", f"/accounts/{mine['id']}", {"auth_data": {"api_key": OTHER}})

    assert (same.status_code, taken.status_code) == (200, 409)


async def test_renaming_does_not_touch_health_and_resuming_does(admin: Admin):
    await admin.add_provider()
    account = await admin.add_account(KEY, is_active=False)

    await admin.call("PATCH", f"/accounts/{account['id']}", {"label": "other"})
    assert admin.health.cleared == []

    await admin.call("PATCH", f"/accounts/{account['id']}", {"is_active": True})
    assert admin.health.cleared == [account["id"]]


async def test_row_broken_by_sql_can_be_paused_but_not_broken_further(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    account = await admin.add_account(KEY)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE accounts SET weight = -1"))

    paused = await admin.call("PATCH", f"/accounts/{account['id']}", {"is_active": False})
    mended = await admin.call("PATCH", f"/accounts/{account['id']}", {"weight": 2})

    assert (paused.status_code, mended.status_code) == (200, 200)


async def test_deleted_account_is_gone(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    account = await admin.add_account(KEY)

    gone = await admin.call("DELETE", f"/accounts/{account['id']}")
    again = await admin.call("DELETE", f"/accounts/{account['id']}")

    assert (gone.status_code, gone.content, again.status_code) == (204, b"", 404)
    assert await rows_of(engine, "SELECT id FROM accounts") == []


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_unknown_account_is_not_found(admin: Admin, method: str):
    body = {"json": {}} if method == "PATCH" else {}

    response = await admin.client.request(method, "/api/v1/accounts/7c1b7c0e-1111-4222-8333-944445555666", **body)

    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_lists_are_paged_and_filtered(admin: Admin):
    await admin.add_provider("one")
    await admin.add_provider("two")
    for number in range(5):
        await admin.add_account(f"sk-proj-{number}", "one", label=f"a{number}", is_active=number != 4)
    await admin.add_account("sk-proj-x", "two")

    page = (await admin.call("GET", "/accounts?provider_id=one&limit=2&offset=1")).json()
    active = (await admin.call("GET", "/accounts?provider_id=one&is_active=true")).json()
    labelled = (await admin.call("GET", "/accounts?label=a3")).json()

    assert [account["label"] for account in page["data"]] == ["a1", "a2"]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    assert active["total"] == 4
    assert [account["label"] for account in labelled["data"]] == ["a3"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "is_active=perhaps"])
async def test_bad_query_is_refused_with_its_parameter_named(admin: Admin, query: str):
    response = await admin.call("GET", f"/accounts?{query}")

    assert response.status_code == 400
    assert response.json()["errors"][0]["where"] == f"query.{query.partition('=')[0]}"


async def test_no_answer_and_no_audit_row_holds_a_credential(admin: Admin, engine: AsyncEngine, caplog):
    secrets = [KEY, OTHER, "sk-admin-secretsecret", "bad secret\nsecret", "nested-secret-value"]
    await admin.add_provider(settings={"headers": {"x-api-key": "nested-secret-value"}})
    account = await admin.add_account(KEY, metadata={"note": "mine"})
    path = f"/accounts/{account['id']}"
    for key in secrets:
        for label in ("x", ""):
            await admin.call(
                "POST", "/accounts", {"provider_id": "openai", "label": label, "auth_data": {"api_key": key}}
            )
        await admin.call("PATCH", path, {"auth_data": {"api_key": key, "client_secret": {"deep": [key]}}})
    await admin.call("POST", "/accounts/import", {"provider_id": "openai", "keys": secrets})
    await admin.call("POST", "/accounts", {"provider_id": "openai", "auth_data": KEY, "tier": KEY})
    await admin.call("POST", "/accounts", {"provider_id": "openai", KEY: 1})
    for get in ("/accounts", path, f"{path}/status", "/providers", "/providers/openai", "/problems"):
        await admin.call("GET", get)
    await admin.call("POST", f"{path}/verify")
    await admin.call("DELETE", path)

    audit = await rows_of(engine, "SELECT * FROM audit_log")
    said = "\n".join([*admin.bodies, *map(str, audit), caplog.text])
    assert len(audit) >= 4
    for secret in [*secrets, "secret\\nsecret"]:
        assert secret not in said


async def test_credential_that_comes_many_times_at_once_is_kept_once(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    bodies = [{"provider_id": "openai", "label": f"a{number}", "auth_data": {"api_key": KEY}} for number in range(8)]

    responses = await asyncio.gather(*(admin.call("POST", "/accounts", body) for body in bodies))

    assert sorted(response.status_code for response in responses) == [201, *[409] * 7]
    assert len(await rows_of(engine, "SELECT id FROM accounts")) == 1


async def test_body_is_read_as_json_whatever_it_is_called(admin: Admin):
    """`curl -d` without a header says that it sends a form."""
    await admin.add_provider()
    body = json.dumps({"provider_id": "openai", "auth_data": {"api_key": KEY}}).encode()

    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        await admin.client.delete("/api/v1/providers/openai")
        await admin.add_provider()
        response = await admin.client.post("/api/v1/accounts", content=body, headers={"content-type": content_type})

        assert response.status_code == 201, (content_type, response.text)
