import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import StoreUnavailable, connect, make_engine, write_json
from gateway.store.migrate import current_revision, downgrade, head_revision, upgrade
from gateway.store.tables import Base

ROOT = Path(__file__).parents[3]

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
FUNCTIONS = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"


async def scalar(url: str, statement: str) -> object:
    connection = await connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_up_and_down_and_up_again_from_empty(empty_database_url: str) -> None:
    url = empty_database_url
    assert await asyncio.to_thread(current_revision, url) is None

    await asyncio.to_thread(upgrade, url)
    assert await asyncio.to_thread(current_revision, url) == head_revision()
    assert await scalar(url, TABLES) == len(Base.metadata.tables)

    await asyncio.to_thread(downgrade, url)
    assert await asyncio.to_thread(current_revision, url) is None
    assert await scalar(url, TABLES) == 0
    assert await scalar(url, FUNCTIONS) == 0

    await asyncio.to_thread(upgrade, url)
    await asyncio.to_thread(upgrade, url)
    assert await asyncio.to_thread(current_revision, url) == head_revision()


async def test_an_upgrade_may_be_called_while_a_loop_runs(empty_database_url: str) -> None:
    upgrade(empty_database_url)  # blocks this loop, and must not need it

    assert await scalar(empty_database_url, TABLES) == len(Base.metadata.tables)


async def test_the_declared_tables_equal_the_migrated_schema(connection: AsyncConnection) -> None:
    def difference(sync: Connection) -> list[object]:
        context = MigrationContext.configure(sync, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))

    assert await connection.run_sync(difference) == []


async def test_processes_that_migrate_at_once_do_it_once(empty_database_url: str, tmp_path: Path) -> None:
    code = "import sys; from gateway.store.migrate import upgrade; upgrade(sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    starters = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, empty_database_url, cwd=tmp_path, env=environment
        )
        for _ in range(2)
    ]
    codes = [await starter.wait() for starter in starters]

    assert codes == [0, 0]
    assert await scalar(empty_database_url, "SELECT count(*) FROM alembic_version") == 1
    seeds = "SELECT count(*) - count(DISTINCT (pattern, provider_id)) FROM model_routes"
    assert await scalar(empty_database_url, seeds) == 0


async def test_the_command_line_tool_of_developers_works_from_any_folder(database_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "check"]
    environment = {**os.environ, "DATABASE_URL": database_url}

    checked = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert "No new upgrade operations detected" in checked.stdout + checked.stderr


def test_a_server_that_is_away_is_one_error() -> None:
    with pytest.raises(StoreUnavailable):
        upgrade("postgresql://nobody@127.0.0.1:1/none")


PROVIDER = """
INSERT INTO providers (id, name, base_url, auth_type, auth_strategy, supported_models, is_active)
VALUES ('openai', 'OpenAI', 'https://api.openai.com', 'api_key', 'api_key', '["gpt-4", "gpt-3.5-turbo"]', true);
"""
ACCOUNT = """
INSERT INTO accounts (provider_id, label, auth_data, is_active)
VALUES ('openai', 'Account 1', '{"api_key": "sk-proj-..."}', true);
"""


async def test_the_documented_inserts_work_and_defaults_fill_the_rest(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        await connection.execute(PROVIDER + ACCOUNT)
        provider = await connection.fetchrow("SELECT * FROM providers")
        account = await connection.fetchrow("SELECT * FROM accounts")
        await connection.execute(
            "INSERT INTO accounts (provider_id, auth_data) VALUES ('openai', '{}'), ('openai', '{}')"
        )
    finally:
        await connection.close()

    assert (provider["kind"], provider["settings"], provider["managed_by"]) == ("openai", "{}", None)
    assert (account["tier"], account["weight"], account["quota_group"], account["metadata"]) == (0, 1.0, None, "{}")
    assert account["created_at"].tzinfo is not None


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        pytest.param(ACCOUNT, asyncpg.UniqueViolationError, id="label-twice"),
        pytest.param(ACCOUNT.replace("'openai'", "'none'"), asyncpg.ForeignKeyViolationError, id="no-such-provider"),
        pytest.param(PROVIDER, asyncpg.UniqueViolationError, id="provider-twice"),
    ],
)
async def test_what_cannot_be_meant_is_refused(database_url: str, statement: str, error: type[Exception]) -> None:
    connection = await connect(database_url)
    try:
        await connection.execute(PROVIDER + ACCOUNT)
        with pytest.raises(error):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_accounts_go_with_their_provider(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        await connection.execute(PROVIDER + ACCOUNT)
        await connection.execute("UPDATE providers SET id = 'renamed'")
        assert await connection.fetchval("SELECT provider_id FROM accounts") == "renamed"
        await connection.execute("DELETE FROM providers")
        assert await connection.fetchval("SELECT count(*) FROM accounts") == 0
    finally:
        await connection.close()


async def test_updated_at_follows_every_update(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        await connection.execute(PROVIDER)
        before = await connection.fetchval("SELECT updated_at FROM providers")
        await connection.execute("UPDATE providers SET name = 'x', updated_at = '2001-01-01'")
        assert await connection.fetchval("SELECT updated_at FROM providers") > before
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o3-mini", "openai"),
        ("text-embedding-3-small", "openai"),
        ("text-embedding-ada-002", "openai"),
        ("text-embedding-004", "google"),
        ("whisper-1", "openai"),
        ("whisper-large-v3", "groq"),
        ("gpt-oss-120b", "groq"),
        ("ft:gpt-4o-mini:org::id", "openai"),
        ("davinci-002", "openai"),
        ("dall-e-3", "openai"),
        ("claude-opus-4", "anthropic"),
        ("gemini-2.5-pro", "google"),
        ("mistral-large-latest", "mistral"),
        ("deepseek-chat", "deepseek"),
        ("grok-4", "xai"),
        ("command-r", "cohere"),
        ("sonar-pro", "perplexity"),
        ("kimi-k2", "moonshot"),
        ("glm-4", "zhipu"),
        ("qwen3-max", "qwen"),
        ("llama-3.3-70b", None),
    ],
)
async def test_seeded_routes_lead_public_models_to_their_provider(
    connection: AsyncConnection, model: str, provider: str | None
) -> None:
    longest = """
        SELECT provider_id FROM model_routes
        WHERE is_active AND $1 LIKE replace(replace(pattern, '_', '\\_'), '*', '%')
        ORDER BY pattern LIKE '%*', length(pattern) DESC LIMIT 1
    """
    raw = await connection.get_raw_connection()

    assert await raw.driver_connection.fetchval(longest, model) == provider


async def test_only_providers_are_named_by_seeds_and_operators_rows_go_first(connection: AsyncConnection) -> None:
    raw = (await connection.get_raw_connection()).driver_connection

    assert await raw.fetchval("SELECT count(*) FROM providers") == 0
    assert await raw.fetchval("SELECT max(priority) FROM model_routes WHERE managed_by = 'seed'") < 0
    assert await raw.fetchval("SELECT bool_and(pattern = lower(pattern)) FROM model_routes")


@pytest.mark.parametrize(
    ("statement", "heard"),
    [
        pytest.param("INSERT INTO providers (id, base_url) VALUES ('a', 'b')", ["providers"], id="insert"),
        pytest.param("UPDATE model_routes SET priority = 1", ["model_routes"], id="update-of-many-rows"),
        pytest.param("DELETE FROM model_routes", ["model_routes"], id="delete"),
        pytest.param("TRUNCATE client_keys", ["client_keys"], id="truncate"),
        pytest.param("TRUNCATE providers CASCADE", ["accounts", "providers"], id="truncate-cascade"),
        pytest.param("INSERT INTO audit_log (actor, action, table_name) VALUES ('a', 'b', 'c')", [], id="audit"),
        pytest.param("DELETE FROM cooldowns", [], id="cooldowns"),
    ],
)
async def test_every_change_of_the_registry_notifies(database_url: str, statement: str, heard: list[str]) -> None:
    names: list[object] = []
    connection = await connect(database_url)
    try:
        await connection.add_listener("gateway_registry", lambda *arguments: names.append(arguments[3]))
        await connection.execute(statement)
        await connection.execute("SELECT 1")  # what the server notified has come before this answer
    finally:
        await connection.close()

    assert sorted(map(str, names)) == heard


async def test_json_goes_through_the_engine_both_ways(connection: AsyncConnection) -> None:
    raw = await connection.exec_driver_sql('SELECT \'{"a": [1, 2.5, null, "…"]}\'::jsonb')

    assert raw.scalar() == {"a": [1, 2.5, None, "…"]}
    assert write_json({"a": "…"}) == '{"a":"…"}'


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_any_spelling_of_the_scheme_connects(database_url: str, scheme: str) -> None:
    url = f"{scheme}://{database_url.partition('://')[2]}"
    engine = make_engine(url, 1)
    try:
        async with engine.connect() as connection:
            assert (await connection.exec_driver_sql("SELECT 1")).scalar() == 1
    finally:
        await engine.dispose()
    assert await scalar(url, "SELECT 1") == 1
