"""What is held against scopes in this worker, who finds out whether they are back, and what has changed lately.

Rules of this file: decisions about health are `core/cooldown`'s, only their results are kept here; every change is
noted, so that views can be told.
"""

from collections.abc import Iterable

from gateway.core.attempts import Resting
from gateway.core.cooldown import Health, Phase, is_stale
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import Scope
from gateway.relay.lease import Lease
from gateway.relay.member import Member
from gateway.relay.news import News

PROBE_PASSES_S = 1.0
"""A probe that was not refused within this time has passed (SPEC §4)."""
MAX_HEALTHS = 50_000
"""Beyond this many scopes, those that have recovered are dropped."""


class Healths:
    """One per board."""

    def __init__(self) -> None:
        self.by_scope: dict[Scope, Health] = {}
        """Empty as a rule: nothing is held against anybody."""
        self.errors: dict[Scope, str] = {}
        """What the upstream said when the rest began."""
        self.probes: dict[Scope, Lease] = {}
        self.news: News[Scope | None] = News()

    # -- changes -------------------------------------------------------------------------------------------------

    def note(self, scope: Scope | None) -> None:
        """Views may be wrong now: where they look at that scope, or (None) altogether."""
        self.news.note(scope)

    def put(self, scope: Scope, health: Health) -> None:
        """`since` is kept for a while even when nothing else is: an old failure must not count again."""
        self.by_scope[scope] = health
        if health.phase is Phase.READY:
            self.errors.pop(scope, None)
        self.note(scope)

    def forget(self, scope: Scope, now: Instant) -> None:
        """Nothing is held against it, and what is still under way does not count."""
        if scope in self.by_scope:
            self.by_scope[scope] = Health(since=now)
        self.errors.pop(scope, None)
        self.note(scope)

    def bound(self, now: Instant) -> None:
        """Keeps those that rest longest: those that come back first are the least loss."""
        if len(self.by_scope) > MAX_HEALTHS:
            healths = self.by_scope.items()
            resting = [item for item in healths if item[1].phase is not Phase.READY and item[1].until > now]
            resting.sort(key=lambda item: item[1].until)
            self.by_scope = dict(resting[-MAX_HEALTHS * 3 // 4 :])
            self.note(None)

    def tidy(self, now: Instant) -> None:
        """Drops what no longer says anything, so that memory stays flat and the usual call meets an empty table."""
        self.by_scope = {scope: health for scope, health in self.by_scope.items() if not is_stale(health, now)}
        self.errors = {scope: text for scope, text in self.errors.items() if scope in self.by_scope}

    # -- what is known -------------------------------------------------------------------------------------------

    def rest_of(self, member: Member, now: Instant) -> tuple[Resting | None, Instant]:
        """Why the member rests (None: it may be tried), and when that changes by itself."""
        worst: Resting | None = None
        for scope in member.scopes:
            health = self.by_scope.get(scope)
            if health is None or health.phase is Phase.READY:
                continue
            wake_at = health.probe_at
            if health.may_probe(now):
                probe = self.probe_of(scope, health)
                if probe is None or probe.started + PROBE_PASSES_S <= now:
                    continue
                wake_at = Instant(probe.started + PROBE_PASSES_S)
            if worst is None or wake_at > worst.wake_at:
                worst = Resting(health.reason, Instant(max(health.until, wake_at)), wake_at)
        return worst, FOREVER if worst is None else worst.wake_at

    def probe_of(self, scope: Scope, health: Health) -> Lease | None:
        """The attempt that tries a scope which is due. One from before the last rest began is none for this one."""
        probe = self.probes.get(scope)
        return probe if probe is not None and probe.started > health.since else None

    def dimmed_until(self, member: Member) -> Instant:
        """Until then the member's weight counts half; long ago: it counts whole."""
        healths = self.by_scope
        return Instant(max((healths[scope].dimmed_until for scope in member.scopes if scope in healths), default=0.0))

    def avoided_until(self, member: Member) -> Instant:
        """Until then the member is asked last; long ago: it is not."""
        healths = self.by_scope
        return Instant(max((healths[scope].avoided_until for scope in member.scopes if scope in healths), default=0.0))

    def of_holders(self, holders: Iterable[str]) -> list[tuple[Scope, Health]]:
        """All that is known of these accounts, groups and organisations."""
        wanted = frozenset(holders)
        return [(scope, health) for scope, health in self.by_scope.items() if scope.holder in wanted]
