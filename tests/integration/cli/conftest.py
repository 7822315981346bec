"""The commands on a database of their own, with no environment but the one given here."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.store.cipher import Cipher, new_key, parse_keys


class Command:
    """Runs commands and looks into their database."""

    def __init__(self, database_url: str, keys: str) -> None:
        self.database_url = database_url
        self.cipher = Cipher(parse_keys(keys))
        self.said = ""
        """All that the commands of this test printed."""

    def __call__(self, *arguments: str, stdin: str | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, arguments, input=stdin, prog_name="gateway")
        self.said += result.output
        assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str, stdin: str | None = None, code: int = 0) -> object:
        return json.loads(self(*arguments, "--json", stdin=stdin, code=code).stdout)

    def rows(self, statement: str, *values: object) -> list[dict]:
        async def fetch() -> list[dict]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return [dict(row) for row in await connection.fetch(statement, *values)]
            finally:
                await connection.close()

        return asyncio.run(fetch())


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Sets variables, after all that could reach the settings were taken away."""
    for name in os.environ:
        if name.startswith(("GATEWAY_", "OPENAI_", "DATABASE_", "LISTEN_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def change(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return change


@pytest.fixture
def gateway(database_url: str, environment: Callable[..., None]) -> Command:
    keys = new_key("k1")
    environment(DATABASE_URL=database_url, GATEWAY_ENCRYPTION_KEYS=keys)
    return Command(database_url, keys)
