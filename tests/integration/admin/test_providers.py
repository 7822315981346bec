import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.row_checks import provider_of
from tests.integration.admin.conftest import KINDS, Admin


async def test_provider_is_made_with_the_table_s_defaults(admin: Admin, engine: AsyncEngine):
    provider = await admin.add_provider()

    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM providers"))).mappings().one()
    assert provider_of(row, KINDS).base_url == "https://api.openai.com/v1"
    assert row["settings"] == {}
    assert provider["name"] == "openai"
    assert provider["auth_strategy"] == "api_key"


async def test_only_settings_that_differ_from_the_defaults_are_stored(admin: Admin):
    provider = await admin.add_provider(settings={"timeout_s": 30, "connect_timeout_s": 10.0})

    assert provider["settings"] == {"timeout_s": 30.0}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        pytest.param({"id": "a b"}, "body.id", id="space-in-id"),
        pytest.param({"id": ""}, "body.id", id="empty-id"),
        pytest.param({"base_url": "ftp://host"}, "body.base_url", id="scheme"),
        pytest.param({"base_url": "https://user:pass@host"}, "body.base_url", id="password-in-url"),
        pytest.param({"base_url": "https://"}, "body.base_url", id="no-host"),
        pytest.param({"auth_strategy": "magic"}, "body.auth_strategy", id="strategy"),
        pytest.param({"auth_type": "magic"}, "body.auth_type", id="type"),
        pytest.param({"kind": "telepathy"}, "body.kind", id="kind"),
        pytest.param({"settings": {"timeout": 1}}, "body.settings", id="unknown-setting"),
        pytest.param({"settings": {"timeout_s": 0}}, "body.settings.timeout_s", id="no-time"),
        pytest.param({"settings": {"headers": {"a b": "c"}}}, "body.settings.headers", id="header-name"),
        pytest.param({"settings": {"proxy": "socks5://me:pass@host"}}, "body.settings.proxy", id="proxy-scheme"),
        pytest.param({"settings": {"proxy": "http://***@host:3128"}}, "body.settings.proxy", id="proxy-as-shown"),
        pytest.param({"supported_models": "gpt-4"}, "body.supported_models", id="models-are-text"),
    ],
)
async def test_bad_provider_is_refused_with_the_place_named(admin: Admin, fields: dict, where: str):
    body = {"id": "openai", "base_url": "https://api.openai.com", **fields}

    response = await admin.call("POST", "/providers", body)

    assert response.status_code == 400, response.text
    assert response.json()["errors"][0]["where"] == where
    assert (await admin.call("GET", "/providers")).json()["total"] == 0
    assert "pass@" not in response.text


async def test_a_preset_fills_in_what_is_not_given(admin: Admin):
    made = await admin.call("POST", "/providers", {"preset": "mistral", "settings": {"timeout_s": 30}})

    row = made.json()
    assert made.status_code == 201, made.text
    assert (row["id"], row["name"], row["base_url"]) == ("mistral", "Mistral", "https://api.mistral.ai/v1")
    assert (row["kind"], row["auth_strategy"]) == ("openai_compatible", "api_key")
    assert row["settings"]["stream_usage"] == "leave"
    assert row["settings"]["timeout_s"] == 30.0
    assert row["problem"] is None


async def test_what_is_given_goes_before_the_preset(admin: Admin):
    body = {
        "preset": "vllm",
        "id": "gpu",
        "name": "Ours",
        "base_url": "http://10.0.0.5:8000",
        "auth_strategy": "api_key",
    }

    row = (await admin.call("POST", "/providers", body)).json()

    assert (row["id"], row["name"], row["base_url"]) == ("gpu", "Ours", "http://10.0.0.5:8000")
    assert (row["auth_strategy"], row["auth_type"]) == ("api_key", "api_key")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        pytest.param({"preset": "nobody"}, "body.preset", id="unknown"),
        pytest.param({"preset": "azure"}, "body.base_url", id="no-address-for-everybody"),
        pytest.param({"base_url": "https://a.example"}, "body.id", id="no-id"),
        pytest.param({"id": "a"}, "body.base_url", id="no-address"),
    ],
)
async def test_what_neither_body_nor_preset_says_is_named(admin: Admin, body: dict, where: str):
    response = await admin.call("POST", "/providers", body)

    assert response.status_code == 400, response.text
    assert response.json()["errors"][0]["where"] == where


async def test_id_in_use_is_a_conflict(admin: Admin):
    await admin.add_provider()

    response = await admin.call("POST", "/providers", {"id": "openai", "base_url": "https://other.example"})

    assert response.status_code == 409
    assert response.json()["errors"][0]["where"] == "body.id"


async def test_patch_changes_what_is_named(admin: Admin):
    provider = await admin.add_provider(settings={"timeout_s": 30})

    changed = (await admin.call("PATCH", "/providers/openai", {"name": "Other", "is_active": False})).json()

    assert changed == {**provider, "name": "Other", "is_active": False, "updated_at": changed["updated_at"]}


async def test_patch_that_would_break_the_row_changes_nothing(admin: Admin):
    provider = await admin.add_provider()

    response = await admin.call("PATCH", "/providers/openai", {"base_url": "nonsense"})

    assert response.status_code == 400
    assert (await admin.call("GET", "/providers/openai")).json() == provider


async def test_secret_looking_fixed_headers_are_masked(admin: Admin):
    provider = await admin.add_provider(settings={"headers": {"x-api-key": "0123456789abcdef", "x-team": "blue"}})

    assert provider["settings"]["headers"] == {"x-api-key": "012…cdef", "x-team": "blue"}


async def test_login_of_a_proxy_is_stored_and_never_shown(admin: Admin, engine: AsyncEngine):
    url = "http://me:hunter2@proxy.example:3128"

    added = await admin.add_provider(settings={"proxy": url, "http2": True})
    answers = [await admin.call("GET", path) for path in ("/providers", "/providers/openai")]
    answers.append(await admin.call("PATCH", "/providers/openai", {"name": "Other"}))

    assert added["settings"] == {"proxy": "http://***@proxy.example:3128", "http2": True}
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT settings ->> 'proxy' FROM providers")) == url
        audit = (await connection.execute(text("SELECT changes FROM audit_log"))).all()
    assert "hunter2" not in "".join(answer.text for answer in answers) + str(audit)


async def test_proxy_that_plain_sql_got_wrong_shows_nothing_of_itself(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    async with engine.begin() as connection:
        await connection.execute(text("""UPDATE providers SET settings = '{"proxy": "me:hunter2@proxy"}'"""))

    shown = (await admin.call("GET", "/providers/openai")).json()

    assert shown["settings"] == {"proxy": "***"}


async def test_deleted_provider_takes_its_accounts_along_and_the_audit_counts_them(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    await admin.add_account("sk-proj-one")
    await admin.add_account("sk-proj-two")

    response = await admin.call("DELETE", "/providers/openai")

    assert response.status_code == 204
    assert (await admin.call("GET", "/accounts")).json()["total"] == 0
    async with engine.connect() as connection:
        changes = await connection.scalar(text("SELECT changes FROM audit_log WHERE action = 'deleted'"))
    assert changes == {"accounts_deleted": 2}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_unknown_provider_is_not_found(admin: Admin, method: str):
    response = await admin.call(method, "/providers/nobody")

    assert (response.status_code, response.json()["detail"]) == (404, "There is no provider nobody.")


async def test_row_of_a_declaration_says_that_a_start_sets_it_back(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE providers SET managed_by = 'file'"))

    shown = (await admin.call("GET", "/providers/openai")).json()

    assert "declaration (file)" in shown["warnings"][0]


async def test_providers_are_filtered_by_kind(admin: Admin):
    await admin.add_provider()
    await admin.add_provider("local", kind="openai_compatible")

    found = (await admin.call("GET", "/providers?kind=openai_compatible")).json()

    assert [provider["id"] for provider in found["data"]] == ["local"]
