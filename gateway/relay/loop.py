"""The loop of attempts: the one place where accounts are tried, for every endpoint.

next_step ─▶ Try ──▶ attempt ──▶ the answer began: return it (the commit)
    ▲   │               └──────▶ it failed: the plan learns from it ──┐
    │   ├────▶ Wait ─▶ a recovery, room, or the end of patience ──────┤
    └───┼─────────────────────────────────────────────────────────────┘
        └────▶ Stop ─▶ the last refusal as it came, or an error of ours
"""

from collections.abc import Sequence
from random import Random

from gateway.core.attempts import (
    ACCOUNT_FAULTS,
    UPSTREAM_FAULTS,
    Plan,
    Resting,
    Retry,
    Step,
    Stop,
    Try,
    Wait,
    next_step,
)
from gateway.core.blast_radius import Refusals
from gateway.core.errors import (
    DRAINING,
    AllOverloaded,
    AllRateLimited,
    ModelNotFound,
    NoAccountAvailable,
    OutcomeUnknown,
    ShuttingDown,
    UpstreamTimedOut,
)
from gateway.core.ids import FOREVER, Instant
from gateway.core.outcome import Outcome, OutcomeKind
from gateway.core.selection import choose
from gateway.core.snapshot import SelectionStrategy
from gateway.relay.answer import Answer
from gateway.relay.attempt import Attempts, Failed
from gateway.relay.blast import BlastRadius
from gateway.relay.board import Board
from gateway.relay.job import Job
from gateway.relay.member import Member
from gateway.relay.overtaking import let_pass, tightest
from gateway.relay.picking import pick, refill_of, too_large
from gateway.relay.pool import Pool, no_headroom, no_room, resting_of
from gateway.relay.ports import Clock
from gateway.relay.retries import Retries
from gateway.relay.spooled import held_bytes
from gateway.relay.view import View
from gateway.relay.waiting import Ticket, Waiting
from gateway.wire.envelope import prompt_prefix

_CACHE_AFFINITY = SelectionStrategy.CACHE_AFFINITY  # bound: Python 3.11 takes long to find a member of an enum
WAITABLE = (AllRateLimited, AllOverloaded)
"""Errors of calls that more patience would have saved."""


class _Run:
    """Where one call stands in the loop."""

    __slots__ = (
        "deadline", "failed", "has_retry", "is_at_fault", "is_owed", "plan", "refusals", "ticket", "wait_until",
    )  # fmt: skip

    def __init__(self, plan: Plan, deadline: Instant, wait_until: Instant) -> None:
        self.deadline = deadline
        self.wait_until = wait_until
        self.plan = plan
        self.failed: Failed | None = None
        self.refusals: Refusals = ()
        self.is_at_fault = False
        """So many accounts refused the call alike that it is not they who are to blame."""
        self.is_owed = False
        """Its last attempt met a fault of the upstream, and no further one has begun."""
        self.has_retry = False
        """It holds a turn of the retry budget."""
        self.ticket: Ticket | None = None


class Relay:
    """Calls in, answers out. One per worker."""

    def __init__(self, *, board: Board, attempts: Attempts, waiting: Waiting, clock: Clock, rng: Random) -> None:
        self._board = board
        self._attempts = attempts
        self._waiting = waiting
        self._clock = clock
        self._rng = rng
        self.blast = BlastRadius(board)
        self._retries = Retries(clock, lambda: board.in_flight_calls + self._owed)
        self._owed = 0
        """Calls whose last attempt met such a fault: in flight as well, though no account serves them now."""

    async def relay_call(self, job: Job) -> Answer:
        """The answer of the first account that gives one, or the last refusal as it came. Raises GatewayError else."""
        began = job.progress.arrived if job.began is None else job.began
        deadline = _deadline(began, job)
        run = _Run(job.plan, deadline, Instant(min(began + job.call.max_wait_s, deadline)))
        try:
            while True:
                now = self._clock.now()
                job = self._board.pools.refreshed(job)
                view = self._board.view(job.pool, now)
                member, resting = self._look(run, view, job, now)
                match self._step(run, job, resting, now, has_candidate=member is not None):
                    case Try():
                        if run.ticket is not None:
                            self._leave_line(run)
                        answer = await self._try(member, job, run) if member is not None else None
                        if answer is not None:
                            return answer
                    case Wait(until, is_for_retry=True):
                        await self._wait_for_retry(job, run, until)
                    case Wait(until, is_backoff):
                        await self._wait(job, run, until, is_backoff=is_backoff)
                    case Stop(error):
                        if error is not None:
                            raise error
                        return _as_it_came(run, is_creating=job.call.endpoint.is_creating)
        finally:
            self._leave(run)

    def _look(self, run: _Run, view: View, job: Job, now: Instant) -> tuple[Member | None, list[Resting]]:
        """Who takes the call now; if nobody does, why, and until when."""
        plan, pool = run.plan, job.pool
        is_behind, excluded = self._stands_behind(pool, run), plan.excluded
        if is_behind:
            if run.ticket is None or run.ticket.kept is None:
                return None, self._turn_of(run, view, job, now)
            excluded, run.ticket.kept = excluded | run.ticket.kept, None
        tokens = job.call.estimated_tokens
        picked = pick(view, excluded, tokens, now, lambda found: self._choose(view, found, job, now))
        if picked.member is not None:
            pool.turn += 1
            return picked.member, []
        if is_behind:
            return None, self._turn_of(run, view, job, now)
        resting, wake_at = resting_of(view, plan, now), picked.room_at
        if run.ticket is not None:
            grows_at = let_pass(self._waiting, run.ticket, picked.short, view.spent, now)
            wake_at = min(wake_at, grows_at) if wake_at <= run.wait_until else wake_at
        if picked.room_at != FOREVER:
            resting.append(no_headroom(picked.room_at, wake_at=wake_at))
        return None, resting

    def _turn_of(self, run: _Run, view: View, job: Job, now: Instant) -> list[Resting]:
        """Why a call waits that others came before: its turn comes as the limits of the pool's accounts refill."""
        pool, resting = job.pool, resting_of(view, run.plan, now)
        refill = refill_of(pool, view, self._waiting.average_tokens(pool.key, job.call.estimated_tokens), now)
        if not refill:
            return [*resting, no_room(now)]
        turn_s = (self._waiting.calls_before(pool.key, run.ticket) + 1) / refill
        soonest = min((rest.wake_at for rest in resting), default=now)
        turn = Instant(max(now + turn_s, soonest))
        if run.ticket is not None:
            return [Resting(None, turn, FOREVER)]  # it came in time and keeps its place
        return [Resting(OutcomeKind.RATE_LIMITED, turn, turn)]

    def _step(self, run: _Run, job: Job, resting: list[Resting], now: Instant, *, has_candidate: bool) -> Step:
        plan = run.plan
        if not has_candidate and plan.last is None and not job.pool.members:
            return Stop(
                NoAccountAvailable("No account is configured for this model. Tell the operator of this gateway.")
            )
        wait_until = min(run.wait_until, self._waiting.closes_at)
        step = next_step(
            plan,
            has_candidate=has_candidate,
            resting=resting,
            now=now,
            wait_until=wait_until,
            retry=Retry.AT_ONCE if plan.last is None else self._retry_of(run, job, now),
        )
        if isinstance(step, Wait) and (step.is_for_retry or step.is_backoff) and job.is_followed:
            return Stop()  # the next model may serve at once
        if isinstance(step, Stop) and isinstance(step.error, NoAccountAvailable):
            return Wait(now) if self.blast.look_again(job.pool.provider.id, now) else step
        if isinstance(step, Stop) and isinstance(step.error, ModelNotFound):
            return Wait(now) if self.blast.nobody_has(job.pool, job.call.id, now) else step
        if isinstance(step, Stop) and isinstance(step.error, WAITABLE) and wait_until < run.wait_until:
            return Stop(ShuttingDown(DRAINING, retry_after_s=1.0))
        return step

    def _retry_of(self, run: _Run, job: Job, now: Instant) -> Retry:
        if not (run.has_retry or self._retries.has_room):
            return Retry.SPENT
        if run.plan.failed and not job.is_followed and self._board.breakers.is_down(job.pool, now):
            return Retry.AFTER_BACKOFF
        return Retry.AT_ONCE

    def _choose(self, view: View, found: Sequence[Member], job: Job, now: Instant) -> int:
        pool, strategy = job.pool, job.pool.provider.settings.strategy
        if now < view.pieces_until and strategy is SelectionStrategy.BALANCED:
            piece = tightest(found, job.call.estimated_tokens, now)
            if piece is not None:
                return piece
        return choose(
            found,
            strategy,
            rng=self._rng,
            dimmed=view.dimmed,
            affinity=_affinity_of(job),
            turn=pool.turn,
        )

    async def _try(self, member: Member, job: Job, run: _Run) -> Answer | None:
        """One attempt. None: it failed, and `run` knows how."""
        if run.plan.last is not None and run.plan.last.kind in UPSTREAM_FAULTS and not run.has_retry:
            self._retries.take()
            run.has_retry = True
        self._owed -= run.is_owed
        run.is_owed = False
        breakers = self._board.breakers
        is_for_others = breakers.is_any_open and self._waiting.is_busy(job.pool.key)
        is_for_others = is_for_others and breakers.wants_probe(member, self._clock.now())
        try:
            result = await self._attempts.attempt(member, job, run.deadline)
        finally:
            if run.has_retry:
                self._end_retry(run)
        if isinstance(result, Answer):
            return result
        run.failed = result
        run.is_owed = result.outcome.kind in UPSTREAM_FAULTS
        self._owed += run.is_owed
        run.plan = run.plan.after(
            member.account_id,
            result.outcome,
            holder=member.account.holder,
            is_creating=job.call.endpoint.is_creating,
            is_for_others=is_for_others,
        )
        now = self._clock.now()
        if self._board.is_renewed(member):
            run.plan = run.plan.renewed(member.account_id)
        else:
            self._weigh(member, job, run, result.outcome, now)
        if result.outcome.kind is OutcomeKind.TIMED_OUT and now >= run.deadline:
            run.deadline = _deadline(now, job)  # its silence took all the time: the one other account has its own
        if run.is_at_fault or now >= run.deadline:
            run.plan = run.plan.ended()
        return None

    def _weigh(self, member: Member, job: Job, run: _Run, outcome: Outcome, now: Instant) -> None:
        """What a refusal says of the other accounts, and of the call."""
        if outcome.kind is OutcomeKind.TOO_LARGE:
            run.plan = too_large(run.plan, job.pool, member, outcome.requested)
        run.refusals = self.blast.weigh(run.refusals, job, member, outcome, now)
        run.is_at_fault = self.blast.is_call_at_fault(run.refusals, job.pool, member)

    # -- waiting -------------------------------------------------------------------------------------------------

    def _stands_behind(self, pool: Pool, run: _Run) -> bool:
        """Others wait for this pool and came first."""
        if run.ticket is not None:
            return not self._waiting.is_head(run.ticket)
        return run.plan.last is None and self._waiting.is_busy(pool.key)

    async def _wait(self, job: Job, run: _Run, until: Instant, *, is_backoff: bool) -> None:
        began = self._clock.now()
        if run.has_retry:
            self._end_retry(run)
        if is_backoff:
            stretch = (until - began) * self._rng.random() / 2
            await self._clock.sleep(min(until - began + stretch, max(run.deadline - began, 0.0)))
            run.plan = run.plan.rested() if self._clock.now() < run.deadline else run.plan.ended()
            return
        if run.ticket is None:
            run.ticket = self._waiting.join(
                job.pool.key,
                held_bytes(job.body),
                tokens=job.call.estimated_tokens,
                is_first=run.plan.last is not None,
            )
        if run.ticket is None:
            raise AllRateLimited("Too many calls wait for an account already. Retry shortly.", retry_after_s=1.0)
        if not self._waiting.is_head(run.ticket):
            until = min(run.wait_until, self._waiting.closes_at)
        await run.ticket.wait(until)
        job.progress.waited_s += self._clock.now() - began
        run.plan = run.plan.recovered()

    async def _wait_for_retry(self, job: Job, run: _Run, until: Instant) -> None:
        """For a turn of the retry budget. In the line of calls it would keep back those that met no fault."""
        if run.ticket is not None:
            self._leave_line(run)
        began, body_bytes = self._clock.now(), held_bytes(job.body)
        if not self._waiting.enter(body_bytes):
            run.plan = run.plan.ended()
            return
        try:
            run.has_retry = await self._retries.wait(until)
        finally:
            self._waiting.exit(body_bytes)
            job.progress.waited_s += self._clock.now() - began

    def _end_retry(self, run: _Run) -> None:
        run.has_retry = False
        self._retries.give_back()

    def _leave(self, run: _Run) -> None:
        """The call ends: it holds nothing any more."""
        if run.ticket is not None:
            self._leave_line(run)
        self._owed -= run.is_owed
        if run.has_retry:
            self._end_retry(run)

    def _leave_line(self, run: _Run) -> None:
        if run.ticket is not None:
            self._waiting.leave(run.ticket)
            run.ticket = None


def _deadline(began: Instant, job: Job) -> Instant:
    """When an answer must have begun that is asked for from now on."""
    return Instant(began + job.pool.provider.settings.timeout_s)


def _affinity_of(job: Job) -> str | None:
    """What calls with the same prompt have in common, where the strategy asks for it."""
    if job.pool.provider.settings.strategy is not _CACHE_AFFINITY:
        return None
    return job.call.affinity or (prompt_prefix(job.body) if isinstance(job.body, bytes) else None)


def _as_it_came(run: _Run, *, is_creating: bool) -> Answer:
    failed = run.failed
    if failed is not None and failed.outcome.kind in ACCOUNT_FAULTS and not run.is_at_fault:
        raise UpstreamTimedOut("No account could serve the call in time.")
    if failed is None or failed.outcome.status == 401:  # an upstream's 401 is no caller's business
        raise NoAccountAvailable("No account can serve this call. Tell the operator of this gateway.")
    refusal, outcome = failed.refusal, failed.outcome
    is_answer = isinstance(refusal, Answer) and (outcome.kind not in UPSTREAM_FAULTS or refusal.status < 400)
    if is_creating and not is_answer and not outcome.is_definite_refusal:
        said = "gave no answer" if outcome.status is None else f"failed with {outcome.status}"
        raise OutcomeUnknown(f"The upstream {said}, but may have done what was asked. Look before you repeat.")
    if isinstance(refusal, Answer):
        return refusal
    raise refusal
