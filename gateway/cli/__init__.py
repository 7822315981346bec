"""The command line: parse, call, print. `python -m gateway …`.

    __init__.py   the table of commands     session.py  settings, database and cipher for one command
    service.py    serve, migrate, sandbox   show.py     tables and JSON       parks.py  rests, from the table
    db.py  providers.py  accounts.py  keys.py  route.py  top.py  doctor.py (and its checks.py)

Rules of this package: what a script reads goes to stdout, everything else to stderr; a failure is one clear line and
exit code 1 (2 for wrong usage), never a traceback; a secret is never printed, but for a new client key, once.
"""

import importlib
from typing import Any

import click

from gateway import __version__
from gateway.cli.failures import said_plainly

COMMANDS = {
    "serve": ("service", "serve", "Run the service."),
    "migrate": ("service", "migrate", "Bring the database to this release's schema."),
    "db": ("db", "db", "The database in use: its URL, psql on it."),
    "providers": ("providers", "providers", "List, add, pause, resume, remove, verify providers."),
    "accounts": ("accounts", "accounts", "List, add, import, verify, pause, resume, remove accounts."),
    "keys": ("keys", "keys", "Add, list, revoke client keys."),
    "route": ("route", "route", "Explain who would serve a model now."),
    "top": ("top", "top", "Watch a running gateway: accounts, rests, rates."),
    "doctor": ("doctor", "doctor", "Check everything, and say what to do."),
    "sandbox": ("service", "sandbox", "Run the fake OpenAI provider."),
}
"""Name → module of this package, its object, and what it does: a command loads only what it needs."""


class Commands(click.Group):
    """The table as a click group."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"gateway.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """From the table, so that `--help` loads nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # click's signature
        with said_plainly():
            return super().invoke(ctx)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Settings come from the environment, .env and gateway.yaml: see docs/operations.md.",
)
@click.version_option(__version__, prog_name="gateway")
def cli() -> None:
    """One OpenAI-compatible endpoint in front of many accounts at many providers."""


def main() -> None:
    """The program `gateway`."""
    cli.main(prog_name="gateway")
