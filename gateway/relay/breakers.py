"""This worker's breakers: which providers, models and origins rest, and which attempt finds out whether they are back.

Rules of this file: when one opens and closes is `core/breaker`'s to say; an open one makes every member of a pool rest,
so that calls wait as if parked; for a provider that is well a success costs two counters and nothing else.
"""

from collections.abc import Callable

from gateway.core.attempts import Resting
from gateway.core.breaker import (
    CLOSED,
    DOWN,
    ORIGIN_FAULTS,
    WINDOW_S,
    Breaker,
    BreakerNews,
    Span,
    Tally,
    after_probe,
    is_failure,
    opened,
)
from gateway.core.ids import NEVER, Instant, ProviderId
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.core.snapshot import Snapshot
from gateway.providers.base import Origin
from gateway.relay.lease import Lease
from gateway.relay.member import Member
from gateway.relay.pool import Pool

MAX_MODELS = 4096
"""Callers choose model names: beyond this many those that nothing is known against are dropped."""
OK = Outcome(OutcomeKind.OK, 200)


class Circuit:
    """A breaker with what feeds it."""

    __slots__ = ("breaker", "probe", "provider_id", "served_at", "span", "tally", "what")

    def __init__(self, span: Span, provider_id: ProviderId, what: str = "") -> None:
        self.span = span
        self.provider_id = provider_id
        self.what = what
        self.breaker = CLOSED
        self.tally = Tally()
        self.served_at = NEVER
        self.probe: Lease | None = None


class Circuits:
    """Those that an attempt for one model goes through."""

    __slots__ = ("all", "model", "origin", "pool", "provider")

    def __init__(self, model: Circuit, provider: Circuit, origin: Circuit) -> None:
        self.model = model
        self.provider = provider
        self.origin = origin
        self.all = (origin, provider, model)
        self.pool: Pool | None = None
        """The last one that was looked at for this model: it knows how many accounts there are."""


class Breakers:
    """All breakers of this worker. `on_change`: a view may be wrong now."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.on_news: Callable[[BreakerNews], None] = lambda _news: None
        self._models: dict[tuple[ProviderId, str], Circuits] = {}
        self._providers: dict[ProviderId, Circuit] = {}
        self._origins: dict[Origin, Circuit] = {}
        self._open: set[Circuit] = set()
        self.is_any_open = False

    # -- views and probes ----------------------------------------------------------------------------------------

    def resting(self, pool: Pool, now: Instant) -> Resting | None:
        """Why all of the pool rests; None: it does not, or one call may probe."""
        if not pool.members:
            return None
        circuits = self._of(pool.members[0])
        circuits.pool = pool
        if not self.is_any_open:
            return None
        rests = [rest for circuit in circuits.all if (rest := _rest_of(circuit, now)) is not None]
        return max(rests, key=lambda rest: rest.wake_at, default=None)

    def wants_probe(self, member: Member, now: Instant) -> bool:
        """Whether an attempt on the member would be one that finds out."""
        return any(_wants_probe(circuit, now) for circuit in self._of(member).all)

    def start_probe(self, lease: Lease) -> bool:
        """Whether this attempt is one that finds out: then the others rest until it has."""
        due = [circuit for circuit in self._of(lease.member).all if _wants_probe(circuit, lease.started)]
        for circuit in due:
            circuit.probe = lease
        return bool(due)

    def released(self, lease: Lease) -> None:
        """A probe that came to no verdict makes room for the next."""
        for circuit in self._open:
            if circuit.probe is lease:
                circuit.probe = None
                self._on_change()

    # -- what attempts come to -----------------------------------------------------------------------------------

    def passed(self, lease: Lease, now: Instant) -> None:
        """A success. This runs for every call."""
        member = lease.member
        circuits = self._models.get((member.account.provider_id, member.names.model)) or self._of(member)
        model, provider = circuits.model, circuits.provider
        model.tally.passed(now)
        circuits.origin.tally.passed(now)
        model.served_at = provider.served_at = now
        if self.is_any_open:
            for circuit in circuits.all:
                if circuit.breaker.is_open:
                    self._judge(circuit, lease, OK, now)

    def observe(self, lease: Lease, outcome: Outcome, now: Instant) -> None:
        """Anything but a success."""
        if outcome.kind is OutcomeKind.CANCELLED:
            return
        circuits = self._of(lease.member)
        for circuit in circuits.all:
            if circuit.breaker.is_open:
                self._judge(circuit, lease, outcome, now)
            elif lease.started > circuit.breaker.since and _is_fed(circuit, outcome):
                self._count(circuit, circuits, lease, outcome, now)

    def _judge(self, circuit: Circuit, lease: Lease, outcome: Outcome, now: Instant) -> None:
        before = circuit.breaker
        is_bad = is_failure(circuit.span, outcome, before.reason)
        after = after_probe(before, outcome, started=lease.started, now=now, is_failure=is_bad)
        if after is not before:
            self._put(circuit, after)

    def _count(self, circuit: Circuit, circuits: Circuits, lease: Lease, outcome: Outcome, now: Instant) -> None:
        tally = circuit.tally
        if not is_failure(circuit.span, outcome, None):
            tally.passed(now)
            return
        tally.failed(lease.member.account_id, now)
        if tally.is_broken(now, is_only=_is_only(circuits.pool, now), spread=_spread(circuits.pool)):
            self._put(circuit, opened(circuit.breaker, outcome.kind, now), tally.counts(now))

    def open_provider(self, member: Member, reason: OutcomeKind, now: Instant) -> None:
        """The blast radius: the provider or our own address is at fault."""
        circuit = self._of(member).provider
        if not circuit.breaker.is_open:
            self._put(circuit, opened(circuit.breaker, reason, now))

    def _put(self, circuit: Circuit, breaker: Breaker, counts: tuple[int, int] = (0, 0)) -> None:
        circuit.breaker = breaker
        circuit.probe = None
        circuit.tally.clear()
        if breaker.is_open:
            self._open.add(circuit)
        else:
            self._open.discard(circuit)
        self.is_any_open = bool(self._open)
        is_resting = self.is_open_at(circuit.provider_id)
        self.on_news(BreakerNews(circuit.provider_id, circuit.span, circuit.what, breaker, is_resting, *counts))
        self._on_change()

    # -- what is known -------------------------------------------------------------------------------------------

    def is_broken_for(self, member: Member, reason: OutcomeKind) -> bool:
        """All of the member's provider rests for this reason."""
        return self._of(member).provider.breaker.reason is reason

    def is_down(self, pool: Pool, now: Instant) -> bool:
        """Attempts of several accounts failed one after the other: nobody seems to be served by this pool."""
        circuits, spread = self._of(pool.members[0]), _spread(pool)
        return any(circuit.tally.is_down(now, spread=spread) for circuit in (circuits.model, circuits.origin))

    def provider_served_at(self, member: Member) -> Instant:
        """When its provider last served anybody; long ago if it never did."""
        return self._of(member).provider.served_at

    def model_served_at(self, member: Member) -> Instant:
        return self._of(member).model.served_at

    def is_open_at(self, provider_id: ProviderId) -> bool:
        """Some of the provider rests."""
        return any(circuit.provider_id == provider_id for circuit in self._open)

    def _of(self, member: Member) -> Circuits:
        provider_id, model = member.account.provider_id, member.names.model
        circuits = self._models.get((provider_id, model))
        if circuits is None:
            if len(self._models) >= MAX_MODELS:
                self._models = {key: kept for key, kept in self._models.items() if kept.model.breaker.is_open}
            origin = member.destination.origin
            circuits = self._models[provider_id, model] = Circuits(
                Circuit(Span.MODEL, provider_id, model),
                self._providers.setdefault(provider_id, Circuit(Span.PROVIDER, provider_id)),
                self._origins.setdefault(origin, Circuit(Span.ORIGIN, provider_id, str(origin))),
            )
        return circuits

    def renew(self, before: Snapshot, after: Snapshot) -> None:
        """A provider whose row or accounts changed starts anew: whoever edited them may have mended it."""
        changed = {
            id_
            for id_, provider in before.providers.items()
            if after.providers.get(id_) != provider or after.accounts_of.get(id_) != before.accounts_of.get(id_)
        }
        for circuit in [circuit for circuit in self._open if circuit.provider_id in changed]:
            self._put(circuit, CLOSED)
        self._models = {key: kept for key, kept in self._models.items() if key[0] not in changed}
        self._providers = {id_: kept for id_, kept in self._providers.items() if id_ not in changed}
        self._origins = {origin: kept for origin, kept in self._origins.items() if kept.provider_id not in changed}


def _rest_of(circuit: Circuit, now: Instant) -> Resting | None:
    breaker = circuit.breaker
    if not breaker.is_open or _wants_probe(circuit, now):
        return None
    wake_at = breaker.until
    if breaker.may_probe(now):
        wake_at = _probe_passes_at(circuit)
        if wake_at <= now:
            return None
    return Resting(breaker.reason, wake_at, wake_at, is_broken=True)


def _wants_probe(circuit: Circuit, now: Instant) -> bool:
    """It is due, and nobody finds out; or who does has met silence for so long that another one may."""
    if not circuit.breaker.may_probe(now):
        return False
    return circuit.probe is None or (
        circuit.breaker.reason is OutcomeKind.TIMED_OUT and _probe_passes_at(circuit) <= now
    )


def _probe_passes_at(circuit: Circuit) -> Instant:
    """Until then the probe keeps the others back."""
    assert circuit.probe is not None  # noqa: S101  # asked only while there is one
    return Instant(circuit.probe.started + circuit.breaker.patience_s)


def _is_fed(circuit: Circuit, outcome: Outcome) -> bool:
    """A connection that did not come about says nothing of a model; the blast radius alone opens a provider's."""
    return circuit.span is Span.ORIGIN or (circuit.span is Span.MODEL and outcome.fault not in ORIGIN_FAULTS)


def _is_only(pool: Pool | None, now: Instant) -> bool:
    """One account is all that may be asked, and nobody else comes back for some time."""
    if pool is None:
        return False
    resting = () if pool.view is None else pool.view.resting.values()
    return len(pool.members) - sum(rest.wake_at > now + WINDOW_S for rest in resting) <= 1


def _spread(pool: Pool | None) -> int:
    """Of how many accounts failures in a row speak of all: three, or those that may be asked, two at least."""
    if pool is None:
        return DOWN
    asked = len(pool.members) if pool.view is None else sum(map(len, pool.view.tiers))
    return max(2, min(DOWN, asked))
