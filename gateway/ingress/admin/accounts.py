"""`/api/v1/accounts`: the identities at providers that calls are balanced over."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway.core.ids import AccountId
from gateway.ingress.admin.account_views import (
    AccountChangesBody,
    AccountView,
    ImportAnswer,
    ImportBody,
    NewAccountBody,
    account_view,
)
from gateway.ingress.admin.deps import AdminDeps, AdminRequest, actor_of
from gateway.ingress.admin.operations import IsActive, Limit, Offset, ProviderFilter, RowId, errors, not_found
from gateway.store.account_import import ImportResult, import_keys, keys_of
from gateway.store.accounts import (
    add_account,
    change_account,
    load_account,
    load_accounts,
    lock_provider,
    remove_account,
)
from gateway.store.rows import Page, Span, given, unit_of_work

LabelFilter = Annotated[str | None, QueryParameter(description="Only accounts of exactly this label.")]


class AccountsController(Controller):
    path = "/accounts"
    tags = ("accounts",)

    @get(summary="List accounts", responses=errors(400))
    async def list_accounts(  # one parameter a query parameter
        self,
        deps: NamedDependency[AdminDeps],
        provider_id: ProviderFilter = None,
        label: LabelFilter = None,
        is_active: IsActive = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Page[AccountView]:
        """Oldest first, credentials masked."""
        async with unit_of_work(deps.engine) as connection:
            page = await load_accounts(
                connection, Span(limit, offset), provider_id=provider_id, label=label, is_active=is_active
            )
        return Page([account_view(deps, record) for record in page.data], page.total, page.limit, page.offset)

    @post(summary="Add an account", responses=errors(400, 409))
    async def add(self, request: AdminRequest, deps: NamedDependency[AdminDeps], data: NewAccountBody) -> AccountView:
        """It serves within a second. A credential that the provider has already is a 409."""
        values = msgspec.structs.asdict(data)
        async with unit_of_work(deps.engine) as connection:
            provider = await lock_provider(connection, data.provider_id)
            record, warnings = await add_account(connection, deps.cipher, provider, values, actor=actor_of(request))
        if not provider.is_active:
            warnings = [*warnings, f"The provider {provider.id} is not active: the account rests with it."]
        return account_view(deps, record, warnings)

    @post("/import", summary="Import many keys", status_code=200, responses=errors(400, 413))
    async def import_accounts(
        self, request: AdminRequest, deps: NamedDependency[AdminDeps], data: ImportBody
    ) -> ImportAnswer:
        """One account a line. Each line is kept or refused for itself; the answer says which, keys masked."""
        text = data.keys if isinstance(data.keys, str) else "\n".join(key.replace("\n", " ") for key in data.keys)
        async with unit_of_work(deps.engine) as connection:
            done = await import_keys(connection, deps.cipher, data.provider_id, keys_of(text), actor=actor_of(request))
        counts = {result.value: sum(key.result is result for key in done) for result in ImportResult}
        return ImportAnswer(**counts, keys=done)

    @get("/{account_id:uuid}", summary="Show an account", responses=errors(404))
    async def show(self, deps: NamedDependency[AdminDeps], account_id: RowId) -> AccountView:
        """Its credential masked."""
        async with unit_of_work(deps.engine) as connection:
            record = await load_account(connection, account_id)
        if record is None:
            raise not_found("account", account_id)
        return account_view(deps, record)

    @patch("/{account_id:uuid}", summary="Change an account", responses=errors(400, 404, 409))
    async def change(
        self,
        request: AdminRequest,
        deps: NamedDependency[AdminDeps],
        account_id: RowId,
        data: AccountChangesBody,
    ) -> AccountView:
        """Fields that are absent stay as they are.

        New `auth_data` keeps the account's id and history and lifts a rejection; so does `is_active`: true.
        """
        values = given(msgspec.structs.asdict(data))
        async with unit_of_work(deps.engine) as connection:
            changed = await change_account(connection, deps.cipher, account_id, values, actor=actor_of(request))
        if changed is None:
            raise not_found("account", account_id)
        record, warnings = changed
        if "auth_data" in values or data.is_active is True:
            deps.health.clear(AccountId(str(account_id)))
        return account_view(deps, record, warnings)

    @delete("/{account_id:uuid}", summary="Remove an account", responses=errors(404))
    async def remove(self, request: AdminRequest, deps: NamedDependency[AdminDeps], account_id: RowId) -> None:
        """Its credential is gone with it; what it made upstream can no longer be reached. Pausing keeps both."""
        async with unit_of_work(deps.engine) as connection:
            if not await remove_account(connection, account_id, actor=actor_of(request)):
                raise not_found("account", account_id)
