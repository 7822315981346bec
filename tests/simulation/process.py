"""One worker of a simulated gateway: its board, and the line of calls that wait.

Rules of this file: it does what `relay/loop.py` and `relay/waiting.py` do, when they do it. A call that comes picks an
account, or stands in line; the head of the line looks again when its time has come, when somebody has left, when a
small one has come and when the board says that something changed for the better.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

import msgspec

from gateway.core.attempts import Plan
from gateway.core.call import Call
from gateway.core.hints import RateLimits
from gateway.core.ids import FOREVER, AccountId, CallId, Instant, ModelName
from gateway.core.organizations import Organization
from gateway.core.outcome import Outcome, OutcomeKind, Scope
from gateway.core.parks import Park
from gateway.core.selection import choose
from gateway.core.snapshot import Account, SelectionStrategy
from gateway.core.uses import Audience, Use
from gateway.providers.base import Headers
from gateway.providers.catalog import KINDS
from gateway.relay.board import Board
from gateway.relay.headrooms import FRESH_NEWS_S, NEWS_S, note_answer, note_head, note_told
from gateway.relay.lease import Lease
from gateway.relay.line import Line
from gateway.relay.member import Member
from gateway.relay.overtaking import gap_beside, tightest
from gateway.relay.picking import Pick, pick, refill_of
from gateway.relay.pool import Pool, resting_of
from gateway.relay.view import View
from gateway.wire.endpoints import find
from tests.fakes.clock import FakeClock
from tests.fakes.relay_kit import snapshot_of

MODEL = "gpt-4"
CALL = Call(id=CallId("r"), endpoint=find("POST", "/chat/completions"), model=ModelName(MODEL))
PATIENCE_S = 10.0
NOBODY: frozenset[AccountId] = frozenset()
FRESH = Plan()


class Waiter(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A call in the line."""

    arrived: float
    tokens: int


class Answered(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What came back from the upstream."""

    outcome: Outcome
    limits: RateLimits | None = None
    """What its headers tell."""
    organization: bytes | None = None
    headers: Headers | None = None
    """The same as text, to be read; None: it was read."""


class Surroundings(Protocol):
    """The world around the processes."""

    clock: FakeClock

    def later(self, at: float, what: Callable[..., None], *facts: object) -> None:
        """Something happens then."""
        ...

    def refuse(self) -> None:
        """A caller was refused."""
        ...

    def send(self, process: "Process", lease: Lease) -> None:
        """The attempt goes to the upstream, which answers some time."""
        ...

    def tell(self, sender: "Process", hear: Callable[["Process"], object], audience: Audience) -> None:
        """The other processes hear it some time."""
        ...


class Process:
    """One worker: its board and its line."""

    def __init__(
        self, world: Surroundings, name: str, *, accounts: Sequence[Account], seed: int, audience: Audience
    ) -> None:
        self.world = world
        self.name = name
        self.audience = audience
        self.rng = Random(f"{name}{seed}")
        self.board = Board(clock=world.clock, rng=self.rng, kinds=KINDS, announcer=self)
        self.board.headrooms.process = name
        if audience is Audience.NEIGHBOURS:
            self.board.headrooms.tell_neighbours(self._tell_soon)
        self.board.pools.on_organization = self._tell_organization
        self.board.replace_snapshot(snapshot_of(*accounts))
        self.board.on_change = self._ring
        self.key = self.board.pools.pool_for(CALL).key
        self.line: Line[Waiter] = Line()
        self.looks_at = FOREVER

    # -- calls ---------------------------------------------------------------------------------------------------

    def arrive(self, tokens: int, now: Instant) -> None:
        pool = self.board.pools.pool_for(CALL)
        view = self.board.view(pool, now)
        if self.line.calls:
            self._join(pool, view, tokens, now)
            return
        picked = self._try(pool, view, tokens, now)
        if picked.member is None and self._join(pool, view, tokens, now):
            self._sleep(picked, view, now)

    def _join(self, pool: Pool, view: View, tokens: int, now: Instant) -> bool:
        """False: the caller is refused, as his turn would come too late."""
        line = self.line
        refill = refill_of(pool, view, line.average_with(tokens), now)
        if refill and (len(line.calls) + 1) / refill > PATIENCE_S:
            self.world.refuse()
            return False
        line.add(Waiter(now, tokens))
        if tokens <= line.gap and tokens < line.calls[0].tokens:
            self._look(now)
        return True

    def answered(self, lease: Lease, answer: Answered, now: Instant) -> None:
        outcome = answer.outcome
        is_success = outcome.kind is OutcomeKind.OK
        if answer.headers is not None:
            note_head(lease, outcome.status or 0, answer.headers, self.world.clock)
        elif note_answer(lease, now, is_success=is_success):
            note_told(lease, answer.limits, answer.organization, now, is_success=is_success)
        self.board.observe(lease, outcome, now)
        lease.release()
        if not is_success:  # another account, at the head of the line
            self.line.add(Waiter(now, lease.tokens), is_first=True)
            self._look(now)

    # -- looks ---------------------------------------------------------------------------------------------------

    def _look(self, now: Instant) -> None:
        """The head of the line tries, and the next after it."""
        pool = self.board.pools.pool_for(CALL)
        while self.line.calls:
            view, head = self.board.view(pool, now), self.line.calls[0]
            if now - head.arrived > PATIENCE_S:
                self.world.refuse()
            else:
                picked = self._try(pool, view, head.tokens, now)
                if picked.member is None:
                    grows_at = self._let_pass(picked, pool, view, now)
                    if grows_at is None:
                        continue
                    self._sleep(picked, view, now, grows_at)
                    return
            self.line.remove(head)
        self.looks_at = FOREVER

    def _let_pass(self, picked: Pick, pool: Pool, view: View, now: Instant) -> Instant | None:
        """None: somebody behind the head went before it. Else when the head should look again for them."""
        gap = gap_beside(self.line, picked.short, view.spent, now)
        passer = self.line.largest(gap.tokens)
        if passer is None or self._try(pool, view, passer.tokens, now, gap.kept).member is None:
            return gap.grows_at
        self.line.remove(passer)
        return None

    def _try(self, pool: Pool, view: View, tokens: int, now: Instant, excluded: frozenset[AccountId] = NOBODY) -> Pick:
        def choose_one(found: Sequence[Member]) -> int:
            piece = tightest(found, tokens, now) if now < view.pieces_until else None
            return choose(found, SelectionStrategy.BALANCED, rng=self.rng) if piece is None else piece

        picked = pick(view, excluded, tokens, now, choose_one)
        if picked.member is not None:
            self.world.send(self, self.board.take(pool, picked.member, now, tokens))
        return picked

    def _sleep(self, picked: Pick, view: View, now: Instant, grows_at: Instant = FOREVER) -> None:
        """Until the head looks again."""
        at = min(picked.room_at, grows_at, self.line.calls[0].arrived + PATIENCE_S + 0.001)
        for rest in resting_of(view, FRESH, now):
            at = min(at, rest.wake_at)
        self._look_at(max(at, now + 0.001))

    def _ring(self) -> None:
        """Something changed for the better."""
        if self.line.calls:
            self._look_at(self.world.clock.now())

    def _look_at(self, at: float) -> None:
        if at != self.looks_at:
            self.looks_at = Instant(at)
            self.world.later(at, self._look_if_due, at)

    def _look_if_due(self, at: float) -> None:
        if at == self.looks_at:
            self.looks_at = FOREVER
            self._look(Instant(at))

    # -- other processes -----------------------------------------------------------------------------------------

    def announce(self, park: Park) -> None:
        self.world.tell(self, lambda other: other.board.hear_parks([park]), Audience.REPLICAS)

    def announce_recovery(self, scope: Scope) -> None:
        self.world.tell(self, lambda other: other.board.hear_recoveries([scope]), Audience.REPLICAS)

    def _tell_organization(self, _organization: Organization, accounts: list[Account]) -> None:
        some = self.board.pools.affiliations.organizations.memberships(accounts)
        self.world.tell(self, lambda other: other.board.pools.hear_organizations(some), Audience.REPLICAS)

    def tell_news(self) -> None:
        now, headrooms = self.world.clock.now(), self.board.headrooms
        if self.line.calls:
            self.board.pools.note_lines([self.key], now)
        self._tell_uses(headrooms.news(now, self.audience))
        self.world.later(now + NEWS_S, self.tell_news)

    def _tell_soon(self) -> None:
        self.world.later(self.world.clock.now() + FRESH_NEWS_S, self.tell_fresh_news)

    def tell_fresh_news(self) -> None:
        self._tell_uses(self.board.headrooms.fresh_news(self.world.clock.now()))

    def tell_near(self) -> None:
        now = self.world.clock.now()
        self._tell_uses(self.board.headrooms.near(now, self.audience))
        self.world.later(now + 1.0, self.tell_near)

    def _tell_uses(self, uses: list[Use]) -> None:
        if not uses:
            return

        def hear(other: Process) -> None:
            other.board.headrooms.hear_uses(self.name, uses, self.world.clock.now(), self.audience)

        self.world.tell(self, hear, self.audience)
