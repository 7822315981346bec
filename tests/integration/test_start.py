"""What happens once, before anything serves."""

from pathlib import Path

import asyncpg
import pytest

from gateway.core.ids import Secret
from gateway.settings import DatabaseSettings, OpenAIEnvironment, Settings
from gateway.start import StartFailed, encryption_keys, opened_database, prepare, wait_for_database
from gateway.store.cipher import parse_keys
from tests.databases import sibling_url, temporary_state
from tests.fakes.clock import FakeClock

NOWHERE = "postgresql://me:hidden@127.0.0.1:1/none"


def silent(message: str) -> None: ...


def settings_in(home: Path, **given: object) -> Settings:
    return Settings(home=home, **given)


async def test_empty_database_is_migrated_and_filled(empty_database_url, tmp_path):
    settings = settings_in(tmp_path, openai=OpenAIEnvironment(keys=(Secret("sk-proj-1"),)))

    prepared = await prepare(settings, empty_database_url, FakeClock(), silent)

    assert prepared.reconciled.added == 2
    assert (prepared.dsn, prepared.listen_dsn) == (Secret(empty_database_url), Secret(empty_database_url))
    assert parse_keys(prepared.encryption_keys.reveal()) == encryption_keys(settings)
    connection = await asyncpg.connect(empty_database_url)
    stored = await connection.fetchval("SELECT auth_data::text FROM accounts")
    await connection.close()
    assert "sk-proj-1" not in stored


async def test_second_start_changes_nothing(database_url, tmp_path):
    settings = settings_in(tmp_path, openai=OpenAIEnvironment(keys=(Secret("sk-proj-1"),)))
    await prepare(settings, database_url, FakeClock(), silent)

    again = await prepare(settings, database_url, FakeClock(), silent)

    assert (again.reconciled.added, again.reconciled.changed, again.reconciled.removed) == (0, 0, 0)


async def test_database_that_does_not_answer_is_waited_for():
    class Restless(FakeClock):
        """Time passes by sleeping."""

        async def sleep(self, seconds):
            self.move(seconds)

    clock = Restless()
    told: list[str] = []

    with pytest.raises(StartFailed, match=r"127\.0\.0\.1:1 cannot be reached \(ConnectionRefusedError after 30 s"):
        await wait_for_database(NOWHERE, 30.0, clock, told.append)

    assert clock.now() >= 1030.0
    assert told == ["Waiting for Postgres at 127.0.0.1:1 ..."]


async def test_missing_database_is_not_waited_for(postgres_server_url):
    url = sibling_url(postgres_server_url, "no_such_database")

    with pytest.raises(StartFailed, match="no_such_database"):
        await wait_for_database(url, 30.0, FakeClock(), silent)


@pytest.mark.parametrize("url", ["postgresql://u:hid#den@h:1/d", "postgresql://u:hid/den@h/d", "postgresql://h:port/d"])
async def test_url_that_cannot_be_read_is_refused_without_its_text(url):
    with pytest.raises(StartFailed) as caught:
        await wait_for_database(url, 0.0, FakeClock(), silent)

    assert "DATABASE_URL" in str(caught.value)
    assert "hid" not in str(caught.value)


def test_wrong_encryption_key_is_refused_without_its_text(tmp_path):
    settings = settings_in(tmp_path, encryption_keys=Secret("k1:hidden"))

    with pytest.raises(StartFailed, match="GATEWAY_ENCRYPTION_KEYS") as caught:
        encryption_keys(settings)

    assert "hidden" not in str(caught.value)


def test_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StartFailed, match="key file"):
        encryption_keys(settings_in(tmp_path / "file" / "home"))


def test_one_command_has_the_embedded_database_for_itself():
    with temporary_state() as home, opened_database(settings_in(home)) as dsn:
        assert (home / "postgres" / "data" / "postmaster.pid").exists()
        assert "host=" in dsn


def test_one_command_uses_the_configured_database():
    settings = Settings(database_url=Secret("postgres://u@h/d"), database=DatabaseSettings(wait_s=1.0))

    with opened_database(settings) as dsn:
        assert dsn == "postgresql://u@h/d"
