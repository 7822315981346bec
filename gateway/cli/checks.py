"""What `gateway doctor` checks: each check gives findings, and none of them raises for what it was made to find."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from gateway.cli.session import Session
from gateway.cli.verify import verify_accounts
from gateway.core.ids import ProviderId
from gateway.core.organizations import Membership, Organizations
from gateway.core.snapshot import Snapshot
from gateway.settings import AuthMode, Settings
from gateway.settings_load import is_loopback
from gateway.store.accounts import AccountRecord, load_accounts
from gateway.store.cipher import UnknownKey
from gateway.store.organizations import load_organizations
from gateway.store.providers import load_providers
from gateway.store.registry import load_snapshot
from gateway.store.rows import Span, unit_of_work
from gateway.store.sealing import check_keys

ALL = Span(limit=100_000)
MOST_NAMED = 5


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but looks wrong."""
    PROBLEM = "problem"
    """Something does not work."""


class Finding(msgspec.Struct, frozen=True):
    check: str
    state: State
    message: str
    advice: str = ""
    """What to do; empty when there is nothing to do."""


async def examine(session: Session, *, is_offline: bool) -> list[Finding]:
    """Everything behind the database's door."""
    try:
        async with unit_of_work(session.engine) as connection:
            await check_keys(connection, session.cipher)
    except UnknownKey as unknown:
        return [Finding("encryption", State.PROBLEM, str(unknown), "set GATEWAY_ENCRYPTION_KEYS as said")]
    default = session.settings.default_provider
    async with unit_of_work(session.engine) as connection:
        loaded = await load_snapshot(
            connection,
            version=1,
            cipher=session.cipher,
            kinds=session.kinds,
            default_provider=ProviderId(default) if default else None,
        )
        accounts = (await load_accounts(connection, ALL)).data
        learned = await load_organizations(connection)
        has_providers = bool((await load_providers(connection, Span(limit=1))).total)
    snapshot = loaded.snapshot
    findings = [
        Finding("encryption", State.OK, f"all rows open; key {session.cipher.key_id} seals"),
        *_sealing(len(loaded.plain), len(loaded.stale)),
        *_rows(snapshot),
        *_providers(snapshot, has_providers=has_providers),
        *_organizations(snapshot, learned),
        *_callers(session.settings, snapshot),
    ]
    return findings if is_offline else [*findings, *await _accounts(session, snapshot, accounts)]


def _sealing(plain: int, stale: int) -> Iterator[Finding]:
    if plain:
        yield Finding(
            "sealing", State.WARNING, f"{plain} accounts hold plain auth_data", "a running gateway seals them at once"
        )
    if stale:
        yield Finding(
            "sealing", State.WARNING, f"{stale} accounts are sealed with an older key", "a running gateway seals anew"
        )


def _rows(snapshot: Snapshot) -> Iterator[Finding]:
    for problem in snapshot.problems:
        state = State.PROBLEM if problem.is_skipped else State.WARNING
        skipped = " (skipped)" if problem.is_skipped else ""
        advice = "correct the row: `gateway db shell`, the admin API, or `gateway accounts`"
        yield Finding("rows", state, f"{problem.table} {problem.id}{skipped}: {problem.message}", advice)
    if not snapshot.problems:
        counts = f"{len(snapshot.providers)} providers, {len(snapshot.accounts)} accounts, {len(snapshot.keys)} keys"
        yield Finding("rows", State.OK, f"all active rows make sense: {counts}")


def _providers(snapshot: Snapshot, *, has_providers: bool) -> Iterator[Finding]:
    if not has_providers:
        yield Finding(
            "providers",
            State.PROBLEM,
            "there is no provider",
            "gateway providers add openai --base-url …, then accounts add",
        )
    elif not snapshot.providers:
        yield Finding("providers", State.PROBLEM, "no provider is active", "gateway providers resume ID")
    for provider_id, accounts in snapshot.accounts_of.items():
        if not accounts:
            advice = f"gateway accounts add --provider {provider_id}"
            yield Finding("providers", State.WARNING, f"{provider_id} has no active account", advice)


def _organizations(snapshot: Snapshot, learned: Sequence[Membership]) -> Iterator[Finding]:
    """Accounts that answers named one organisation for, and that nobody grouped."""
    known = Organizations.of(learned, snapshot)
    for (provider_id, name), accounts in known.siblings(snapshot.accounts.values()).items():
        labels = ", ".join(account.label for account in accounts[:MOST_NAMED])
        more = f" and {len(accounts) - MOST_NAMED} more" if len(accounts) > MOST_NAMED else ""
        message = f"{labels}{more} of {provider_id} belong to {name} and have no quota_group"
        yield Finding("limits", State.WARNING, message, f"set their quota_group (to {name}) if they share its limits")


def _callers(settings: Settings, snapshot: Snapshot) -> Iterator[Finding]:
    is_local = is_loopback(settings.server.host)
    needs_key = settings.auth is AuthMode.KEYS or (settings.auth is AuthMode.AUTO and not is_local)
    if needs_key and not snapshot.keys:
        yield Finding("callers", State.WARNING, "calls need a client key, and there is none", "gateway keys add NAME")
    if settings.auth is AuthMode.OPEN and not is_local:
        message = f"everybody who reaches {settings.server.host} may call (auth: open)"
        yield Finding("callers", State.WARNING, message, "set GATEWAY_AUTH=auto and make client keys")


async def _accounts(session: Session, snapshot: Snapshot, accounts: Sequence[AccountRecord]) -> list[Finding]:
    """Those that serve; what is skipped was reported already."""
    serving = [account for account in accounts if str(account.id) in snapshot.accounts]
    findings = []
    for row in await verify_accounts(session, serving):
        name = f"{row['provider_id']}/{row['label']}"
        if row["is_ok"]:
            findings.append(Finding("accounts", State.OK, f"{name} works, {row['models']} models"))
            continue
        said = ": ".join(str(part) for part in (row["outcome"], row["status"], row["message"]) if part)
        findings.append(Finding("accounts", State.PROBLEM, f"{name}: {said}", _advice(str(row["outcome"]), name)))
    return findings


_ADVICE = {
    "credential_rejected": "give {name} a new key: PATCH auth_data, or remove and add it",
    "no_token": "check token_url, and whether this machine may reach it",
    "out_of_quota": "add credit for {name}, or pause it",
    "missing_permission": "let the key of {name} read models, or ignore this if its calls work",
    "unreachable": "check base_url, and whether this machine may reach it",
    "timed_out": "check base_url, and whether this machine may reach it",
    "rate_limited": "wait, and try again",
}
"""By outcome."""


def _advice(outcome: str, name: str) -> str:
    return _ADVICE.get(outcome, "see the message; `gateway accounts verify` tries again").format(name=name)
