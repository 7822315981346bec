"""The pools of this worker: which accounts may serve a model at an endpoint, made once from the snapshot.

Rules of this file: a pool is made for the first call that asks for it, and all are thrown away when what they were made
of changes; loads, headrooms and destinations are kept, so that the new ones go on where the old ones were. Accounts
that answers tell to be of one organisation have one holder: `snapshot` has it so, the rows do not.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from gateway.core.call import Call
from gateway.core.cooldown import ScopeNames
from gateway.core.ids import FOREVER, AccountId, Instant, ModelName
from gateway.core.organizations import Membership, Organization
from gateway.core.outcome import ScopeKind
from gateway.core.routing import targets_for
from gateway.core.snapshot import Account, Snapshot
from gateway.providers.base import Destination, Origin, ProviderKind
from gateway.relay.affiliations import Affiliations
from gateway.relay.headrooms import Headrooms
from gateway.relay.job import Job
from gateway.relay.learned import Learned
from gateway.relay.member import Load, Member
from gateway.relay.pool import Pool
from gateway.relay.ports import Clock

MAX_POOLS = 4096
"""Callers choose model names: beyond this many the pools are made anew."""
REGROUP_S = 0.05
"""Accounts of one organisation become known one after the other: pools are made anew at most so often."""


class Pools:
    """One per board."""

    def __init__(self, *, clock: Clock, kinds: Mapping[str, ProviderKind], on_change: Callable[[], None]) -> None:
        """`on_change`: pools that were handed out before are not the ones that calls get now."""
        self._clock = clock
        self._kinds = kinds
        self._on_change = on_change
        self.snapshot = Snapshot()
        """The registry, with what was learned of organisations."""
        self._rows = Snapshot()
        """The same as it came."""
        self.headrooms = Headrooms()
        self.learned = Learned()
        self.affiliations = Affiliations(self._note_organization)
        self.on_organization: Callable[[Organization, list[Account]], None] = lambda *_news: None
        """Answers named the organisation of these accounts, or told whether they share its limits."""
        self._regroups_at = FOREVER
        self._loads: dict[AccountId, Load] = {}
        self._destinations: dict[AccountId, Destination] = {}
        self._pools: dict[tuple[str, ...], Pool] = {}

    def replace_snapshot(self, snapshot: Snapshot, *, renewed: Iterable[AccountId]) -> None:
        """`renewed`: accounts whose credential is another one now."""
        self.affiliations.forget(renewed)
        self._loads = {account_id: self._loads.get(account_id) or Load() for account_id in snapshot.accounts}
        self._rows = snapshot
        self._destinations = {}
        self._regroup()

    def drop(self) -> None:
        """What they were made of has changed: each is made anew when a call asks for it."""
        self._pools = {}

    def tidy(self, now: Instant) -> None:
        """Headrooms that nobody uses go, and the members that hold them."""
        if self.headrooms.is_crowded:
            self.drop()
            self.affiliations.clear()
            self.headrooms.drop_idle(now)

    # -- what calls ask ------------------------------------------------------------------------------------------

    def pool_for(self, call: Call) -> Pool:
        """The pool that may serve `call`. Raises CallRefused when nothing is configured for it (SPEC §3)."""
        if self._regroups_at != FOREVER and self._clock.now() >= self._regroups_at:
            self._regroup()
        key: tuple[str, ...] = (call.named_provider or "", (call.model or "").lower(), call.endpoint.name)
        if call.pinned is not None:
            key = (*key, "pinned", *sorted(call.pinned))
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pool_of(call, key)
            if len(self._pools) >= MAX_POOLS:
                self._pools.clear()
            self._pools[key] = pool
        return pool

    def note_lines(self, keys: Iterable[tuple[str, ...]], now: Instant) -> None:
        """Calls wait for these pools: the other processes should know of it."""
        for key in keys:
            pool = self._pools.get(key)
            for member in () if pool is None else pool.members:
                for headroom in member.headrooms:
                    headroom.wanted_at = now

    def refreshed(self, job: Job) -> Job:
        """The job with the pool as it is now: accounts may have come or gone since, or a limit's name been learned.

        A pool of another provider or model than the job was prepared for is left aside.
        """
        old = job.pool
        if self._pools.get(old.key) is old:
            return job
        pool = self.pool_for(job.call)
        is_fit = (
            pool.provider.id == old.provider.id and pool.kind is old.kind and pool.model.lower() == old.model.lower()
        )
        return msgspec.structs.replace(job, pool=pool) if is_fit else job

    def _pool_of(self, call: Call, key: tuple[str, ...]) -> Pool:
        targets = targets_for(self.snapshot, call)
        kind = self._kinds[targets.provider.kind]
        model = targets.upstream_model
        members = [self._member(account, model, call.endpoint.name, kind) for account in targets.accounts]
        return Pool(
            key=key,
            provider=targets.provider,
            kind=kind,
            model=model,
            is_model_kept=targets.is_model_kept,
            endpoint=call.endpoint,
            members=members,
            fallbacks=targets.fallbacks,
        )

    def _member(self, account: Account, model: ModelName, endpoint: str, kind: ProviderKind) -> Member:
        name = model.lower() or f"endpoint:{endpoint}"  # limits of a call without a model are those of its endpoint
        names = ScopeNames(str(account.id), account.holder, name, endpoint)
        limits = self.learned.limit_names(account.provider_id, name)
        scopes = (
            *(names.scope(scope_kind) for scope_kind in ScopeKind),
            *(names.scope(ScopeKind.HOLDER_MODEL, limit=limit) for limit in limits),
        )
        limited = [scope for scope in scopes if scope.kind is ScopeKind.HOLDER_MODEL]
        headrooms = self.headrooms.of(limited, account.provider_id)
        alone = msgspec.structs.replace(names, holder=names.account)
        if account.holder != names.account:  # what spent its project's money
            scopes += (alone.scope(ScopeKind.HOLDER),)
        if account.organization is not None:  # parks from before that was known, and of processes that do not know it
            scopes += (alone.scope(ScopeKind.HOLDER_MODEL),)
        destination = self._destination_of(account, kind)
        member = Member(account, self._loads[account.id], names, scopes, destination, headrooms)
        member.watch = self.affiliations.watch(account, name)
        return member

    def _destination_of(self, account: Account, kind: ProviderKind) -> Destination:
        destination = self._destinations.get(account.id)
        if destination is None:
            provider = self.snapshot.providers[account.provider_id]
            destination = self._destinations[account.id] = kind.destination_of(provider, account.credential)
        return destination

    def origin_of(self, account: Account) -> Origin:
        """Where its attempts go."""
        return self._destination_of(account, self._kinds[self.snapshot.providers[account.provider_id].kind]).origin

    def in_flight(self, account_id: AccountId) -> int:
        """This worker's attempts under way on the account."""
        load = self._loads.get(account_id)
        return 0 if load is None else load.in_flight

    # -- organisations -------------------------------------------------------------------------------------------

    def hear_organizations(self, memberships: Iterable[Membership]) -> None:
        """Another process, or the table at the start, tells which accounts belong together."""
        organizations, accounts = self.affiliations.organizations, self._rows.accounts
        is_news, now = False, self._clock.now()
        for heard in memberships:
            account = accounts.get(heard.account_id)
            if account is not None:
                organization = (account.provider_id, heard.organization)
                is_named = self.affiliations.name(account, heard.organization, now)
                is_news |= is_named and organizations.is_shared(organization)
                if heard.is_shared is not None:
                    is_news |= (
                        organizations.share(organization) if heard.is_shared else organizations.part(organization)
                    )
        if is_news:
            self._regroups_at = now

    def _note_organization(self, organization: Organization) -> None:
        """At the next call's look, and not for each account of a large organisation at once."""
        accounts = [
            account
            for account in self.snapshot.accounts_of.get(organization[0], ())
            if self.affiliations.organizations.names.get(account.id) == organization[1]
        ]
        self.on_organization(organization, accounts)
        if len(accounts) > 1 and self.affiliations.organizations.verdict(organization) is not None:
            self._regroups_at = min(self._regroups_at, Instant(self._clock.now() + REGROUP_S))

    def _regroup(self) -> None:
        """Accounts that share their limits have one holder from now on."""
        self._regroups_at = FOREVER
        before = self.snapshot.accounts
        self.snapshot = self.affiliations.organizations.applied_to(self._rows)
        self.headrooms.join(before, self.snapshot.accounts.values())
        self.drop()
        self._on_change()
