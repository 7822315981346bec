"""`accounts list|add|import|verify|pause|resume|clear-cooldown|remove`."""

import sys
from datetime import UTC, datetime
from typing import TextIO
from uuid import UUID

import click
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.cli.parks import WHOLE, in_words, lift_parks, parks_of, rests_of, worst_of
from gateway.cli.session import ACTOR, Session, run
from gateway.cli.show import Row, in_short, json_option, print_json, print_table, tell, warn
from gateway.cli.verify import print_checks, verify_accounts
from gateway.core.ids import AccountId
from gateway.core.parks import Park
from gateway.store.account_import import ImportedKey, ImportResult, import_keys, keys_of
from gateway.store.accounts import (
    AccountRecord,
    add_account,
    change_account,
    load_account,
    load_accounts,
    lock_provider,
    opened_auth_data,
    remove_account,
)
from gateway.store.audit import record_change
from gateway.store.cipher import BrokenSeal, UnknownKey
from gateway.store.cooldowns import load_parks
from gateway.store.organizations import load_organizations
from gateway.store.rows import Span, unit_of_work
from gateway.store.write_checks import masked_auth_data

ALL = Span(limit=100_000)
COLUMNS = ("provider_id", "label", "api_key", "state", "reason", "until", "tier", "quota_group", "organization", "id")

account_argument = click.argument("account", metavar="ACCOUNT")
provider_option = click.option("--provider", "provider_id", required=True, help="The provider's id.")


@click.group()
def accounts() -> None:
    """Identities at providers, the rows of the table `accounts`. ACCOUNT is an id, a label, or provider/label."""


@accounts.command("list")
@click.option("--provider", "provider_id", help="Only accounts of this provider.")
@json_option
def list_(provider_id: str | None, as_json: bool) -> None:
    """List them, with what rests and why: as a whole, or (in brackets) for single models and endpoints.

    Rests are those of 5 s and more, which running gateways keep in the database; shorter ones are not shown.
    """

    async def work(session: Session) -> list[dict[str, object]]:
        async with unit_of_work(session.engine) as connection:
            page = await load_accounts(connection, ALL, provider_id=provider_id)
            parks = await load_parks(connection)
            learned = {one.account_id: one for one in await load_organizations(connection)}
        return [
            _shown(session, account, parks_of(account, parks, learned.get(AccountId(str(account.id)))))
            | {"organization": learned[id_].organization if (id_ := AccountId(str(account.id))) in learned else None}
            for account in page.data
        ]

    rows = run(work)
    if as_json:
        print_json(rows)
    else:
        shown = [{**row, "state": _state_in_words(row)} for row in rows]
        print_table(shown, COLUMNS, none="There is no account yet: see `gateway accounts add --help`.")


@accounts.command()
@provider_option
@click.option("--label", help="Unique at its provider; default `account 1`, `account 2`, …")
@click.option("--api-key", help="The credential; `-` reads it from stdin; without it you are asked.")
@click.option(
    "--auth-data",
    type=click.File("r"),
    help="In place of a key: a file (`-`: stdin) with the whole credential as a JSON object.",
)
@click.option("--base-url", help="Where this account's calls go, if not where the provider's do.")
@click.option("--organization", help="Sent as OpenAI-Organization.")
@click.option("--project", help="Sent as OpenAI-Project.")
@click.option("--quota-group", help="Accounts with the same text share their rate limits.")
@click.option("--tier", type=click.IntRange(0), default=0, help="Order of use, 0 first.")
@click.option("--weight", type=float, default=1.0, help="Share of the traffic within a tier.")
@json_option
def add(provider_id: str, api_key: str | None, auth_data: TextIO | None, as_json: bool, **options: object) -> None:
    """Add an account. Its credential is sealed before it is stored."""
    given = {name: value for name, value in options.items() if value is not None}
    credential = _credential(api_key) if auth_data is None else _auth_data_in(auth_data)
    credential |= {name: given.pop(name) for name in ("organization", "project", "base_url") if name in given}
    values = {**given, "auth_data": credential}

    async def work(session: Session) -> tuple[Row, list[str]]:
        async with unit_of_work(session.engine) as connection:
            provider = await lock_provider(connection, provider_id)
            account, warnings = await add_account(connection, session.cipher, provider, values, actor=ACTOR)
        return _shown(session, account, []), warnings

    added, warnings = run(work)
    warn(warnings)
    if as_json:
        print_json(added)
    else:
        tell(f"Account {added['label']} of {provider_id} is added: {added['id']}")


def _credential(api_key: str | None) -> dict[str, object]:
    key = _read_secret(api_key)
    return {"api_key": key} if key else {}


def _auth_data_in(file: TextIO) -> dict[str, object]:
    try:
        return msgspec.json.decode(file.read(), type=dict[str, object])
    except msgspec.DecodeError as error:
        raise click.BadParameter("must hold a JSON object", param_hint="--auth-data") from error


@accounts.command("import")
@provider_option
@click.argument("file", type=click.File("r"), default="-")
@json_option
def import_(provider_id: str, file: TextIO, as_json: bool) -> None:
    """Add an account for each line of FILE (default stdin). Good lines are kept whatever becomes of the others."""
    keys = keys_of(file.read())

    async def work(session: Session) -> list[ImportedKey]:
        async with unit_of_work(session.engine) as connection:
            return await import_keys(connection, session.cipher, provider_id, keys, actor=ACTOR)

    done = run(work)
    if as_json:
        print_json(done)
    else:
        rows = [msgspec.structs.asdict(key) for key in done]
        print_table(rows, ("line", "key", "result", "label", "message"), none="There is no key in it.")
    if any(key.result is ImportResult.INVALID for key in done):
        click.get_current_context().exit(1)


@accounts.command()
@click.argument("account", metavar="[ACCOUNT]", required=False)
@click.option("--provider", "provider_id", help="All accounts of this provider; without both, all accounts.")
@json_option
def verify(account: str | None, provider_id: str | None, as_json: bool) -> None:
    """Try credentials with a call that costs nothing. Exit code 1 when one does not work."""

    async def work(session: Session) -> list[Row]:
        async with unit_of_work(session.engine) as connection:
            if account is not None:
                chosen = [await _find(connection, account)]
            else:
                chosen = (await load_accounts(connection, ALL, provider_id=provider_id)).data
        return await verify_accounts(session, chosen)

    print_checks(run(work), as_json=as_json)


@accounts.command()
@account_argument
def pause(account: str) -> None:
    """Take it out of use; calls that run on it end as they would."""
    label = run(lambda session: _set_active(session, account, is_active=False))
    tell(f"Account {label} rests now.")


@accounts.command()
@account_argument
def resume(account: str) -> None:
    """Take it into use again; ends its rests, a rejection too."""
    label = run(lambda session: _set_active(session, account, is_active=True))
    tell(f"Account {label} serves now.")


@accounts.command("clear-cooldown")
@account_argument
def clear_cooldown(account: str) -> None:
    """End the rests of the account and of its quota group, in all running gateways."""

    async def work(session: Session) -> tuple[str, int]:
        async with unit_of_work(session.engine) as connection:
            found = await _find(connection, account)
            lifted = await lift_parks(connection, session.dsn, found)
            await record_change(
                connection, actor=ACTOR, action="cooldown cleared", table="accounts", row_id=str(found.id)
            )
        return found.label, lifted

    label, lifted = run(work)
    tell(f"Account {label}: {lifted} rests ended." if lifted else f"Account {label}: nothing rests.")


@accounts.command()
@account_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(account: str, yes: bool) -> None:
    """Remove it with its credential. Pausing keeps both."""
    if not yes:
        click.confirm(f"Remove account {account} and its credential?", abort=True, err=True)

    async def work(session: Session) -> str:
        async with unit_of_work(session.engine) as connection:
            found = await _find(connection, account)
            await remove_account(connection, found.id, actor=ACTOR)
        return found.label

    tell(f"Account {run(work)} is removed.")


async def _set_active(session: Session, account: str, *, is_active: bool) -> str:
    async with unit_of_work(session.engine) as connection:
        found = await _find(connection, account)
        await change_account(connection, session.cipher, found.id, {"is_active": is_active}, actor=ACTOR)
        if is_active:
            await lift_parks(connection, session.dsn, found)
    return found.label


async def _find(connection: AsyncConnection, text: str) -> AccountRecord:
    """By id, by `provider/label`, or by a label that only one provider has."""
    try:
        by_id = await load_account(connection, UUID(text))
    except ValueError:
        by_id = None
    if by_id is not None:
        return by_id
    provider_id, _, label = text.partition("/")
    found: list[AccountRecord] = [
        *(await load_accounts(connection, ALL, label=text)).data,
        *((await load_accounts(connection, ALL, provider_id=provider_id, label=label)).data if label else ()),
    ]
    if not found:
        raise click.ClickException(f"there is no account {text}: `gateway accounts list` shows them")
    if len(found) > 1:
        named = ", ".join(f"{account.provider_id}/{account.label}" for account in found)
        raise click.ClickException(f"several accounts are called {text}: say which of {named}")
    return found[0]


def _read_secret(given: str | None) -> str:
    """An option stands in the shell's history and in the process list, so stdin and a prompt do as well."""
    if given == "-":
        return sys.stdin.readline().strip()
    if given is not None:
        return given.strip()
    prompted: str = click.prompt("API key (empty for none)", hide_input=True, default="", show_default=False, err=True)
    return prompted.strip()


def _shown(session: Session, account: AccountRecord, parks: list[Park]) -> dict[str, object]:
    """The row without its secrets, with its state as the table of rests tells it."""
    fields = msgspec.structs.asdict(account)
    del fields["credential_digest"]
    try:
        auth_data = masked_auth_data(opened_auth_data(session.cipher, account))
    except (UnknownKey, BrokenSeal):
        auth_data = {}
    worst = worst_of(park for park in parks if park.scope.kind in WHOLE)
    until = None if worst is None or worst.is_rejected else in_short(worst.until_at, datetime.now(UTC))
    return {
        **fields,
        "id": str(account.id),
        "auth_data": auth_data,
        "api_key": auth_data.get("api_key"),
        "state": _state(account, worst),
        "reason": worst.reason.value if worst else None,
        "until": until,
        "until_at": worst.until_at if worst else None,
        "rests": rests_of(parks),
    }


def _state_in_words(row: Row) -> str:
    """`ready (gpt-4: rate_limited until 10:31:02Z)`: rests of the whole account have columns of their own."""
    rests = row["rests"]
    parts = [rest for rest in rests if not rest.is_whole] if isinstance(rests, list) else []
    return f"{row['state']} ({in_words(parts)})" if parts else str(row["state"])


def _state(account: AccountRecord, worst: Park | None) -> str:
    if not account.is_active:
        return "inactive"
    if worst is None:
        return "ready"
    return "rejected" if worst.is_rejected else "cooling"
