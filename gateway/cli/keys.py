"""`keys add|list|revoke`."""

from datetime import UTC, datetime
from uuid import UUID

import click
import msgspec

from gateway.cli.session import ACTOR, Session, run
from gateway.cli.show import json_option, print_json, print_table, tell
from gateway.core.ids import Secret
from gateway.store.keys import KeyRecord, NewKey, add_key, load_keys, revoke_key
from gateway.store.rows import Span, unit_of_work

ALL = Span(limit=100_000)


@click.group()
def keys() -> None:
    """Client keys, which callers of /v1 present."""


@keys.command()
@click.argument("name")
@click.option("--owner", help="Whose stateful ids they are; keys of one owner share them. Default: the key's own.")
@click.option("--model", "models", multiple=True, help="A name or glob the key may use; may come again. None: all.")
@click.option(
    "--expires-at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="UTC: 2030-01-31. Default: never."
)
@json_option
def add(name: str, owner: str | None, models: tuple[str, ...], expires_at: datetime | None, as_json: bool) -> None:
    """Make a client key and print it: this once, only its hash is stored."""
    expiry = None if expires_at is None else expires_at.replace(tzinfo=UTC)
    if expiry is not None and expiry <= datetime.now(UTC):
        raise click.BadParameter("lies in the past", param_hint="--expires-at")
    new = NewKey(name=name, owner=owner, models=models, expires_at=expiry)

    async def work(session: Session) -> tuple[KeyRecord, Secret]:
        async with unit_of_work(session.engine) as connection:
            return await add_key(connection, session.cipher, new, actor=ACTOR)

    record, key = run(work)
    if as_json:
        print_json({**msgspec.structs.asdict(record), "key": key.reveal()})
    else:
        tell(f"Key {name} ({record.id}), shown this once:")
        click.echo(key.reveal())


@keys.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Revoked ones too.")
@json_option
def list_(with_revoked: bool, as_json: bool) -> None:
    """List them."""

    async def work(session: Session) -> list[KeyRecord]:
        async with unit_of_work(session.engine) as connection:
            return (await load_keys(connection, ALL, is_active=None if with_revoked else True)).data

    records = run(work)
    if as_json:
        print_json(records)
    else:
        columns = ("name", "hint", "models", "expires_at", "revoked_at", "created_at", "id")
        print_table([msgspec.structs.asdict(record) for record in records], columns, none="There is no client key.")


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Revoke a client key, by id, by name or by hint (gw-…abcd). Its calls are refused within a second everywhere."""

    async def work(session: Session) -> KeyRecord | None:
        async with unit_of_work(session.engine) as connection:
            found = [record for record in (await load_keys(connection, ALL)).data if _is_named(record, key)]
            active = [record for record in found if record.revoked_at is None]
            if len(active) > 1:
                named = ", ".join(str(record.id) for record in active)
                raise click.ClickException(f"several keys are called {key}: say which of {named}")
            chosen = next(iter(active or found), None)
            return None if chosen is None else await revoke_key(connection, chosen.id, actor=ACTOR)

    revoked = run(work)
    if revoked is None:
        raise click.ClickException(f"there is no key {key}: `gateway keys list` shows them")
    tell(f"Key {revoked.name} ({revoked.hint}) is revoked.")


def _is_named(record: KeyRecord, text: str) -> bool:
    return text in {record.name, record.hint} or (_is_uuid(text) and record.id == UUID(text))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
