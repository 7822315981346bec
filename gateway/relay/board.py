"""This worker's live view: the current snapshot and its pools, the health of every scope, the load of every account.

Rules of this file: decisions about health are `core/cooldown`'s, what follows from them for others is told from here;
nothing here awaits.
"""

from collections.abc import Callable, Iterable, Mapping
from random import Random

import msgspec

from gateway.core.cooldown import (
    BLANK,
    Health,
    Phase,
    Witness,
    after,
    probe_passed,
    scope_hit,
    told,
)
from gateway.core.ids import NEVER, AccountId, CallId, Instant, ProviderId
from gateway.core.outcome import Outcome, OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park, is_of_another
from gateway.core.pieces import frees_at_once
from gateway.core.selection import served_after
from gateway.core.snapshot import Account, Snapshot
from gateway.core.takings import SOONEST_S
from gateway.providers.base import ProviderKind
from gateway.relay.breakers import Breakers
from gateway.relay.headrooms import note_refusal
from gateway.relay.healths import PROBE_PASSES_S, Healths
from gateway.relay.lease import Lease
from gateway.relay.member import Member
from gateway.relay.pool import Pool
from gateway.relay.pools import Pools
from gateway.relay.ports import Announcer, Clock
from gateway.relay.rests import ScopeStatus, health_of, park_of, status_of
from gateway.relay.views import Views

SOONER_S = 0.02
"""Who waits for the end of a window is told when that comes so much sooner than was believed."""
_OK = OutcomeKind.OK  # bound: Python 3.11 takes as long to find a member as to call a function


class Board:
    """Snapshot + health + loads of this worker. One per process; the event loop's thread only."""

    def __init__(
        self, *, clock: Clock, rng: Random, kinds: Mapping[str, ProviderKind], announcer: Announcer | None = None
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._announcer = announcer
        self.in_flight_calls = 0
        """Attempts under way on all accounts, answers that are still coming among them."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after anything changed for the better: calls that wait look again."""
        self.on_cooled: Callable[[Account, Scope, Health, Witness], None] = lambda *_news: None
        self.on_recovered: Callable[[Account, Scope, Health], None] = lambda _account, _scope, _before: None
        self.healths = Healths()
        self.breakers = Breakers(self._changed)
        self.views = Views(self.healths, self.breakers)
        self.view = self.views.of
        self.pools = Pools(clock=clock, kinds=kinds, on_change=self._changed)
        self.headrooms = self.pools.headrooms
        self._used: dict[ProviderId, Instant] = {}

    # -- registry ------------------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        """The registry as of now."""
        return self.pools.snapshot

    def replace_snapshot(self, snapshot: Snapshot) -> None:
        """Takes a new snapshot. Health stays, but an account with a new credential, or that came back, starts anew."""
        before = self.snapshot.accounts
        returned = {str(id_) for id_ in snapshot.accounts if id_ not in before}
        renewed = [
            id_
            for id_, account in snapshot.accounts.items()
            if id_ in before and before[id_].credential != account.credential
        ]
        self.headrooms.forget(renewed)
        self._forget([scope for scope, _ in self.healths.of_holders(returned.union(renewed))], is_told=True)
        self.breakers.renew(self.snapshot, snapshot)
        self.pools.replace_snapshot(snapshot, renewed=renewed)

    # -- attempts ------------------------------------------------------------------------------------------------

    def take(self, pool: Pool, member: Member, now: Instant, tokens: int = 0, call_id: CallId | None = None) -> Lease:
        """A slot on the member's account. If one of its scopes is due, this attempt is that scope's probe."""
        load = member.load
        pool.clock = max(pool.clock, load.served)
        is_dimmed = pool.view is not None and member.account_id in pool.view.dimmed
        load.served = served_after(load.served, member.weight, clock=pool.clock, is_dimmed=is_dimmed)
        load.in_flight += 1
        if member.account.max_concurrency is not None and not member.has_room():
            self.views.loads.note(member.account_id)
        self.in_flight_calls += 1
        self._used[pool.provider.id] = now
        lease = Lease(self, member, now, tokens, call_id)
        if self.healths.by_scope:
            self._start_probes(lease, now)
        if self.breakers.is_any_open and self.breakers.start_probe(lease):
            self.healths.note(None)
        return lease

    def _start_probes(self, lease: Lease, now: Instant) -> None:
        for scope in lease.member.scopes:
            health = self.healths.by_scope.get(scope)
            if health is not None and health.may_probe(now) and self.healths.probe_of(scope, health) is None:
                self.healths.probes[scope] = lease
                lease.probes += (scope,)
                self.healths.note(scope)

    def released(self, lease: Lease) -> None:
        """Called by the lease, once."""
        load = lease.member.load
        load.in_flight -= 1
        self.in_flight_calls -= 1
        if load.is_awaited:
            load.is_awaited = False
            self.views.loads.note(lease.member.account_id)
        for scope in lease.probes:
            if self.healths.probes.get(scope) is lease:
                self._end_probe(scope, lease)
                self.healths.note(scope)
        if self.breakers.is_any_open:
            self.breakers.released(lease)
        if lease.probes or lease.member.account.max_concurrency is not None:
            self.on_change()

    def _end_probe(self, scope: Scope, lease: Lease) -> None:
        """One that was not refused in time has passed, whatever it came to; one that ended before it says nothing."""
        del self.healths.probes[scope]
        health, now = self.healths.by_scope.get(scope, BLANK), self._clock.now()
        if health.may_probe(now) and lease.started > health.since and lease.started + PROBE_PASSES_S <= now:
            self.healths.put(scope, probe_passed(health))
            self.on_recovered(lease.member.account, scope, health)

    def observe(self, lease: Lease, outcome: Outcome, now: Instant) -> None:
        """Lets the scopes of the attempt's account feel what it came to."""
        member = lease.member
        if outcome.kind is _OK:
            self.pools.learned.note_served(member)
            self.breakers.passed(lease, now)
            if self.healths.by_scope:
                self._heal(lease, outcome, now)
            self._note_room(member, now)
            return
        self.breakers.observe(lease, outcome, now)
        scope = self._scope_hit(member, outcome)
        if scope is None or (scope.holder == member.account_id and self.is_renewed(member)):
            return
        if outcome.kind is OutcomeKind.RATE_LIMITED:
            outcome = note_refusal(lease, outcome, now)
        is_known = self.pools.learned.is_served(member)
        before = self.healths.by_scope.get(scope, BLANK)
        health = after(
            before, outcome, started=lease.started, now=now, jitter=self._rng.random(), is_model_known=is_known
        )
        if health is before:
            return
        self.healths.put(scope, health)
        self.healths.bound(now)
        if health.avoided_until > before.avoided_until:
            self.healths.errors[scope] = outcome.message
        if health.phase is not Phase.READY and (health.until > before.until or before.phase is Phase.READY):
            self.healths.errors[scope] = outcome.message
            if health.since != before.since:
                self.on_cooled(member.account, scope, health, Witness(lease.call_id, scope in lease.probes))
            if outcome.kind is not OutcomeKind.NO_ACCESS_TO_MODEL or is_known:
                self._announce(scope, health)

    def is_renewed(self, member: Member) -> bool:
        """The account has another credential by now: what the old one comes to says nothing of it."""
        account = self.snapshot.accounts.get(member.account_id)
        return account is not None and account.credential != member.account.credential

    def _note_room(self, member: Member, now: Instant) -> None:
        """An answer may have told that a call fits sooner than was believed."""
        for index, headroom in enumerate(member.headrooms):
            if headroom.awaited_at == NEVER:
                continue
            is_at_once = bool(headroom.levels) and frees_at_once(headroom.levels)
            soon_s = headroom.awaited_at - now - SOONER_S if is_at_once else 0.0
            if headroom.wait_s(1, now) <= max(SOONEST_S, soon_s):
                headroom.awaited_at = NEVER
                self.healths.note([scope for scope in member.scopes if scope.kind is ScopeKind.HOLDER_MODEL][index])
                self.on_change()

    def _scope_hit(self, member: Member, outcome: Outcome) -> Scope | None:
        if outcome.limit_name is not None:
            is_new = self.pools.learned.note_limit_name(member, outcome.limit_name)
            if is_new is None:  # nobody would look at a scope of that name
                outcome = msgspec.structs.replace(outcome, limit_name=None)
            elif is_new:
                self.pools.drop()
        return scope_hit(outcome, member.names)

    def _heal(self, lease: Lease, outcome: Outcome, now: Instant) -> None:
        for scope in lease.member.scopes:
            before = self.healths.by_scope.get(scope)
            if before is None:
                continue
            health = after(before, outcome, started=lease.started, now=now, jitter=0.0)
            if health is before:
                continue
            self.healths.put(scope, health)
            if before.phase is not Phase.READY:
                self.on_recovered(lease.member.account, scope, before)
                if self._announcer is not None:
                    self._announcer.announce_recovery(scope)
            self.on_change()

    def tidy(self) -> None:
        """Drops what no longer says anything, so that memory stays flat and the usual call meets an empty table."""
        now = self._clock.now()
        self.healths.tidy(now)
        self.pools.tidy(now)

    def _changed(self) -> None:
        self.healths.note(None)
        self.on_change()

    # -- other processes and people ------------------------------------------------------------------------------

    def _announce(self, scope: Scope, health: Health) -> None:
        if self._announcer is not None:
            self._announcer.announce(park_of(scope, health, self._clock, mark=self._mark_of(scope)))

    def _mark_of(self, scope: Scope) -> str | None:
        """Of the account's credential, where the scope is one account's."""
        account = self.snapshot.accounts.get(AccountId(scope.holder))
        return None if account is None else account.credential_mark

    def hear_parks(self, parks: Iterable[Park]) -> None:
        """Another process, or the table at the start, tells of parks.

        A process that does not know yet of an account's new credential speaks of the old one.
        """
        for park in parks:
            if is_of_another(park.credential_mark, self._mark_of(park.scope)):
                continue
            heard = health_of(park, self._clock)
            self.healths.put(park.scope, told(self.healths.by_scope.get(park.scope, BLANK), heard))

    def hear_recoveries(self, scopes: Iterable[Scope]) -> None:
        """Another process saw these scopes serve, or an operator cleared them."""
        self._forget(scopes, is_told=False)
        self.on_change()

    def _forget(self, scopes: Iterable[Scope], *, is_told: bool) -> None:
        """Nothing is held against them, and what is still under way does not count. `is_told`: to the others, too."""
        now = self._clock.now()
        for scope in scopes:
            self.healths.forget(scope, now)
            if is_told and self._announcer is not None:
                self._announcer.announce_recovery(scope)

    def lift(self, scopes: Iterable[Scope]) -> None:
        """What they were parked for was no fault of theirs, here and in every other process."""
        self._forget(scopes, is_told=True)
        self.on_change()

    def holders_parked_for(self, reason: OutcomeKind) -> set[str]:
        """Who rests for that reason."""
        healths = self.healths.by_scope.items()
        return {scope.holder for scope, health in healths if health.reason is reason and health.phase != Phase.READY}

    def clear(self, account_id: AccountId) -> None:
        """An operator says that the account is well: all its rests end, here and in every other process."""
        account, holders = self.snapshot.accounts.get(account_id), self._holders(account_id)
        known = self.healths.of_holders(holders)
        for scope, health in known:
            if account is not None and health.phase is not Phase.READY:
                self.on_recovered(account, scope, health)
        self.headrooms.forget(holders)
        self._forget([scope for scope, _ in known], is_told=True)
        self._changed()

    def _holders(self, account_id: AccountId) -> set[str]:
        account = self.snapshot.accounts.get(account_id)
        return {str(account_id)} if account is None else {str(account_id), account.holder}

    def is_rejected(self, account_id: AccountId) -> bool:
        """Its credential was refused until somebody looks after it."""
        health = self.healths.by_scope.get(Scope(ScopeKind.ACCOUNT, str(account_id)))
        return health is not None and health.phase is Phase.REJECTED

    def status_of(self, account_id: AccountId) -> list[ScopeStatus]:
        """Every scope of the account that something is known against."""
        now = self._clock.now()
        return [
            status_of(scope, health, self.healths.errors.get(scope, ""), self._clock)
            for scope, health in self.healths.of_holders(self._holders(account_id))
            if health.phase is not Phase.READY or health.strikes or health.avoided_until > now
        ]

    def last_used(self, provider_id: ProviderId) -> Instant:
        """When the last attempt at the provider began; long ago if there was none."""
        return self._used.get(provider_id, NEVER)

    def in_flight(self, account_id: AccountId) -> int:
        """This worker's attempts under way on the account."""
        return self.pools.in_flight(account_id)

    def states(self) -> dict[ProviderId, dict[Phase, int]]:
        """Accounts by provider and phase; an account counts by the worst scope that covers all its models."""
        now = self._clock.now()
        counts: dict[ProviderId, dict[Phase, int]] = {id_: dict.fromkeys(Phase, 0) for id_ in self.snapshot.providers}
        for account in self.snapshot.accounts.values():
            phases = {
                health.phase
                for scope in (Scope(ScopeKind.ACCOUNT, str(account.id)), Scope(ScopeKind.HOLDER, account.holder))
                if (health := self.healths.by_scope.get(scope)) is not None and health.until > now
            }
            worst = next((phase for phase in (Phase.REJECTED, Phase.COOLING) if phase in phases), Phase.READY)
            counts[account.provider_id][worst] += 1
        return counts
