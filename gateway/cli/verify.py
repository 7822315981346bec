"""Tries accounts' credentials from the command line, with the same engines and the same reading as the service."""

import asyncio
from collections.abc import Sequence
from random import Random

import click

from gateway.cli.parks import lift_parks, parks_of
from gateway.cli.session import Session
from gateway.cli.show import Row, print_json, print_table
from gateway.core.outcome import OutcomeKind
from gateway.providers.catalog import KINDS
from gateway.relay.asking import Asking
from gateway.relay.checks import Checks
from gateway.relay.clock import SystemClock
from gateway.relay.credentials import Credentials
from gateway.store.accounts import AccountRecord, checked_values
from gateway.store.cipher import BrokenSeal, UnknownKey
from gateway.store.cooldowns import load_parks
from gateway.store.providers import load_provider
from gateway.store.row_checks import RowRefused
from gateway.store.rows import unit_of_work
from gateway.store.tokens import TokenTable
from gateway.upstream.engines import Engines

AT_ONCE = 8
"""Checks at a time: an upstream should not take us for an attack."""


async def verify_accounts(session: Session, accounts: Sequence[AccountRecord]) -> list[Row]:
    """One row an account, in order. An account that works rests no longer for a 401."""
    engine = Engines()
    clock = SystemClock()
    tokens = TokenTable(session.engine, session.cipher)
    credentials = Credentials(upstream=engine, store=tokens, kinds=KINDS, clock=clock)
    rng = Random()  # noqa: S311  # makes call ids, no secrets
    checks = Checks(asking=Asking(upstream=engine, kinds=KINDS, credentials=credentials, rng=rng), clock=clock)
    turns = asyncio.Semaphore(AT_ONCE)

    async def check(account: AccountRecord) -> Row:
        async with turns:
            return await _check(session, checks, account)

    try:
        return list(await asyncio.gather(*map(check, accounts)))
    finally:
        await credentials.aclose()
        await engine.aclose()


async def _check(session: Session, checks: Checks, account: AccountRecord) -> Row:
    row: dict[str, object] = {"id": str(account.id), "provider_id": account.provider_id, "label": account.label}
    async with unit_of_work(session.engine) as connection:
        provider = await load_provider(connection, account.provider_id)
    try:
        if provider is None:
            raise RowRefused("provider_id names no provider")  # noqa: TRY301  # the same end as other rows that cannot serve
        values = checked_values(session.cipher, session.kinds, provider, account)
    except (RowRefused, UnknownKey, BrokenSeal) as wrong:
        return {**row, "is_ok": False, "outcome": "not_tried", "status": None, "models": 0, "message": str(wrong)}
    result = await checks.check(*values)
    if result.is_ok:
        await _lift_what_401_began(session, account)
    outcome = result.outcome
    said = {"outcome": outcome.kind.value, "status": outcome.status, "models": len(result.models)}
    return {**row, "is_ok": result.is_ok, **said, "message": outcome.message}


async def _lift_what_401_began(session: Session, account: AccountRecord) -> None:
    async with unit_of_work(session.engine) as connection:
        parks = parks_of(account, await load_parks(connection))
        if any(park.is_rejected or park.reason is OutcomeKind.CREDENTIAL_REJECTED for park in parks):
            await lift_parks(connection, session.dsn, account)


def print_checks(rows: Sequence[Row], *, as_json: bool) -> None:
    """Ends the command with exit code 1 when one did not work."""
    if as_json:
        print_json(rows)
    else:
        columns = ("provider_id", "label", "is_ok", "outcome", "status", "models", "message")
        print_table(rows, columns, none="There is no account to verify.")
    if not all(row["is_ok"] for row in rows):
        click.get_current_context().exit(1)
