"""Composition root: Settings in, Litestar out. The only file that knows every part.

tables ─▶ watcher ─▶ board ◀─ listener (parks of others) ─── announcer (our parks) ─▶ Postgres
                       │
/v1 ─▶ data plane ─▶ relay ─▶ attempts ─▶ upstream
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random, SystemRandom

from litestar import Litestar
from litestar.types import Guard

from gateway import __version__
from gateway.background import Background, every
from gateway.core.ids import Instant, ProviderId
from gateway.core.organizations import Organization
from gateway.core.snapshot import Account, Snapshot
from gateway.declared_settings import overlaid
from gateway.hearing import Hearing
from gateway.ingress.admin.access import let_in, page_guard
from gateway.ingress.admin.deps import AdminDeps
from gateway.ingress.admin.problems import PROBLEM_HANDLERS
from gateway.ingress.asgi import HangUpWatch
from gateway.ingress.caller import Callers
from gateway.ingress.cors import Cors
from gateway.ingress.front import Front
from gateway.ingress.handshake import SocketPlane
from gateway.ingress.keep_alive import KeepAlives
from gateway.ingress.openai import data_plane
from gateway.ingress.ops import OpsDeps, ops_handlers
from gateway.ingress.plane import DataPlane
from gateway.ingress.upgrade import socket_plane
from gateway.memory import Memory
from gateway.notify.announcer import PgAnnouncer
from gateway.notify.channel import PgChannel
from gateway.notify.listener import HEALTH_CHANNEL, Listener
from gateway.notify.neighbours import Neighbours
from gateway.providers.base import via_of
from gateway.providers.catalog import KINDS
from gateway.relay.affinity import Affinity
from gateway.relay.asking import Asking
from gateway.relay.batch_uploads import BatchUploads
from gateway.relay.board import Board
from gateway.relay.catalog import ModelCatalog
from gateway.relay.checks import Checks
from gateway.relay.clock import SystemClock
from gateway.relay.credentials import Credentials
from gateway.relay.gate import Gate
from gateway.relay.headrooms import NEWS_S
from gateway.relay.id_search import IdSearch
from gateway.relay.known_ids import KnownIds
from gateway.relay.learning import Learning
from gateway.relay.lists import Lists
from gateway.relay.owed import Owed
from gateway.relay.settling import Settling
from gateway.relay.stateful import StatefulRelay
from gateway.relay.waiting import Waiting
from gateway.relay.ways import Ways
from gateway.settings import AuthMode, ForeignIds, Settings, WorkerContext
from gateway.store.affinity import IdTable
from gateway.store.batch_uploads import BatchUploadTable
from gateway.store.cipher import Cipher, parse_keys
from gateway.store.cooldowns import ParkTable
from gateway.store.engine import make_engine
from gateway.store.owed_usage import OwedTable
from gateway.store.tokens import TokenTable
from gateway.store.watcher import RegistryWatcher
from gateway.telemetry.calls import CallRing, Calls
from gateway.telemetry.log import configure
from gateway.telemetry.meters import Meters
from gateway.telemetry.metrics import Metrics
from gateway.upkeep import CatalogUpkeep, Gauges, IdUpkeep, ParkUpkeep, ProviderChecks, UsesUpkeep
from gateway.upstream.engines import Engines
from gateway.upstream.websocket import WebSocketEngine
from gateway.views import Views

TIDY_AFTER_S = 60.0
"""After a start, old rows are deleted: many replicas start at once, and each connection to Postgres costs."""


class Service:
    """One worker's parts, connected; `running` is its life."""

    def __init__(self, settings: Settings, context: WorkerContext) -> None:
        worker = str(context.index)
        self.settings = settings
        self.context = context
        self.clock = clock = SystemClock()
        self.rng = Random(SystemRandom().getrandbits(64))  # noqa: S311  # chooses accounts and ids, no secrets
        self.log = configure(level=settings.log_level.value, worker=worker)
        self.metrics = Metrics(context.metrics_dir, clock=clock, worker=worker)
        ring = CallRing(self.metrics.directory / f"calls_{worker}.ring")
        self.meters = Meters(self.metrics, self.log, ring, clock=clock, worker=worker)
        self.cipher = Cipher(parse_keys(context.encryption_keys.reveal()))
        self.engine = make_engine(context.dsn.reveal(), settings.database.pool_size)
        sender = f"{context.service}-{os.getpid()}-{self.rng.getrandbits(48):012x}"
        self.parks = ParkTable(self.engine)
        channel = PgChannel(context.listen_dsn.reveal(), HEALTH_CHANNEL)
        self.announcer = PgAnnouncer(channel, self.parks, sender=sender, sleep=clock.sleep)
        self.board = Board(clock=clock, rng=self.rng, kinds=KINDS, announcer=self.announcer)
        self.park_upkeep = ParkUpkeep(table=self.parks, board=self.board)
        self._connect_upstreams()
        self.gate = Gate()
        self.watcher = RegistryWatcher(
            self.engine,
            self.cipher,
            kinds=frozenset(KINDS),
            on_snapshot=self._take_snapshot,
            sleep=clock.sleep,
            default_provider=ProviderId(settings.default_provider) if settings.default_provider else None,
        )
        neighbours = context.service if context.tells_fds else ""
        hearing = Hearing(neighbours, board=self.board, watcher=self.watcher, park_upkeep=self.park_upkeep, clock=clock)
        self.neighbours = Neighbours(context.hears_fd, context.tells_fds, sender=sender, hear=hearing.hear_neighbour)
        self.listener = Listener(context.listen_dsn.reveal(), hearing.hear, sender=sender, sleep=clock.sleep)
        self._connect_calls(sender)
        self._connect_ids()
        self.background = Background(clock)

    def _connect_upstreams(self) -> None:
        """What asks upstreams beside the calls."""
        self.upstream = Engines()
        self.credentials = Credentials(
            upstream=self.upstream,
            store=TokenTable(self.engine, self.cipher),
            kinds=KINDS,
            clock=self.clock,
            registry=lambda: self.board.snapshot,
        )
        self.asking = Asking(upstream=self.upstream, kinds=KINDS, credentials=self.credentials, rng=self.rng)
        self.checks = Checks(asking=self.asking, clock=self.clock)
        self.catalog = ModelCatalog(checks=self.checks)
        self.catalog_upkeep = CatalogUpkeep(catalog=self.catalog, snapshot=lambda: self.board.snapshot)

    def _connect_calls(self, sender: str) -> None:
        """What takes calls, and whom the board tells."""
        settings = self.settings.waiting
        self.waiting = Waiting(clock=self.clock, max_calls=settings.max_calls, max_bytes=settings.max_bytes)
        self.board.headrooms.process = sender
        self.board.on_change = self.waiting.ring_heads
        self.board.on_cooled = self.meters.cooled
        self.board.on_recovered = self.meters.recovered
        self.board.pools.on_organization = self._note_organization
        self.board.breakers.on_news = self.meters.breaker_changed
        self.ways = Ways(
            board=self.board,
            waiting=self.waiting,
            credentials=self.credentials,
            upstream=self.upstream,
            sockets=WebSocketEngine(max_bytes=self.settings.realtime.max_message_bytes),
            kinds=KINDS,
            clock=self.clock,
            rng=self.rng,
            takes_own_keys=self.settings.byok,
        )
        self.ways.blast.on_lifted = self.meters.parks_lifted

    def _connect_ids(self) -> None:
        """What knows where stateful objects live."""
        self.ids = IdTable(self.engine)
        self.owed = OwedTable(self.engine)
        self.upload_table = BatchUploadTable(self.engine, self.cipher)
        self.uploads = BatchUploads(self.upload_table)
        self.known_ids = KnownIds(self.ids, clock=self.clock)
        self.affinity = Affinity(
            board=self.board,
            known=self.known_ids,
            store=self.ids,
            search=IdSearch(asking=self.asking, clock=self.clock),
            is_shared=self.settings.foreign_ids is ForeignIds.SHARED,
        )

    # -- what comes in from outside --------------------------------------------------------------------------------

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        self.board.replace_snapshot(overlaid(snapshot, self.settings.providers))
        self.catalog_upkeep.note_change()

    def _note_organization(self, organization: Organization, accounts: list[Account]) -> None:
        known = self.board.pools.affiliations.organizations
        self.announcer.announce_organizations(known.memberships(accounts))
        self.meters.organization_learned(organization, len(accounts), is_shared=known.verdict(organization))

    # -- life ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, _app: Litestar) -> AsyncIterator[None]:
        await self.watcher.start()
        await self.park_upkeep.read()
        self._start_background()
        try:
            yield
        finally:
            await self.background.stop()
            self.neighbours.close()
            await self.credentials.aclose()
            await self.announcer.close()
            await self.known_ids.close()
            await self.upstream.aclose()
            await self.engine.dispose()
            self.metrics.close()
            self.log.close()

    def _start_background(self) -> None:
        background, clock = self.background, self.clock
        gauges = Gauges(
            metrics=self.metrics,
            log=self.log,
            board=self.board,
            waiting=self.waiting,
            watcher=self.watcher,
            listener=self.listener,
            upstream=self.upstream,
            clock=clock,
        )
        background.start("registry", self.watcher.run)
        background.start("listener", self.listener.run)
        background.start("announcer", self.announcer.run)
        background.start("ids", self.known_ids.run)
        background.start("parks", lambda: every(1.0, self.park_upkeep.read_again, clock))
        background.start("gauges", lambda: every(1.0, gauges.show, clock))
        told = (self.announcer, self.neighbours)
        uses = UsesUpkeep(told, board=self.board, waiting=self.waiting, clock=clock)
        self.neighbours.start()
        background.start("uses", lambda: every(1.0, uses.announce, clock))
        background.start("uses.news", lambda: every(NEWS_S, uses.announce_news, clock))
        background.start("tidy", lambda: every(10.0, self._tidy, clock))
        background.start("memory", lambda: every(10.0, Memory().give_back, clock))
        background.start("tokens", lambda: every(1.0, self.credentials.refresh_due, clock))
        background.start("models.changed", lambda: every(1.0, self.catalog_upkeep.refresh_changed, clock))
        background.start("models.hourly", lambda: every(3600.0, self.catalog_upkeep.refresh_all, clock))
        if self.context.index == 0:  # one worker of a service is enough
            checks = ProviderChecks(board=self.board, checks=self.checks, metrics=self.metrics, clock=clock)
            background.start("providers.idle", lambda: every(60.0, checks.check_idle, clock))
            background.start("accounts.rejected", lambda: every(60.0, checks.check_rejected, clock))
            expired = self.parks.delete_expired
            background.start("parks.expired", lambda: every(600.0, expired, clock, first_after_s=TIDY_AFTER_S))
            ids = IdUpkeep(ids=self.ids, others=(self.owed, self.upload_table), clock=clock)
            background.start("ids.passed", lambda: every(60.0, ids.delete_passed, clock, first_after_s=TIDY_AFTER_S))

    async def _tidy(self) -> None:
        self.board.tidy()
        await self.upstream.close_unused(via for via in map(via_of, self.board.snapshot.providers.values()) if via)

    async def drain(self, deadline_s: float) -> None:
        """No new calls; those that run may end. Called by the worker before the server closes."""
        self.waiting.close(Instant(self.clock.now() + deadline_s))
        await self.gate.drain(deadline_s)

    # -- handlers --------------------------------------------------------------------------------------------------

    @property
    def needs_key(self) -> bool:
        match self.settings.auth:
            case AuthMode.OPEN:
                return False
            case AuthMode.KEYS:
                return True
            case AuthMode.AUTO:
                return not self.context.is_loopback

    @property
    def gives_client_secrets(self) -> bool:
        chosen = self.settings.realtime.client_secrets
        return not self.needs_key if chosen is None else chosen

    def ops_guard(self) -> Guard:
        """/health and /metrics are open where calls are, else by the token (SPEC §7)."""
        if not self.needs_key:
            return let_in
        return page_guard(self.settings.admin_token, is_loopback=self.context.is_loopback)

    def stateful(self) -> StatefulRelay:
        lists = Lists(
            board=self.board,
            affinity=self.affinity,
            known=self.known_ids,
            store=self.ids,
            relay=self.ways.calls.relay_call,
        )
        learning = Learning(board=self.board, known=self.known_ids)
        return StatefulRelay(
            relay=self.ways.calls,
            lists=lists,
            learning=learning,
            settling=Settling(Owed(self.owed)),
            uploads=self.uploads,
            board=self.board,
            clock=self.clock,
            rng=self.rng,
        )

    def data_plane(self) -> DataPlane:
        settings = self.settings
        return DataPlane(
            board=self.board,
            relay=self.ways.calls,
            stateful=self.stateful(),
            affinity=self.affinity,
            uploads=self.uploads,
            catalog=self.catalog,
            meter=self.meters,
            gate=self.gate,
            hang_ups=HangUpWatch(),
            keep_alives=KeepAlives(),
            clock=self.clock,
            rng=self.rng,
            own_keys=self.ways.own_keys,
            callers=Callers(self.cipher.digests, needs_key=self.needs_key),
            cors=Cors(frozenset(settings.cors_origins)),
            max_json_bytes=settings.limits.max_json_bytes,
            max_body_bytes=settings.limits.max_body_bytes,
            spool_folder=settings.limits.spool_folder or settings.home / "spool",
            default_wait_s=settings.waiting.default_s,
            max_wait_s=settings.waiting.max_s,
            gives_client_secrets=self.gives_client_secrets,
        )

    def views(self) -> Views:
        return Views(
            board=self.board,
            watcher=self.watcher,
            listener=self.listener,
            checks=self.checks,
            metrics=self.metrics,
            gate=self.gate,
            clock=self.clock,
        )

    def admin_deps(self, views: Views) -> AdminDeps:
        return AdminDeps(
            engine=self.engine,
            cipher=self.cipher,
            admin_token=self.settings.admin_token,
            is_loopback=self.context.is_loopback,
            health=self.board,
            verify=views.verify,
            snapshot=lambda: self.board.snapshot,
            kinds=frozenset(KINDS),
            calls=Calls(self.metrics.directory),
            headroom=views.headroom,
            organization=views.organization,
            breakers=views.breakers,
        )

    def ops_deps(self, views: Views) -> OpsDeps:
        return OpsDeps(
            metrics=self.metrics,
            clock=self.clock,
            version=__version__,
            guard=self.ops_guard(),
            readiness=views.readiness,
            accounts=views.accounts,
            database=views.database,
        )


def build_app(settings: Settings, context: WorkerContext) -> Front:
    """The worker's ASGI application. `app.state.drain` ends its calls before the server ends."""
    service = Service(settings, context)
    views = service.views()
    ops = service.ops_deps(views)
    probes = Litestar(
        route_handlers=ops_handlers(ops),
        openapi_config=None,
        exception_handlers=PROBLEM_HANDLERS,
        lifespan=[service.running],
        logging_config=None,
    )
    probes.state.drain = service.drain

    def pages() -> Litestar:
        from gateway.ingress.pages import pages_app  # noqa: PLC0415  # few workers are ever asked for a page

        return pages_app(service.admin_deps(views), ops)

    plane = service.data_plane()
    sockets = SocketPlane(plane=plane, ways=service.ways, idle_s=settings.realtime.idle_s)
    return Front(data_plane=data_plane(plane), sockets=socket_plane(sockets), probes=probes, pages=pages)
