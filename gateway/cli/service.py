"""`serve`, `migrate`, `sandbox`."""

import click

from gateway.cli.session import quiet_logs, reachable_database
from gateway.cli.show import tell
from gateway.sandbox.cli import main as run_sandbox
from gateway.settings_load import load_settings
from gateway.start import StartFailed
from gateway.store.migrate import current_revision, head_revision, upgrade
from gateway.supervisor import serve as supervise


@click.command()
@click.option("--host", help="Address to listen on; default 127.0.0.1. Others need GATEWAY_ADMIN_TOKEN.")
@click.option("--port", help="Default 8080; 0 takes a free one.")
@click.option("--workers", help="Processes; default one per core.")
def serve(host: str | None, port: str | None, workers: str | None) -> None:
    """Run the service: database, migrations, workers. Ctrl-C drains and stops all of it."""
    options = {"server.host": host, "server.port": port, "server.workers": workers}
    raise SystemExit(supervise(load_settings(options=options)))


@click.command()
def migrate() -> None:
    """Bring the database to this release's schema. Safe to repeat, and to run beside others that do."""
    settings = load_settings()
    with quiet_logs(), reachable_database(settings) as dsn:
        before = current_revision(dsn)
        _upgrade(dsn)
    if before == head_revision():
        tell(f"The schema is at {before} already.")
    else:
        tell(f"The schema is at {head_revision()} now.")


def _upgrade(dsn: str) -> None:
    from alembic.util import CommandError  # noqa: PLC0415  # 50 ms that `serve` need not wait for

    try:
        upgrade(dsn)
    except CommandError as error:
        raise StartFailed(f"the database's schema is of another release: {error}") from error


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Run the fake OpenAI provider (docs/sandbox.md)."""
    raise SystemExit(run_sandbox(arguments))
