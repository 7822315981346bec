"""A discrete-event simulation: the real board and its picking in front of the sandbox's limits. No sockets, no waiting.

Rules of this file: what it does between arrival and answer is what `relay/loop.py` does: pick, else stand in line, look
again when the head's time has come or somebody leaves; one `World` per gateway of any number of processes.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from gateway.core.attempts import Plan
from gateway.core.call import Call
from gateway.core.ids import FOREVER, AccountId, CallId, Instant, ModelName
from gateway.core.outcome import Outcome, OutcomeKind, Scope
from gateway.core.parks import Park
from gateway.core.selection import choose
from gateway.core.snapshot import SelectionStrategy
from gateway.core.uses import Audience, Use
from gateway.providers.catalog import KINDS
from gateway.relay.board import Board
from gateway.relay.headrooms import FRESH_NEWS_S, NEWS_S, note_head
from gateway.relay.lease import Lease
from gateway.relay.line import Line
from gateway.relay.member import Member
from gateway.relay.overtaking import gap_beside, tightest
from gateway.relay.picking import Pick, pick, refill_of
from gateway.relay.pool import resting_of
from gateway.sandbox.config import KeyConfig, LimitRule
from gateway.sandbox.limits import Limits, Reading, Refusal, rate_headers
from gateway.wire.endpoints import find
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import account, snapshot_of

MODEL = "gpt-4"
CHAT = find("POST", "/chat/completions")
PATIENCE_S = 10.0
OK = Outcome(OutcomeKind.OK, 200)


class Result(msgspec.Struct):
    """What a run came to."""

    served: int = 0
    offered: int = 0
    refused: int = 0
    """Callers that were refused."""
    wasted: int = 0
    """Upstream 429s."""
    tokens: int = 0
    """Of those that were served."""
    offered_tokens: int = 0
    largest: int = 0
    """Calls of the largest size that were served…"""
    offered_largest: int = 0
    """…and that came."""
    capacity: float = 0.0
    """Calls that the upstream could have served between the warm-up's end and the run's."""

    @property
    def goodput(self) -> float:
        return self.served / self.capacity

    @property
    def waste(self) -> float:
        return self.wasted / max(self.served, 1)


class Waiter(NamedTuple):
    """A call in the line."""

    arrived: float
    tokens: int


class Process:
    """One worker: its board and its line."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.rng = Random(f"{name}{world.seed}")
        self.board = Board(clock=world.clock, rng=self.rng, kinds=KINDS, announcer=self)
        self.board.headrooms.process = name
        if world.audience is Audience.NEIGHBOURS:
            self.board.headrooms.tell_neighbours(self._tell_soon)
        self.board.replace_snapshot(snapshot_of(*world.accounts))
        self.line: Line[Waiter] = Line()
        self.looks_at = self.room_at = self.grows_at = FOREVER

    def announce(self, park: Park) -> None:
        self.world.tell(self, lambda other: other.board.hear_parks([park]))

    def announce_recovery(self, scope: Scope) -> None:
        self.world.tell(self, lambda other: other.board.hear_recoveries([scope]))

    def tell_news(self) -> None:
        now, headrooms = self.world.clock.now(), self.board.headrooms
        if self.line.calls:
            self.board.pools.note_lines([self.board.pools.pool_for(self.world.call).key], now)
        self._tell_uses(headrooms.news(now, self.world.audience))
        self.world.later(now + NEWS_S, self.tell_news)

    def _tell_soon(self) -> None:
        self.world.later(self.world.clock.now() + FRESH_NEWS_S, self.tell_fresh_news)

    def tell_fresh_news(self) -> None:
        self._tell_uses(self.board.headrooms.fresh_news(self.world.clock.now()))

    def tell_near(self) -> None:
        now = self.world.clock.now()
        self._tell_uses(self.board.headrooms.near(now, self.world.audience))
        self.world.later(now + 1.0, self.tell_near)

    def _tell_uses(self, uses: list[Use]) -> None:
        audience = self.world.audience

        def hear(other: Process) -> None:
            other.board.headrooms.hear_uses(self.name, uses, self.world.clock.now(), audience)

        if uses:
            self.world.tell(self, hear, audience)

    def arrive(self, tokens: int) -> None:
        now = self.world.clock.now()
        if self.line.calls or self._try(tokens).member is None:
            self._join(now, tokens)

    def _join(self, now: Instant, tokens: int) -> None:
        pool = self.board.pools.pool_for(self.world.call)
        refill = refill_of(pool, self.board.view(pool, now), self.line.average_with(tokens), now)
        if refill and (len(self.line.calls) + 1) / refill > PATIENCE_S:
            self.world.refuse()
            return
        self.line.add(Waiter(now, tokens))
        if len(self.line.calls) == 1 or tokens <= self.line.gap:
            self.look()

    def look(self) -> None:
        """The head of the line tries, and the next after it."""
        now = self.world.clock.now()
        while self.line.calls:
            self.grows_at, head = FOREVER, self.line.calls[0]
            if now - head.arrived > PATIENCE_S:
                self.world.refuse()
            else:
                picked = self._try(head.tokens)
                self.room_at = picked.room_at
                if picked.member is None:
                    if self._overtakes(picked, now):
                        continue
                    break
            self.line.remove(head)
        self._plan_look()

    def _overtakes(self, picked: Pick, now: Instant) -> bool:
        """Whether somebody behind the head went before it."""
        spent = self.board.view(self.board.pools.pool_for(self.world.call), now).spent
        gap = gap_beside(self.line, picked.short, spent, now)
        self.grows_at = gap.grows_at
        passer = self.line.largest(gap.tokens)
        if passer is None or self._try(passer.tokens, gap.kept).member is None:
            return False
        self.line.remove(passer)
        return True

    def _plan_look(self) -> None:
        if not self.line.calls:
            self.looks_at = FOREVER
            return
        now, pool = self.world.clock.now(), self.board.pools.pool_for(self.world.call)
        wakes = [rest.wake_at for rest in resting_of(self.board.view(pool, now), Plan(), now)]
        at = min([*wakes, self.room_at, self.grows_at, self.line.calls[0].arrived + PATIENCE_S + 0.001])
        at = max(at, now + 0.001)
        if at != self.looks_at:
            self.looks_at = at
            self.world.later(at, self._look_if_due)

    def _look_if_due(self) -> None:
        if self.world.clock.now() >= self.looks_at:
            self.looks_at = FOREVER
            self.look()

    def _try(self, tokens: int, excluded: frozenset[AccountId] = frozenset()) -> Pick:
        now, board = self.world.clock.now(), self.board
        pool = board.pools.pool_for(self.world.call)
        view = board.view(pool, now)

        def choose_one(found: Sequence[Member]) -> int:
            piece = tightest(found, tokens, now) if now < view.pieces_until else None
            return choose(found, SelectionStrategy.BALANCED, rng=self.rng) if piece is None else piece

        picked = pick(view, excluded, tokens, now, choose_one)
        if picked.member is not None:
            self.world.send(self, board.take(pool, picked.member, now, tokens))
        return picked

    def answered(self, lease: Lease, status: int, headers, outcome: Outcome) -> None:
        now = self.world.clock.now()
        note_head(lease, status, headers, self.world.clock)
        self.board.observe(lease, outcome, now)
        lease.release()
        if outcome.kind is not OutcomeKind.OK:  # another account, at the head of the line
            self.line.add(Waiter(now, lease.tokens), is_first=True)
        self.look()


class World:
    """Accounts, their upstream, and the processes between."""

    def __init__(
        self, rules: tuple[LimitRule, ...], *, accounts: int = 8, orgs: int | None = None, grouped: bool = True,
        processes: int = 1, tells: bool = True, delays_to_s: float | None = 0.001, latency_s: float = 0.3,
        seed: int = 1, late_share: float = 0.0, names_organizations: bool = False, one_name: str | None = None,
        favoured: int = 1, transit_s: float = 0.004, whole: Callable[[float], float] | None = None,
        are_neighbours: bool = False,
    ) -> None:  # fmt: skip
        """`one_name`: answers name this organisation, whichever it is. `favoured`: so many times as many calls come to
        the first process as to each other. `transit_s`: what a call takes to the upstream at most. `whole`: how resets
        are rounded to whole seconds. `are_neighbours`: the processes are workers of one service.

        `late_share`: of all calls, which are up to 30 ms longer on their way. `delays_to_s`: refusals name their delay,
        rounded up to this; None: they name none.
        """
        self.clock, self.seed, self.rng = FakeClock(), seed, Random(seed)
        self.late_share = late_share
        self.tells, self.latency_s, self.delays_to_s = tells, latency_s, delays_to_s
        self.names_organizations, self.one_name = names_organizations or one_name is not None, one_name
        self.transit_s, self.whole = transit_s, whole
        self.audience = Audience.NEIGHBOURS if are_neighbours else Audience.REPLICAS
        orgs = orgs or accounts
        self.keys = {f"sk-a{i}": KeyConfig(org=f"org-{i % orgs}") for i in range(accounts)}
        self.limits = Limits(rules, charges_refused=True)
        self.accounts = [
            account(f"a{i}", quota_group=f"g{i % orgs}" if grouped and orgs != accounts else None)
            for i in range(accounts)
        ]
        self.call = Call(id=CallId("r"), endpoint=CHAT, model=ModelName(MODEL))
        self.processes = [Process(self, f"p{i}") for i in range(processes)]
        self.doors = [*self.processes, *self.processes[:1] * (favoured - 1)]
        """Where calls come in, one as often as another."""
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.order = itertools.count()
        self.result = Result()
        self.is_counting = self.is_talking = False
        self.largest = 0

    def later(self, at: float, what: Callable[..., None], *facts: object) -> None:
        heapq.heappush(self.events, (at, next(self.order), what, facts))

    def refuse(self) -> None:
        self.result.refused += self.is_counting

    def send(self, process: Process, lease: Lease) -> None:
        """The request reaches the upstream some milliseconds later, and the answer comes after its latency."""
        on_way_s = self.rng.uniform(0.001, self.transit_s)
        if self.late_share and self.rng.random() < self.late_share:
            on_way_s += self.rng.uniform(0.0, 0.03)
        self.later(self.clock.now() + on_way_s, self._admit, process, lease)

    def _admit(self, process: Process, lease: Lease) -> None:
        now = self.clock.now()
        key = self.keys[lease.member.account.credential.secret.reveal()]
        verdict = self.limits.admit(key, MODEL, lease.tokens, now)
        headers = [(b"content-type", b"application/json")]
        if self.names_organizations:
            headers.append((b"openai-organization", (self.one_name or key.org).encode()))
        if self.tells:
            headers += [(name.encode(), value.encode()) for name, value in rate_headers(self._told(verdict.readings))]
        if verdict.refusal is None:
            outcome, status = OK, 200
            self.result.served += self.is_counting
            self.result.tokens += self.is_counting * lease.tokens
            self.result.largest += self.is_counting and lease.tokens >= self.largest
            after_s = self.latency_s * self.rng.uniform(0.5, 1.5)
        else:
            outcome, status = self._refused(verdict.refusal), 429
            self.result.wasted += self.is_counting
            after_s = 0.002
        self.later(now + after_s, process.answered, lease, status, headers, outcome)

    def _told(self, readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
        if self.whole is None:
            return readings
        return tuple([msgspec.structs.replace(one, reset_s=self.whole(round(one.reset_s, 6))) for one in readings])

    def _refused(self, refusal: Refusal) -> Outcome:
        if refusal.is_too_large:
            return Outcome(OutcomeKind.TOO_LARGE, 429)
        return Outcome(
            OutcomeKind.RATE_LIMITED,
            429,
            retry_after_s=self._delay(refusal),
            limit=refusal.limit,
            organization=(self.one_name or refusal.org) if self.names_organizations else None,
        )

    def _delay(self, refusal: Refusal) -> float | None:
        if not self.delays_to_s:
            return None
        return math.ceil(refusal.wait_s / self.delays_to_s) * self.delays_to_s

    def run(
        self, *, rate: float, capacity: float, seconds: float, warm_up_s: float = 20.0,
        tokens: int | Sequence[int] = 10, large: int | None = None,
    ) -> Result:  # fmt: skip
        """`rate`: calls a second that come, at random moments; `capacity`: calls a second that the upstream allows.

        `large`: calls of so many tokens and more count as of the largest size.
        """
        end = self.clock.now() + warm_up_s + seconds
        self.later(self.clock.now() + warm_up_s, self._begin)
        sizes = (tokens,) if isinstance(tokens, int) else tuple(tokens)
        self.largest = large or max(sizes)
        self.later(self.clock.now(), self._arrive, rate, end, sizes)
        while self.events:
            at, _, what, facts = heapq.heappop(self.events)
            if at > end:
                break
            self.clock.move_to(Instant(at))
            what(*facts)
        self.result.capacity = capacity * seconds
        return self.result

    def tell_uses(self) -> None:
        """From now on processes hear each other, as `app.py` has it."""
        self.is_talking = True
        for process in self.processes:
            self.later(self.clock.now() + self.rng.uniform(0, NEWS_S), process.tell_news)
            self.later(self.clock.now() + self.rng.uniform(0, 1.0), process.tell_near)

    def tell(self, sender: Process, hear: Callable[[Process], object], audience: Audience = Audience.REPLICAS) -> None:
        """The other processes hear it some milliseconds later; neighbours sooner."""
        fastest_s = 0.006 if audience is Audience.REPLICAS else 0.0003
        if self.is_talking:
            for other in self.processes:
                if other is not sender:
                    self.later(self.clock.now() + self.rng.uniform(fastest_s, 2 * fastest_s), hear, other)

    def _begin(self) -> None:
        self.is_counting = True

    def _arrive(self, rate: float, end: float, sizes: Sequence[int]) -> None:
        tokens = sizes[0] if len(sizes) == 1 else self.rng.choice(sizes)
        self.result.offered += self.is_counting
        self.result.offered_tokens += self.is_counting * tokens
        self.result.offered_largest += self.is_counting and tokens >= self.largest
        self.rng.choice(self.doors).arrive(tokens)
        at = self.clock.now() + self.rng.expovariate(rate)
        if at < end:
            self.later(at, self._arrive, rate, end, sizes)
