"""What the admin API needs from the rest of the gateway; `app.py` hands it over."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from litestar import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.ids import AccountId, Secret
from gateway.core.outcome import OutcomeKind
from gateway.core.snapshot import Account, Provider, Snapshot
from gateway.relay.affiliations import LearnedOrganization
from gateway.relay.headroom_views import ScopeHeadroom
from gateway.relay.rests import ScopeStatus
from gateway.store.cipher import Cipher
from gateway.telemetry.breaker_book import OpenBreaker
from gateway.telemetry.calls import Calls

AdminRequest = Request[Any, Any, Any]


class VerifyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a cheap call with an account's credential came to."""

    is_ok: bool
    outcome: OutcomeKind
    status: int | None = None
    """The upstream's HTTP status; None when no answer came."""
    message: str = ""
    """The upstream's words or the transport's fault, without secrets; empty when all is well."""


class HealthView(Protocol):
    """This worker's board, as far as administrators see it."""

    def status_of(self, account_id: AccountId) -> list[ScopeStatus]:
        """Every scope of the account that something is known against."""
        ...

    def in_flight(self, account_id: AccountId) -> int:
        """Attempts that run on the account now."""
        ...

    def clear(self, account_id: AccountId) -> None:
        """Lifts every park of the account, its quota group's too, here and on the other processes. Never raises."""
        ...


Verify = Callable[[Provider, Account], Awaitable[VerifyResult]]
"""Asks the account's upstream for its models. Never raises for what the network or the upstream does."""


class AdminDeps(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the controllers touch."""

    engine: AsyncEngine
    cipher: Cipher
    admin_token: Secret | None
    is_loopback: bool
    """Whether the gateway listens on loopback alone."""
    health: HealthView
    verify: Verify
    snapshot: Callable[[], Snapshot]
    """The current one."""
    kinds: frozenset[str]
    """Names of the provider kinds that this release has code for."""
    calls: Calls
    """The newest ones of all workers."""
    headroom: Callable[[AccountId], Awaitable[list[ScopeHeadroom]]]
    """What is left of the limits that the account's quota group shares, as the worker believes that was told last."""
    organization: Callable[[AccountId], LearnedOrganization | None]
    """The organisation that answers named for an account."""
    breakers: Callable[[AccountId], list[OpenBreaker]]
    """What rests of its provider or its address, in any worker. Reads files: call it in a thread."""


def problem_of(deps: AdminDeps, table: str, row_id: str) -> str | None:
    """Why the snapshot skips the row, or what looks wrong about it; None when all is well."""
    messages = [
        problem.message for problem in deps.snapshot().problems if (problem.table, problem.id) == (table, row_id)
    ]
    return "; ".join(messages) or None


def actor_of(request: AdminRequest) -> str:
    """For the audit row: there is one admin token, so the address tells more than a name could."""
    return f"admin from {request.client.host}" if request.client else "admin"
