"""What a worker does beside its calls.

Gauges, parks out of the table, checks of idle providers and of rejected accounts, lists of models, uses, old ids.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.core.cooldown import Phase
from gateway.core.ids import NEVER, AccountId, Instant, ProviderId
from gateway.core.outcome import OutcomeKind
from gateway.core.snapshot import Snapshot
from gateway.core.uses import Audience, Use
from gateway.notify.announcer import PgAnnouncer
from gateway.notify.listener import Listener
from gateway.notify.neighbours import Neighbours
from gateway.relay.board import Board
from gateway.relay.catalog import ModelCatalog
from gateway.relay.checks import Checks
from gateway.relay.headrooms import FRESH_NEWS_S
from gateway.relay.ports import Clock
from gateway.relay.waiting import Waiting
from gateway.store.affinity import BATCH, IdTable
from gateway.store.cooldowns import ParkTable
from gateway.store.engine import StoreUnavailable
from gateway.store.watcher import RegistryWatcher
from gateway.telemetry.events import Event
from gateway.telemetry.log import LogOutput, get_logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.stats import ProviderCheck
from gateway.upstream.engines import Engines

IDLE_S = 60.0
"""A provider that nobody called for so long is checked (SPEC §8)."""
REJECTED_CHECK_S = 3600.0
"""How often a rejected credential is tried again (SPEC §4)."""
UNREACHABLE = frozenset({OutcomeKind.UNREACHABLE, OutcomeKind.TIMED_OUT})


class Gauges:
    """Shows, once a second, what the counters cannot."""

    def __init__(  # noqa: PLR0913  # the parts it looks at, by name
        self,
        *,
        metrics: Metrics,
        log: LogOutput,
        board: Board,
        waiting: Waiting,
        watcher: RegistryWatcher,
        listener: Listener,
        upstream: Engines,
        clock: Clock,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._board = board
        self._waiting = waiting
        self._watcher = watcher
        self._listener = listener
        self._upstream = upstream
        self._clock = clock
        self._seen_at = NEVER

    async def show(self) -> None:
        metrics, now = self._metrics, self._clock.now()
        metrics.stats.beat(now)
        metrics.headrooms.note(self._board.headrooms.seen(now, since=self._seen_at))
        self._seen_at = now
        metrics.set_calls_waiting(self._waiting.calls)
        metrics.set_snapshot_age(self._watcher.age_s)
        metrics.set_listener_connected(is_connected=self._listener.state.is_connected)
        metrics.set_log_lines_dropped(self._log.dropped)
        stats = self._upstream.stats().values()
        metrics.set_upstream_connections(
            idle=sum(pool.idle for pool in stats), active=sum(pool.open - pool.idle for pool in stats)
        )
        metrics.set_accounts(
            {
                (provider_id, phase): count
                for provider_id, counts in self._board.states().items()
                for phase, count in counts.items()
            }
        )
        problems: dict[str, int] = {}
        for problem in self._board.snapshot.problems:
            problems[problem.table] = problems.get(problem.table, 0) + 1
        metrics.set_row_problems(problems)


class ParkUpkeep:
    """Parks out of the table: at the start, and after every (re)connect, for nobody listened in between."""

    def __init__(self, *, table: ParkTable, board: Board) -> None:
        self._table = table
        self._board = board
        self._resynced = asyncio.Event()

    async def read(self) -> None:
        """Raises StoreUnavailable."""
        parks, memberships = await self._table.load()
        self._board.hear_parks(parks)
        self._board.pools.hear_organizations(memberships)

    def note_resync(self) -> None:
        self._resynced.set()

    async def read_again(self) -> None:
        """Waits for the next (re)connect."""
        await self._resynced.wait()
        self._resynced.clear()
        try:
            await self.read()
        except StoreUnavailable:
            self._resynced.set()


class ProviderChecks:
    """Asks idle providers whether they are there, and rejected accounts whether they work again."""

    def __init__(self, *, board: Board, checks: Checks, metrics: Metrics, clock: Clock) -> None:
        self._board = board
        self._checks = checks
        self._metrics = metrics
        self._clock = clock
        self._tried: dict[AccountId, Instant] = {}

    async def check_idle(self) -> None:
        snapshot, now = self._board.snapshot, self._clock.now()
        idle = [id_ for id_ in snapshot.providers if now - self._board.last_used(id_) >= IDLE_S]
        async with asyncio.TaskGroup() as group:
            for provider_id in idle:
                group.create_task(self._check_provider(snapshot, provider_id))

    async def _check_provider(self, snapshot: Snapshot, provider_id: ProviderId) -> None:
        accounts = snapshot.accounts_of.get(provider_id, ())
        if not accounts:
            return
        check = await self._checks.check(snapshot.providers[provider_id], accounts[0])
        is_reachable = check.outcome.kind not in UNREACHABLE
        self._metrics.stats.note_check(
            provider_id,
            ProviderCheck(is_reachable, self._clock.wall_now(), round(check.latency_s * 1000, 1)),
        )
        if not is_reachable:
            get_logger().warning(
                Event.PROVIDER_CHECKED, provider=provider_id, is_reachable=False, detail=check.outcome.message
            )

    async def check_rejected(self) -> None:
        """A credential that was taken for dead is tried once an hour; a success brings the account back."""
        snapshot, now = self._board.snapshot, self._clock.now()
        rejected = {
            account.id
            for account in snapshot.accounts.values()
            if any(status.state is Phase.REJECTED for status in self._board.status_of(account.id))
        }
        self._tried = {account_id: at for account_id, at in self._tried.items() if account_id in rejected}
        for account_id in rejected:
            if now - self._tried.setdefault(account_id, now) < REJECTED_CHECK_S:
                continue
            self._tried[account_id] = now
            account = snapshot.accounts[account_id]
            check = await self._checks.check(snapshot.providers[account.provider_id], account)
            get_logger().info(
                Event.ACCOUNT_VERIFIED,
                provider=account.provider_id,
                account_id=account_id,
                outcome=check.outcome.kind,
                status=check.outcome.status,
            )
            if check.is_ok:
                self._board.clear(account_id)


class CatalogUpkeep:
    """Reads the lists of models when the registry changes, and once an hour."""

    def __init__(self, *, catalog: ModelCatalog, snapshot: Callable[[], Snapshot]) -> None:
        self._catalog = catalog
        self._snapshot = snapshot
        self._changed = asyncio.Event()
        self._changed.set()

    def note_change(self) -> None:
        self._changed.set()

    async def refresh_changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        await self._catalog.refresh(self._snapshot(), only_changed=True)

    async def refresh_all(self) -> None:
        await self._catalog.refresh(self._snapshot(), only_changed=False)


class UsesUpkeep:
    """Tells the other processes what this one takes of limits that all share."""

    def __init__(self, told: tuple[PgAnnouncer, Neighbours], *, board: Board, waiting: Waiting, clock: Clock) -> None:
        """`told`: what reaches replicas, and neighbours."""
        announcer, neighbours = told
        self._headrooms = board.headrooms
        self._pools = board.pools
        self._waiting = waiting
        self._neighbours = neighbours
        self._tell: dict[Audience, Callable[[list[Use]], None]] = {Audience.REPLICAS: announcer.announce_uses}
        if neighbours.are_there:
            self._tell[Audience.NEIGHBOURS] = neighbours.tell
            self._headrooms.tell_neighbours(self._tell_soon)
        self._clock = clock

    async def announce(self) -> None:
        """All that is near its limit."""
        for audience, tell in self._tell.items():
            tell(self._headrooms.near(self._clock.now(), audience))

    async def announce_news(self) -> None:
        """What has changed enough to matter."""
        now = self._clock.now()
        self._pools.note_lines(self._waiting.lines, now)
        for audience, tell in self._tell.items():
            tell(self._headrooms.news(now, audience))

    def _tell_soon(self) -> None:
        asyncio.get_running_loop().call_later(FRESH_NEWS_S, self._tell_fresh_news)

    def _tell_fresh_news(self) -> None:
        self._neighbours.tell(self._headrooms.fresh_news(self._clock.now()))


class AgingRows(Protocol):
    """A table whose rows are of use for a time."""

    async def delete_old(self) -> int: ...


class IdUpkeep:
    """Forgets stored ids, and what is kept beside them, when their time has passed."""

    def __init__(self, *, ids: IdTable, others: Sequence[AgingRows], clock: Clock) -> None:
        self._ids = ids
        self._others = others
        self._clock = clock

    async def delete_passed(self) -> None:
        """In short transactions with pauses: some thousand rows a second at most."""
        while await self._ids.delete_passed() == BATCH:
            await self._clock.sleep(0.5)
        for rows in self._others:
            await rows.delete_old()
