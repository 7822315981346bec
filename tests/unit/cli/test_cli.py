from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from gateway import __version__
from gateway.cli import COMMANDS, cli
from gateway.cli.db import without_password
from gateway.cli.show import in_short


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "sandbox"])
def test_every_command_of_the_table_is_there_and_explains_itself(command: str):
    result = CliRunner().invoke(cli, [command, "--help"])

    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_sandbox_has_the_options_of_its_own_program():
    result = CliRunner().invoke(cli, ["sandbox", "--help"])

    assert result.exit_code == 0
    assert "--port" in result.stdout


def test_version_is_the_package_s():
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"gateway, version {__version__}\n"


def test_unknown_command_is_wrong_usage():
    result = CliRunner().invoke(cli, ["fly"])

    assert result.exit_code == 2
    assert "fly" in result.stderr


@pytest.mark.parametrize(
    ("dsn", "address", "password"),
    [
        ("postgresql://me:se%40cret@host:5433/db", "postgresql://me@host:5433/db", "se@cret"),
        ("postgresql://me@host/db", "postgresql://me@host/db", None),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg", None),
    ],
)
def test_password_is_kept_out_of_the_process_list(dsn: str, address: str, password: str | None):
    assert without_password(dsn) == (address, password)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (40, "40 s"), (119, "119 s"), (600, "10 min"), (7300, "2 h")]
)
def test_times_are_shown_in_the_unit_that_fits(seconds: float, text: str):
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert in_short(now + timedelta(seconds=seconds), now) == text
