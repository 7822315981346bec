"""Answers of commands: a table for people, JSON for scripts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click
import msgspec

Row = Mapping[str, object]


def json_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--json`: the answer as one JSON value."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(rows: Sequence[Row], columns: Sequence[str], *, none: str) -> None:
    """The named columns of each row, as wide as their widest cell. `none` is said on stderr when there is no row."""
    if not rows:
        click.echo(none, err=True)
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    heads = [column.upper().replace("_", " ") for column in columns]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for line in (heads, *cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def tell(message: str) -> None:
    """What was done, for a person: on stderr."""
    click.echo(message, err=True)


def warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)


def in_short(until_at: datetime, now: datetime) -> str:
    """How long from `now`: `40 s`, `3 min`, `2 h`."""
    seconds = max(0, round((until_at - now).total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case list() | tuple():
            return ", ".join(map(str, value)) or "all"
        case _:
            return str(value)
