"""Keeps this process' snapshot equal to the tables: reloads when told, looks for itself now and then, seals plaintext.

    NOTIFY ─► reload_soon() ─┐
    every poll_s ────────────┴─► fingerprint changed? ─► load ─► on_snapshot ─► seal what was plain

Rules of this file: one reload at a time, and a burst of changes is one reload; with Postgres away the last good
snapshot stays; secrets are sealed after the snapshot is handed out, never before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import ScalarSelect, Text, cast, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.ids import ProviderId
from gateway.core.snapshot import Snapshot
from gateway.store.cipher import Cipher
from gateway.store.engine import StoreUnavailable, store_errors
from gateway.store.registry import UnsealedRow, load_snapshot
from gateway.store.sealing import check_keys, seal_rows
from gateway.store.tables import AccountRow, Base, ClientKeyRow, ModelRouteRow, ProviderRow
from gateway.telemetry.events import Event
from gateway.telemetry.log import get_logger

POLL_S = 10.0
_RETRY_S = 1.0
"""Until the next try after one that failed; the listener's Resynced comes sooner when the server is back."""
_REST_SHARE = 4.0
"""After a reload the watcher rests this many times as long as it took: a script that writes row by row costs a fifth of
the process at most."""
_LONGEST_REST_S = 0.4

_MOST_REPORTED = 20
"""Lines about rows after one reload; `problems` of `snapshot.replaced` counts them all, the admin API has them."""

_log = get_logger()


def _fingerprint(table: type[Base]) -> ScalarSelect[str]:
    """Text that changes with every committed change of the table.

    By xmin: each version of a row has the id of the transaction that wrote it. The latest `updated_at` would not show
    what was begun early and committed late.
    """
    xmin = cast(literal_column(f"{table.__tablename__}.xmin"), Text)
    version = cast(table.__table__.c.id, Text).concat(":").concat(xmin)
    total = func.coalesce(func.sum(func.hashtextextended(version, 0)), 0)
    return select(cast(func.count(), Text).concat(":").concat(cast(total, Text))).scalar_subquery()


_FINGERPRINT = select(*(_fingerprint(table) for table in (ProviderRow, AccountRow, ModelRouteRow, ClientKeyRow)))


class RegistryWatcher:
    """`start()` once, then `run()` as a background task. `snapshot` is always the last good one."""

    def __init__(  # noqa: PLR0913  # wired once, by name
        self,
        engine: AsyncEngine,
        cipher: Cipher,
        *,
        kinds: frozenset[str],
        on_snapshot: Callable[[Snapshot], None],
        sleep: Callable[[float], Awaitable[None]],
        default_provider: ProviderId | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self.snapshot = Snapshot()
        self.confirmed = time.monotonic()
        """Monotonic seconds when the snapshot was last seen to equal the tables."""
        self._engine = engine
        self._cipher = cipher
        self._kinds = kinds
        self._default_provider = default_provider
        self._on_snapshot = on_snapshot
        self._sleep = sleep
        self._poll_s = poll_s
        self._wanted = asyncio.Event()
        self._fingerprint: tuple[str, ...] = ()
        self._lost_since: float | None = None

    async def start(self) -> Snapshot:
        """Loads the first snapshot and seals what is plain or under an old key.

        Raises:
            StoreUnavailable: there is no last good snapshot to go on from.
            UnknownKey: rows are sealed with a key that is not configured.
        """
        with store_errors():
            async with self._engine.connect() as connection:
                await check_keys(connection, self._cipher)
        # Old keys only here: two releases with their keys in another order would else seal against each other forever.
        await self._refresh(with_stale=True)
        return self.snapshot

    def reload_soon(self) -> None:
        """The tables may have changed. Cheap; a burst of these is one look."""
        self._wanted.set()

    @property
    def age_s(self) -> float:
        """Seconds since the snapshot was last seen to equal the tables."""
        return time.monotonic() - self.confirmed

    async def run(self) -> None:
        """Forever; ends by cancellation."""
        pause_s = self._poll_s
        while True:
            await self._wait(pause_s)
            started = time.monotonic()
            try:
                await self._refresh()
            except StoreUnavailable as error:
                self._note_loss(error)
                pause_s = min(_RETRY_S, self._poll_s)
                continue
            self._note_return()
            pause_s = self._poll_s
            await self._sleep(min(_REST_SHARE * (time.monotonic() - started), _LONGEST_REST_S))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            pass
        self._wanted.clear()

    async def _refresh(self, *, with_stale: bool = False) -> None:
        """Looks whether anything changed, and takes it over. Raises StoreUnavailable."""
        started = time.monotonic()
        with store_errors():
            async with self._engine.connect() as fresh:
                # One view for both: a row that comes between them and goes again would leave the fingerprint as it was.
                connection = await fresh.execution_options(isolation_level="REPEATABLE READ")
                fingerprint = await _fingerprint_of(connection)
                if fingerprint == self._fingerprint:
                    self.confirmed = started
                    return
                loaded = await load_snapshot(
                    connection,
                    version=self.snapshot.version + 1,
                    cipher=self._cipher,
                    kinds=self._kinds,
                    default_provider=self._default_provider,
                )
        self._hand_out(loaded.snapshot, load_s=time.monotonic() - started)
        self.confirmed = started
        self._fingerprint = ()
        if await self._seal((*loaded.plain, *loaded.stale) if with_stale else loaded.plain):
            # What was committed after that view is seen by the next look.
            self._fingerprint = fingerprint

    def _hand_out(self, snapshot: Snapshot, *, load_s: float) -> None:
        known = set(self.snapshot.problems)
        self.snapshot = snapshot
        self._on_snapshot(snapshot)
        _log.info(
            Event.SNAPSHOT_REPLACED,
            version=snapshot.version,
            providers=len(snapshot.providers),
            accounts=len(snapshot.accounts),
            routes=len(snapshot.prefix_routes) + sum(len(routes) for routes in snapshot.exact_routes.values()),
            client_keys=len(snapshot.keys),
            problems=len(snapshot.problems),
            load_s=round(load_s, 4),
        )
        for problem in [problem for problem in snapshot.problems if problem not in known][:_MOST_REPORTED]:
            _log.warning(
                Event.ROW_REPORTED,
                table=problem.table,
                id=problem.id,
                problem=problem.message,
                is_skipped=problem.is_skipped,
            )

    async def _seal(self, rows: Sequence[UnsealedRow]) -> bool:
        """Whether none is left to seal: else (locked rows, another process at it) the next look tries again."""
        if not rows:
            return True
        with store_errors():
            async with self._engine.begin() as connection:
                sealed = await seal_rows(connection, rows, self._cipher)
        if sealed:
            _log.info(Event.ACCOUNT_SEALED, count=sealed, encryption_key_id=self._cipher.key_id)
        return sealed == len(rows)

    def _note_loss(self, error: StoreUnavailable) -> None:
        if self._lost_since is None:
            self._lost_since = time.monotonic()
            _log.warning(Event.DATABASE_LOST, error=str(error), task="registry")

    def _note_return(self) -> None:
        if self._lost_since is not None:
            away_s = round(time.monotonic() - self._lost_since, 3)
            self._lost_since = None
            _log.info(Event.DATABASE_RECOVERED, away_s=away_s, task="registry")


async def _fingerprint_of(connection: AsyncConnection) -> tuple[str, ...]:
    row = (await connection.execute(_FINGERPRINT)).one()
    return tuple(str(part) for part in row)
