"""`doctor`: from the settings inwards, each step only where the one before it holds."""

import asyncio

import click

from gateway.cli.checks import Finding, State, examine
from gateway.cli.session import Session, quiet_logs, reachable_database, with_session
from gateway.cli.show import json_option, print_json
from gateway.settings import Settings
from gateway.settings_load import load_settings
from gateway.settings_sources import InvalidSettings
from gateway.start import StartFailed
from gateway.store.cipher import InvalidKeys
from gateway.store.engine import StoreUnavailable
from gateway.store.migrate import current_revision, head_revision

_MARKS = {State.OK: ("ok", "green"), State.WARNING: ("warning", "yellow"), State.PROBLEM: ("problem", "red")}


@click.command()
@click.option("--offline", "is_offline", is_flag=True, help="Make no calls to providers.")
@json_option
def doctor(is_offline: bool, as_json: bool) -> None:
    """Check settings, database, schema, encryption, rows and accounts, and say what to do.

    Exit code 1 when something does not work.
    """
    with quiet_logs():
        findings = _findings(is_offline=is_offline)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            _print(finding)
    if any(finding.state is State.PROBLEM for finding in findings):
        click.get_current_context().exit(1)


def _findings(*, is_offline: bool) -> list[Finding]:
    try:
        settings = load_settings()
    except InvalidSettings as wrong:
        advice = "docs/operations.md lists all settings"
        return [Finding("settings", State.PROBLEM, str(problem), advice) for problem in wrong.problems]
    found = [Finding("settings", State.OK, f"read; GATEWAY_HOME is {settings.home}")]
    try:
        with reachable_database(settings) as dsn:
            return [*found, *_inside(settings, dsn, is_offline=is_offline)]
    except (StartFailed, StoreUnavailable) as failed:
        return [*found, Finding("database", State.PROBLEM, str(failed), "start it, or correct DATABASE_URL")]


def _inside(settings: Settings, dsn: str, *, is_offline: bool) -> list[Finding]:
    kind = "the server of DATABASE_URL" if settings.database_url else "the embedded server"
    found = [Finding("database", State.OK, f"{kind} answers")]
    there, ours = current_revision(dsn), head_revision()
    if there != ours:
        message = f"the schema is {'missing' if there is None else f'at {there}'}, this release needs {ours}"
        return [*found, Finding("schema", State.PROBLEM, message, "run `gateway migrate`")]
    found.append(Finding("schema", State.OK, f"at {ours}"))

    async def work(session: Session) -> list[Finding]:
        return await examine(session, is_offline=is_offline)

    try:
        return [*found, *asyncio.run(with_session(settings, dsn, work))]
    except (StartFailed, InvalidKeys) as failed:
        return [*found, Finding("encryption", State.PROBLEM, str(failed), "see GATEWAY_ENCRYPTION_KEYS")]


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.state]
    click.echo(f"{click.style(mark.ljust(8), fg=colour)} {finding.check.ljust(11)} {finding.message}")
    if finding.advice and finding.state is not State.OK:
        click.echo(f"{'':20} → {finding.advice}")
