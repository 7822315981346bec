"""What the admin API, /health and the gauges' readers see of this worker's parts: functions that answer at once.

`app.py` hands them to the pages; no page knows the parts themselves.
"""

import asyncio

import msgspec

from gateway.core.cooldown import Phase
from gateway.core.ids import AccountId
from gateway.core.outcome import OutcomeKind
from gateway.core.snapshot import Account, Provider
from gateway.ingress.admin.deps import VerifyResult
from gateway.ingress.ops import DatabaseHealth
from gateway.notify.listener import Listener
from gateway.relay.affiliations import LearnedOrganization
from gateway.relay.board import Board
from gateway.relay.checks import Checks
from gateway.relay.gate import Gate
from gateway.relay.headroom_views import ScopeHeadroom, headroom_views
from gateway.relay.ports import Clock
from gateway.store.watcher import RegistryWatcher
from gateway.telemetry.breaker_book import OpenBreaker
from gateway.telemetry.metrics import Metrics

STALE_SNAPSHOT_S = 30.0
"""The registry is polled every 10 s: when it was not confirmed for so long, the database is away."""


class Views(msgspec.Struct, frozen=True, kw_only=True):
    """`OpsDeps` and `AdminDeps` say what each of them is for."""

    board: Board
    watcher: RegistryWatcher
    listener: Listener
    checks: Checks
    metrics: Metrics
    gate: Gate
    clock: Clock

    # -- /health ---------------------------------------------------------------------------------------------------

    def readiness(self) -> str | None:
        if self.gate.is_draining:
            return "draining"
        return None if self.watcher.snapshot.version else "the registry is not loaded yet"

    def accounts(self) -> dict[str, int]:
        counts = dict.fromkeys((phase.value for phase in Phase), 0)
        for of_provider in self.board.states().values():
            for phase, count in of_provider.items():
                counts[phase.value] += count
        return counts

    def database(self) -> DatabaseHealth:
        age_s = self.watcher.age_s
        return DatabaseHealth(
            is_connected=age_s < STALE_SNAPSHOT_S,
            snapshot_age_s=round(age_s, 3),
            listener="connected" if self.listener.state.is_connected else "lost",
        )

    # -- an account ------------------------------------------------------------------------------------------------

    async def headroom(self, account_id: AccountId) -> list[ScopeHeadroom]:
        account = self.board.snapshot.accounts.get(account_id)
        if account is None:
            return []
        now = self.clock.now()
        others = await asyncio.to_thread(self.metrics.headrooms.read)
        own = self.board.headrooms.of_holder(account.holder, now)
        return headroom_views([*own, *(seen for seen in others if seen.holder == account.holder)], now)

    def breakers(self, account_id: AccountId) -> list[OpenBreaker]:
        account = self.board.snapshot.accounts.get(account_id)
        if account is None:
            return []
        origins = {str(self.board.pools.origin_of(account))}
        return [each for each in self.metrics.breakers.read() if each.concerns(account.provider_id, origins=origins)]

    def organization(self, account_id: AccountId) -> LearnedOrganization | None:
        return self.board.pools.affiliations.learned(account_id, self.board.snapshot)

    async def verify(self, provider: Provider, account: Account) -> VerifyResult:
        outcome = (await self.checks.check(provider, account, is_ahead=True)).outcome
        is_ok = outcome.kind is OutcomeKind.OK
        return VerifyResult(is_ok=is_ok, outcome=outcome.kind, status=outcome.status, message=outcome.message)
