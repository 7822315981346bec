"""`providers list|add|pause|resume|remove|verify`."""

import click
import msgspec

from gateway.cli.session import ACTOR, Session, run
from gateway.cli.show import Row, json_option, print_json, print_table, tell
from gateway.cli.verify import print_checks, verify_accounts
from gateway.providers.presets import PRESETS, Preset, preset_named
from gateway.store.accounts import load_accounts
from gateway.store.providers import (
    ProviderRecord,
    add_provider,
    change_provider,
    count_accounts,
    load_provider,
    load_providers,
    remove_provider,
)
from gateway.store.rows import Span, unit_of_work

ALL = Span(limit=100_000)
COLUMNS = ("id", "name", "base_url", "kind", "auth_strategy", "supported_models", "is_active", "accounts")


@click.group()
def providers() -> None:
    """Upstream services, the rows of the table `providers`."""


@providers.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List them."""

    async def work(session: Session) -> list[dict[str, object]]:
        async with unit_of_work(session.engine) as connection:
            page = await load_providers(connection, ALL)
            return [{**_shown(row), "accounts": await count_accounts(connection, row.id)} for row in page.data]

    rows = run(work)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS, none="There is no provider yet: see `gateway providers add --help`.")


@providers.command("presets")
@json_option
def presets_(as_json: bool) -> None:
    """List the vendors that `add --preset` knows."""
    rows = [{**preset.columns(), "preset": preset.name, "base_url": preset.base_url} for preset in PRESETS.values()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ("preset", "name", "base_url", "kind", "auth_strategy"), none="")


@providers.command()
@click.argument("provider_id", required=False)
@click.option("--preset", help="A vendor that `gateway providers presets` lists: fills in all that is not given.")
@click.option("--base-url", help="https://api.openai.com, with or without a version path.")
@click.option("--name", help="For people; default the id.")
@click.option("--kind", help="Wire format and quirks.  [default: openai]")
@click.option("--auth-strategy", help="api_key, header, oauth_client_credentials or none.  [default: api_key]")
@click.option("--model", "models", multiple=True, help="A name or glob of the allow-list; may come again. None: all.")
@click.option("--settings", help='JSON, e.g. {"timeout_s": 120}.')
def add(**options: object) -> None:
    """Add a provider."""
    values = _values(options)

    async def work(session: Session) -> ProviderRecord:
        async with unit_of_work(session.engine) as connection:
            return await add_provider(connection, values, kinds=session.kinds, actor=ACTOR)

    added = run(work)
    tell(f"Provider {added.id} is added. Give it an account: gateway accounts add --provider {added.id}")


@providers.command()
@click.argument("provider_id")
def pause(provider_id: str) -> None:
    """Take it out of use: as if it were not there."""
    _set_active(provider_id, is_active=False)


@providers.command()
@click.argument("provider_id")
def resume(provider_id: str) -> None:
    """Take it into use again."""
    _set_active(provider_id, is_active=True)


@providers.command()
@click.argument("provider_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(provider_id: str, yes: bool) -> None:
    """Remove it, and its accounts with their credentials."""

    async def count(session: Session) -> int | None:
        async with unit_of_work(session.engine) as connection:
            known = await load_provider(connection, provider_id)
            return None if known is None else await count_accounts(connection, provider_id)

    async def work(session: Session) -> bool:
        async with unit_of_work(session.engine) as connection:
            return await remove_provider(connection, provider_id, actor=ACTOR)

    if not yes:
        accounts = run(count)
        if accounts is None:
            raise _unknown(provider_id)
        click.confirm(f"Remove provider {provider_id} and its {accounts} accounts?", abort=True, err=True)
    if not run(work):
        raise _unknown(provider_id)
    tell(f"Provider {provider_id} is removed.")


@providers.command()
@click.argument("provider_id")
@json_option
def verify(provider_id: str, as_json: bool) -> None:
    """Try the credential of each of its accounts with a call that costs nothing."""

    async def work(session: Session) -> list[Row]:
        async with unit_of_work(session.engine) as connection:
            if await load_provider(connection, provider_id) is None:
                raise _unknown(provider_id)
            page = await load_accounts(connection, ALL, provider_id=provider_id)
        return await verify_accounts(session, page.data)

    print_checks(run(work), as_json=as_json)


def _set_active(provider_id: str, *, is_active: bool) -> None:
    async def work(session: Session) -> ProviderRecord | None:
        async with unit_of_work(session.engine) as connection:
            change = {"is_active": is_active}
            return await change_provider(connection, provider_id, change, kinds=session.kinds, actor=ACTOR)

    if run(work) is None:
        raise _unknown(provider_id)
    tell(f"Provider {provider_id} {'serves' if is_active else 'rests'} now.")


def _values(options: dict[str, object]) -> dict[str, object]:
    """Columns from the options of `add`."""
    given = {name: value for name, value in options.items() if value is not None}
    preset = _preset(given.pop("preset", None))
    columns = {} if preset is None else preset.columns(has_auth="auth_strategy" not in given)
    settings = {**_object(columns.get("settings")), **_settings(given.pop("settings", None))}
    id_ = given.pop("provider_id", None if preset is None else preset.name)
    models = list(_texts(given.pop("models", ())))
    values = {**columns, **given, "id": id_, "supported_models": models, "settings": settings}
    if id_ is None or "base_url" not in values:
        raise click.UsageError("give an id and --base-url, or a --preset that has them")
    values.setdefault("name", id_)
    return values


def _preset(name: object) -> Preset | None:
    try:
        return None if name is None else preset_named(str(name))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--preset") from error


def _settings(text: object) -> dict[str, object]:
    try:
        return {} if text is None else _object(msgspec.json.decode(str(text)))
    except msgspec.DecodeError as error:
        raise click.BadParameter("must be a JSON object", param_hint="--settings") from error


def _object(value: object) -> dict[str, object]:
    if value is not None and not isinstance(value, dict):
        raise click.BadParameter("must be a JSON object", param_hint="--settings")
    return value or {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()


def _unknown(provider_id: str) -> click.ClickException:
    return click.ClickException(f"there is no provider {provider_id}: `gateway providers list` shows them")


def _shown(record: ProviderRecord) -> dict[str, object]:
    """Without `settings`, whose fixed headers may hold a secret."""
    fields = msgspec.structs.asdict(record)
    del fields["settings"]
    return fields
