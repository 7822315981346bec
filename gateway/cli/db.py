"""`db url`, `db shell`."""

import os
import subprocess
from urllib.parse import unquote, urlsplit, urlunsplit

import click

from gateway.cli.session import quiet_logs, reachable_database
from gateway.settings_load import load_settings
from gateway.store.pg_binaries import find_psql


@click.group()
def db() -> None:
    """The database in use: that of DATABASE_URL, else the embedded one."""


@db.command()
def url() -> None:
    """Print its URL, with the password if it has one."""
    with quiet_logs(), reachable_database(load_settings()) as dsn:
        click.echo(dsn)


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def shell(arguments: tuple[str, ...]) -> None:
    """Open psql on it. ARGUMENTS go to psql: `gateway db shell -c "SELECT * FROM providers"`."""
    psql = find_psql()
    if psql is None:
        raise click.ClickException("psql was not found: install the PostgreSQL client programs, or run `make setup`")
    with quiet_logs(), reachable_database(load_settings()) as dsn:
        address, password = without_password(dsn)
        environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
        finished = subprocess.run([psql, address, *arguments], env=environment, check=False)  # noqa: S603  # no shell; the arguments are the operator's own
    raise SystemExit(finished.returncode)


def without_password(dsn: str) -> tuple[str, str | None]:
    """The DSN as every user of the machine may see it in a process list, and the password that was in it."""
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn, None
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}")), unquote(parts.password)
