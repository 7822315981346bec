"""The loop of attempts: the one place where accounts are tried, for every endpoint.

next_step ─▶ Try ──▶ attempt ──▶ the answer began: return it (the commit)
    ▲   │               └──────▶ it failed: the plan learns from it ──┐
    │   ├────▶ Wait ─▶ a recovery, room, or the end of patience ──────┤
    └───┼─────────────────────────────────────────────────────────────┘
        └────▶ Stop ─▶ the last refusal as it came, or an error of ours
"""

from collections.abc import Sequence
from random import Random

from gateway.core.attempts import ACCOUNT_FAULTS, UPSTREAM_FAULTS, Plan, Resting, Step, Stop, Try, Wait, next_step
from gateway.core.blast_radius import Refusals
from gateway.core.errors import AllRateLimited, NoAccountAvailable, UpstreamTimedOut
from gateway.core.ids import Instant
from gateway.core.retry_budget import may_retry
from gateway.core.selection import choose
from gateway.core.snapshot import SelectionStrategy
from gateway.relay.answer import Answer
from gateway.relay.attempt import Attempts, Failed
from gateway.relay.blast import BlastRadius
from gateway.relay.board import Board
from gateway.relay.job import Job
from gateway.relay.pool import Member, Pool, View, candidates_of, no_room, resting_of
from gateway.relay.ports import Clock
from gateway.relay.waiting import Ticket, Waiting
from gateway.wire.envelope import prompt_prefix


class _Run:
    """Where one call stands in the loop."""

    __slots__ = ("deadline", "failed", "is_at_fault", "is_owed", "plan", "refusals", "ticket", "wait_until")

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
        self._retries = 0
        """Attempts after a fault of the upstream that are under way: what the retry budget bounds."""
        self._owed = 0
        """Calls whose last attempt met such a fault: in flight as well, though no account serves them now."""

    async def relay_call(self, job: Job) -> Answer:
        """The answer of the first account that gives one, or the last refusal as it came. Raises GatewayError else."""
        began = job.progress.arrived if job.began is None else job.began
        deadline = Instant(began + job.pool.provider.settings.timeout_s)
        run = _Run(job.plan, deadline, Instant(min(began + job.call.max_wait_s, deadline)))
        try:
            while True:
                now = self._clock.now()
                job = self._board.refreshed(job)
                view = self._board.view(job.pool, now)
                found = candidates_of(view, run.plan.excluded)
                is_behind = bool(found) and self._stands_behind(job.pool, run)
                match self._step(run, view, () if is_behind else found, now, is_behind=is_behind):
                    case Try():
                        self._leave_line(run)
                        answer = await self._try(self._choose(view, found, job), job, run)
                        if answer is not None:
                            return answer
                    case Wait(until, is_backoff):
                        await self._wait(job, run, until, is_backoff=is_backoff)
                    case Stop(error):
                        if error is not None:
                            raise error
                        return _as_it_came(run)
        finally:
            self._leave_line(run)
            self._owed -= run.is_owed

    def _step(self, run: _Run, view: View, found: Sequence[Member], now: Instant, *, is_behind: bool) -> Step:
        plan = run.plan
        if not found and plan.last is None and not view.tiers and not view.resting:
            return Stop(
                NoAccountAvailable("No account is configured for this model. Tell the operator of this gateway.")
            )
        resting: list[Resting] = []
        if not found:
            resting = resting_of(view, plan, now)
        if is_behind:
            resting.append(no_room(now))
        return next_step(
            plan,
            has_candidate=bool(found),
            resting=resting,
            now=now,
            wait_until=run.wait_until,
            may_retry=plan.last is None or may_retry(self._retries, self._board.in_flight_calls + self._owed),
        )

    def _choose(self, view: View, found: Sequence[Member], job: Job) -> Member:
        pool = job.pool
        index = choose(
            found,
            pool.provider.settings.strategy,
            rng=self._rng,
            dimmed=view.dimmed,
            affinity=_affinity_of(job),
            turn=pool.turn,
        )
        pool.turn += 1
        return found[index]

    async def _try(self, member: Member, job: Job, run: _Run) -> Answer | None:
        """One attempt. None: it failed, and `run` knows how."""
        is_retry = run.plan.last is not None and run.plan.last.kind in UPSTREAM_FAULTS
        self._retries += is_retry
        self._owed -= run.is_owed
        run.is_owed = False
        try:
            result = await self._attempts.attempt(member, job, run.deadline)
        finally:
            self._retries -= is_retry
        if isinstance(result, Answer):
            return result
        run.failed = result
        run.is_owed = result.outcome.kind in UPSTREAM_FAULTS
        self._owed += run.is_owed
        run.plan = run.plan.after(member.account_id, result.outcome, is_creating=job.call.endpoint.is_creating)
        now = self._clock.now()
        run.refusals = self.blast.weigh(run.refusals, job, member, result.outcome, now)
        run.is_at_fault = self.blast.is_call_at_fault(run.refusals, job.pool, member)
        if run.is_at_fault or now >= run.deadline:
            run.plan = run.plan.ended()
        return None

    # -- waiting -------------------------------------------------------------------------------------------------

    def _stands_behind(self, pool: Pool, run: _Run) -> bool:
        """Others wait for this pool and came first."""
        if run.ticket is not None:
            return not self._waiting.is_head(run.ticket)
        return run.plan.last is None and self._waiting.is_busy(pool.key)

    async def _wait(self, job: Job, run: _Run, until: Instant, *, is_backoff: bool) -> None:
        began = self._clock.now()
        if is_backoff:
            stretch = (until - began) * self._rng.random() / 2
            await self._clock.sleep(min(until - began + stretch, max(run.deadline - began, 0.0)))
            run.plan = run.plan.rested() if self._clock.now() < run.deadline else run.plan.ended()
            return
        if run.ticket is None:
            run.ticket = self._waiting.join(job.pool.key, len(job.body), is_first=run.plan.last is not None)
        if run.ticket is None:
            raise AllRateLimited("Too many calls wait for an account already. Retry shortly.", retry_after_s=1.0)
        await run.ticket.wait(until if self._waiting.is_head(run.ticket) else run.wait_until)
        job.progress.waited_s += self._clock.now() - began
        run.plan = run.plan.recovered()

    def _leave_line(self, run: _Run) -> None:
        if run.ticket is not None:
            self._waiting.leave(run.ticket)
            run.ticket = None


def _affinity_of(job: Job) -> str | None:
    """What calls with the same prompt have in common, where the strategy asks for it."""
    if job.pool.provider.settings.strategy is not SelectionStrategy.CACHE_AFFINITY:
        return None
    return job.call.affinity or prompt_prefix(job.body)


def _as_it_came(run: _Run) -> Answer:
    failed = run.failed
    if failed is not None and failed.outcome.kind in ACCOUNT_FAULTS and not run.is_at_fault:
        raise UpstreamTimedOut("No account could serve the call in time.")
    if failed is None or failed.outcome.status == 401:  # an upstream's 401 is no caller's business
        raise NoAccountAvailable("No account can serve this call. Tell the operator of this gateway.")
    if isinstance(failed.refusal, Answer):
        return failed.refusal
    raise failed.refusal
