"""`/api/v1/accounts/{id}/status`, `/verify`, `/clear-cooldown`: how an account stands, and what helps it."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency

from gateway.core.cooldown import Phase
from gateway.core.ids import AccountId
from gateway.core.outcome import OutcomeKind
from gateway.ingress.admin.account_views import AccountStatus, status_view
from gateway.ingress.admin.deps import AdminDeps, AdminRequest, VerifyResult, actor_of
from gateway.ingress.admin.operations import RowId, errors, not_found
from gateway.relay.rests import ScopeStatus
from gateway.store.accounts import AccountRecord, checked_values, load_account
from gateway.store.audit import record_change
from gateway.store.cipher import BrokenSeal, UnknownKey
from gateway.store.providers import ProviderRecord, load_provider
from gateway.store.row_checks import RowRefused
from gateway.store.rows import unit_of_work


class AccountHealthController(Controller):
    path = "/accounts/{account_id:uuid}"
    tags = ("accounts",)

    @get("/status", summary="Show an account's health", responses=errors(404))
    async def status(self, deps: NamedDependency[AdminDeps], account_id: RowId) -> AccountStatus:
        """Per scope (the account, its quota group, a model, an endpoint): state, reason, until when, strikes."""
        record, _ = await _load(deps, account_id)
        return await status_view(deps, record)

    @post("/verify", summary="Try an account's credential", status_code=200, responses=errors(404))
    async def verify(self, deps: NamedDependency[AdminDeps], account_id: RowId) -> VerifyResult:
        """Asks the upstream for its models, which is free. Success ends what a 401 began; a refusal is a 200 too."""
        record, provider = await _load(deps, account_id)
        try:
            values = checked_values(deps.cipher, deps.kinds, provider, record)
        except (RowRefused, UnknownKey, BrokenSeal) as wrong:
            return VerifyResult(is_ok=False, outcome=OutcomeKind.CREDENTIAL_REJECTED, message=f"not tried: {wrong}")
        result = await deps.verify(*values)
        account = AccountId(str(account_id))
        if result.is_ok and any(map(_is_about_credential, deps.health.status_of(account))):
            deps.health.clear(account)
        return result

    @post("/clear-cooldown", summary="End an account's rests", status_code=200, responses=errors(404))
    async def clear_cooldown(
        self, request: AdminRequest, deps: NamedDependency[AdminDeps], account_id: RowId
    ) -> AccountStatus:
        """Every park of the account and of its quota group ends, on all workers. It may be refused again at once."""
        record, _ = await _load(deps, account_id)
        async with unit_of_work(deps.engine) as connection:
            await record_change(
                connection,
                actor=actor_of(request),
                action="cooldown cleared",
                table="accounts",
                row_id=str(account_id),
            )
        deps.health.clear(AccountId(str(account_id)))
        return await status_view(deps, record)


def _is_about_credential(scope: ScopeStatus) -> bool:
    """It rests, or is rejected, for what a successful check disproves."""
    is_cooling_for_it = scope.state is Phase.COOLING and scope.reason is OutcomeKind.CREDENTIAL_REJECTED
    return is_cooling_for_it or scope.state is Phase.REJECTED


async def _load(deps: AdminDeps, account_id: UUID) -> tuple[AccountRecord, ProviderRecord]:
    async with unit_of_work(deps.engine) as connection:
        record = await load_account(connection, account_id)
        provider = None if record is None else await load_provider(connection, record.provider_id)
    if record is None or provider is None:
        raise not_found("account", account_id)
    return record, provider
