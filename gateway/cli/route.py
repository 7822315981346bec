"""`route MODEL`: which provider serves a model, by which route, and which accounts could take the next call."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click
import msgspec

from gateway.cli.parks import WHOLE, scope_text
from gateway.cli.running import headrooms_of
from gateway.cli.session import Session, run
from gateway.cli.show import in_short, json_option, print_json, print_table, tell
from gateway.core.call import BodyKind, Call, Endpoint
from gateway.core.errors import CallRefused
from gateway.core.ids import CallId, ModelName, ProviderId
from gateway.core.organizations import Organizations
from gateway.core.outcome import ScopeKind
from gateway.core.parks import Park
from gateway.core.routing import Targets, route_of, targets_for
from gateway.core.snapshot import Account, Snapshot
from gateway.providers.catalog import KINDS
from gateway.settings_load import load_settings
from gateway.store.accounts import AccountRecord, load_accounts
from gateway.store.cooldowns import load_parks
from gateway.store.organizations import load_organizations
from gateway.store.registry import load_snapshot
from gateway.store.rows import Span, unit_of_work
from gateway.supervisor import living_metrics_dirs
from gateway.telemetry.breaker_book import OpenBreaker, read_breakers

MOST_ASKED = 50
"""Accounts whose headroom is asked for: each costs a request."""
_ENDPOINT = Endpoint(name="chat.completions", method="POST", path="/chat/completions", body=BodyKind.JSON)


class Candidate(msgspec.Struct, kw_only=True):
    """An account of the provider, and whether it could take the next call."""

    account: str
    account_id: str
    tier: int
    state: str
    """`ready`, `cooling`, `rejected`; `inactive`, `skipped` or `not for this model`: no candidate."""
    reason: str | None = None
    scope: str | None = None
    """What rests: `account`, `quota group`, a model."""
    until_at: datetime | None = None
    strikes: int | None = None
    headroom: str | None = None
    """What is left of its limits for the model, as the worker believes that was told of them last; None: not known."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    provider: str
    pattern: str | None
    """Of the route; None: the default provider, or the only one."""
    upstream_model: str
    fallbacks: tuple[str, ...]
    candidates: list[Candidate]
    breakers: list[OpenBreaker]
    """What rests whichever account would ask, as the gateways of this `GATEWAY_HOME` know."""
    problems: list[str]
    """Of rows of this provider."""

    @property
    def has_candidate(self) -> bool:
        is_broken = any(each.until_at > datetime.now(UTC) for each in self.breakers)
        return not is_broken and any(candidate.state == "ready" for candidate in self.candidates)


@click.command()
@click.argument("model")
@click.option("--provider", help="As a caller's header `x-provider` would say.")
@json_option
def route(model: str, provider: str | None, as_json: bool) -> None:
    """Explain who would serve MODEL now: provider, route, accounts, and what rests until when and why.

    Rests are those of 5 s and more, which running gateways keep in the database; breakers those of gateways with the
    same GATEWAY_HOME. Exit code 1 when nobody could serve.
    """
    explanation = run(lambda session: _explain(session, model, provider))
    candidates = explanation.candidates
    ids = [candidate.account_id for candidate in candidates if candidate.state != "skipped"][:MOST_ASKED]
    left = headrooms_of(load_settings(), ids, explanation.upstream_model.lower())
    for candidate in candidates:
        candidate.headroom = left.get(candidate.account_id) or None
    if as_json:
        print_json(explanation)
    else:
        _print(explanation)
    if not explanation.has_candidate:
        click.get_current_context().exit(1)


async def _explain(session: Session, model: str, named: str | None) -> Explanation:
    settings = session.settings
    default = ProviderId(settings.default_provider) if settings.default_provider else None
    async with unit_of_work(session.engine) as connection:
        loaded = await load_snapshot(
            connection, version=1, cipher=session.cipher, kinds=session.kinds, default_provider=default
        )
        snapshot = loaded.snapshot
        targets = _targets(snapshot, model, named)
        rows = (await load_accounts(connection, Span(limit=100_000), provider_id=targets.provider.id)).data
        parks = await load_parks(connection)
        learned = await load_organizations(connection)
    snapshot = Organizations.of(learned, snapshot).applied_to(snapshot)
    targets = _targets(snapshot, model, named)
    found = route_of(snapshot, model)
    is_by_route = found is not None and found.provider_id == targets.provider.id
    names = frozenset({model.lower(), targets.upstream_model.lower()})
    return Explanation(
        model=model,
        provider=targets.provider.id,
        pattern=found.pattern if found is not None and is_by_route else None,
        upstream_model=targets.upstream_model,
        fallbacks=targets.fallbacks,
        candidates=[_candidate(row, targets, snapshot, parks, names) for row in _in_order(rows)],
        breakers=_breakers(session, targets),
        problems=_problems(snapshot, targets, rows),
    )


def _targets(snapshot: Snapshot, model: str, named: str | None) -> Targets:
    call = Call(
        id=CallId("explain"),
        endpoint=_ENDPOINT,
        model=ModelName(model),
        named_provider=ProviderId(named) if named else None,
    )
    try:
        return targets_for(snapshot, call)
    except CallRefused as refused:
        raise click.ClickException(refused.message) from refused


def _in_order(rows: Sequence[AccountRecord]) -> list[AccountRecord]:
    return sorted(rows, key=lambda row: (not row.is_active, row.tier, row.created_at))


def _candidate(
    row: AccountRecord, targets: Targets, snapshot: Snapshot, parks: Sequence[Park], names: frozenset[str]
) -> Candidate:
    shown = Candidate(account=row.label, account_id=str(row.id), tier=row.tier, state="ready")
    account = next((account for account in targets.accounts if account.id == str(row.id)), None)
    if not row.is_active:
        return msgspec.structs.replace(shown, state="inactive")
    if account is None:
        is_known = any(account_id == str(row.id) for account_id in snapshot.accounts)
        return msgspec.structs.replace(shown, state="not for this model" if is_known else "skipped")
    park = _park_of(account, parks, names)
    if park is None:
        return shown
    return msgspec.structs.replace(
        shown,
        state="rejected" if park.is_rejected else "cooling",
        reason=park.reason.value,
        scope=scope_text(park),
        until_at=None if park.is_rejected else park.until_at,
        strikes=park.strikes,
    )


def _park_of(account: Account, parks: Sequence[Park], names: frozenset[str]) -> Park | None:
    """The longest rest that keeps the account from serving the model."""
    mine = [park for park in parks if park.scope.holder in {str(account.id), account.holder}]
    keeping = [park for park in mine if park.scope.kind in WHOLE or _is_of_model(park, names)]
    return max(keeping, key=lambda park: (park.is_rejected, park.until_at), default=None)


def _is_of_model(park: Park, names: frozenset[str]) -> bool:
    """Limits may be named after the family: `gpt-4o` covers `gpt-4o-2024-08-06`."""
    if park.scope.kind is ScopeKind.ACCOUNT_ENDPOINT:
        return False
    return any(name == park.scope.what or name.startswith(f"{park.scope.what}-") for name in names)


def _breakers(session: Session, targets: Targets) -> list[OpenBreaker]:
    """Those that calls for the model would meet."""
    provider, kind = targets.provider, KINDS[targets.provider.kind]
    origins = {str(kind.destination_of(provider, account.credential).origin) for account in targets.accounts}
    model = targets.upstream_model.lower()
    seen = read_breakers(*living_metrics_dirs(session.settings.home))
    return [each for each in seen if each.concerns(provider.id, origins=origins, model=model)]


def _problems(snapshot: Snapshot, targets: Targets, rows: Sequence[AccountRecord]) -> list[str]:
    labels = {str(row.id): f"account {row.label}" for row in rows} | {targets.provider.id: "provider"}
    return [f"{labels[problem.id]}: {problem.message}" for problem in snapshot.problems if problem.id in labels]


def _print(explanation: Explanation) -> None:
    by = f"route {explanation.pattern}" if explanation.pattern else "no route: the default or the only provider"
    click.echo(f"{explanation.model} → provider {explanation.provider} ({by}), sent as {explanation.upstream_model}")
    if explanation.fallbacks:
        click.echo(f"fallbacks: {', '.join(explanation.fallbacks)}")
    now = datetime.now(UTC)
    rows = [
        {**msgspec.structs.asdict(found), "until": in_short(found.until_at, now) if found.until_at else None}
        for found in explanation.candidates
    ]
    columns = ("tier", "account", "state", "reason", "scope", "until", "strikes", "headroom")
    print_table(rows, columns, none=f"Provider {explanation.provider} has no account: gateway accounts add --help")
    for each in explanation.breakers:
        click.echo(f"{each}, {_until_probe(each, now)}")
    for problem in explanation.problems:
        tell(f"Problem: {problem}")


def _until_probe(breaker: OpenBreaker, now: datetime) -> str:
    if breaker.until_at <= now:
        return "one call finds out now"
    return f"{in_short(breaker.until_at, now)} to the next probe"
