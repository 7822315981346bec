"""What a call does next: try an account, wait, or stop. A call's plan and the rules of SPEC §4's column "Call"."""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum, auto

import msgspec

from gateway.core.errors import (
    AllOutOfQuota,
    AllOverloaded,
    AllRateLimited,
    GatewayError,
    ModelNotFound,
    NoAccountAvailable,
)
from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.core.outcome import Outcome, OutcomeKind

UPSTREAM_FAULTS = frozenset({OutcomeKind.OVERLOADED, OutcomeKind.UPSTREAM_ERROR, OutcomeKind.UNREACHABLE})
"""Faults of the upstream, whichever account asked: further attempts are few and draw on the retry budget."""

ACCOUNT_FAULTS = frozenset(
    {
        OutcomeKind.RATE_LIMITED,
        OutcomeKind.OUT_OF_QUOTA,
        OutcomeKind.CREDENTIAL_REJECTED,
        OutcomeKind.NO_TOKEN,
        OutcomeKind.MISSING_PERMISSION,
    }
)
"""Faults of the account: every other healthy account is tried, free of any budget; no caller meets them."""

WORTH_WAITING = ACCOUNT_FAULTS | {OutcomeKind.OVERLOADED}
"""Faults that park: the call waits for the end of a rest if that is within its patience."""

MAX_ATTEMPTS: Mapping[OutcomeKind, int] = {
    OutcomeKind.TOO_LARGE: 2,  # one more account may have a larger limit
    OutcomeKind.FORBIDDEN: 3,  # at most two other accounts
    OutcomeKind.NO_ACCESS_TO_MODEL: 3,  # three scopes agree: the model does not exist
    OutcomeKind.TIMED_OUT: 2,  # at most one other account
    OutcomeKind.OVERLOADED: 4,  # three further attempts, all upstream faults counted together
    OutcomeKind.UPSTREAM_ERROR: 4,
    OutcomeKind.UNREACHABLE: 4,
}
"""How many attempts of a call may come to this before it ends as the last one came; for no access: how many holders."""

BACKOFF_BASE_S = 0.1
BACKOFF_CAP_S = 2.0


class Try(msgspec.Struct, frozen=True):
    """Make an attempt on the best of the candidates."""


class Wait(msgspec.Struct, frozen=True):
    """Nothing may be tried before `until`, or before something changes for the better."""

    until: Instant
    is_backoff: bool = False
    """Wait the whole time: it gives a broken upstream room, and no event shortens it."""
    is_for_retry: bool = False
    """Wait for the retry budget."""


class Stop(msgspec.Struct, frozen=True):
    """The call ends. With an error: that is the answer; without: the last attempt's answer as it came."""

    error: GatewayError | None = None


Step = Try | Wait | Stop


class Retry(Enum):
    """When an attempt after a fault of the upstream may go."""

    AT_ONCE = auto()
    AFTER_BACKOFF = auto()
    """Nobody seems to be served: the next account would fail as well."""
    SPENT = auto()
    """The retry budget allows no more of them now."""


class Plan(msgspec.Struct, frozen=True):
    """What a call has been through."""

    tried: frozenset[AccountId] = frozenset()
    """Not to be tried again."""
    failed: frozenset[AccountId] = frozenset()
    """Met a fault of the upstream: may be tried again after a backoff."""
    parked: frozenset[AccountId] = frozenset()
    """Those of `tried` that were at fault themselves: once their rest is over they may be tried again."""
    lacking: frozenset[str] = frozenset()
    """Holders (quota groups, or accounts without one) without the model: keys of one organisation count once."""
    unfit: frozenset[AccountId] = frozenset()
    """Those of `tried` that this call is too large for, whenever they are asked."""
    has_larger: bool = False
    """It was too large for one account, and another is known to have a limit that is large enough."""
    counts: dict[OutcomeKind, int] = {}
    last: Outcome | None = None
    is_over: bool = False
    """The last outcome is the caller's answer, whatever accounts are left."""

    def after(
        self,
        account_id: AccountId,
        outcome: Outcome,
        *,
        holder: str | None = None,
        is_creating: bool = False,
        is_for_others: bool = False,
    ) -> "Plan":
        """The plan once an attempt on `account_id` came to `outcome`. `holder`: of its limits; None: the account.

        `is_for_others`: calls that wait had it find out whether the upstream is back: it does not count against this.
        """
        is_upstream_fault = outcome.kind in UPSTREAM_FAULTS
        group = OutcomeKind.UPSTREAM_ERROR if is_upstream_fault else outcome.kind
        counts = {**self.counts, group: self.counts.get(group, 0) + (not (is_for_others and is_upstream_fault))}
        lacking = self.lacking
        if outcome.kind is OutcomeKind.NO_ACCESS_TO_MODEL:
            lacking |= {holder or str(account_id)}
            counts[group] = len(lacking)
        retryable = outcome.kind in ACCOUNT_FAULTS or counts[group] < MAX_ATTEMPTS.get(group, 1)
        is_safe = outcome.is_definite_refusal or not is_creating
        return Plan(
            tried=self.tried if is_upstream_fault else self.tried | {account_id},
            failed=self.failed | {account_id} if is_upstream_fault else self.failed,
            parked=self.parked | {account_id} if outcome.kind in ACCOUNT_FAULTS else self.parked,
            lacking=lacking,
            unfit=self.unfit,
            has_larger=self.has_larger,
            counts=counts,
            last=outcome,
            is_over=not (retryable and is_safe),
        )

    def too_large_for(self, account_ids: Collection[AccountId], *, has_larger: bool) -> "Plan":
        """The call is larger than their limits: neither now nor after a wait are they asked."""
        unfit = self.unfit.union(account_ids)
        tried, parked = self.tried | unfit, self.parked - unfit
        return msgspec.structs.replace(self, tried=tried, parked=parked, unfit=unfit, has_larger=has_larger)

    def renewed(self, account_id: AccountId) -> "Plan":
        """The account has another credential by now: what the old one came to says nothing of it."""
        mine = frozenset({account_id})
        return msgspec.structs.replace(
            self, tried=self.tried - mine, failed=self.failed - mine, parked=self.parked - mine, unfit=self.unfit - mine
        )

    def ended(self) -> "Plan":
        """No further attempt, whatever accounts are left: the deadline has passed."""
        return msgspec.structs.replace(self, is_over=True)

    @property
    def excluded(self) -> frozenset[AccountId]:
        return self.tried | self.failed

    def rested(self) -> "Plan":
        """After a backoff: accounts that met a fault of the upstream may be tried again."""
        return msgspec.structs.replace(self, failed=frozenset())

    def recovered(self) -> "Plan":
        """After waiting for a recovery: an account that was parked by this very call may be tried again.

        So may those that met a fault of the upstream, but by the last attempt: that is kept for others.
        """
        failed = self.failed if self.is_last_left else frozenset()
        return msgspec.structs.replace(self, tried=self.tried - self.parked, failed=failed, parked=frozenset())

    @property
    def is_last_left(self) -> bool:
        """One attempt more may meet a fault of the upstream."""
        return self.counts.get(OutcomeKind.UPSTREAM_ERROR, 0) == MAX_ATTEMPTS[OutcomeKind.UPSTREAM_ERROR] - 1


def after_commit(plan: Plan, account_id: AccountId, outcome: Outcome) -> Plan:
    """The plan of a call that asks once more, after its answer began on this account and came to that outcome.

    No account whose answer broke is tried again; a fault of the caller ends it, and so do as many breaks as attempts of
    a call may fail. `plan`: of the answer that broke.
    """
    tried = plan.tried | {account_id}
    return msgspec.structs.replace(plan.after(account_id, outcome), tried=tried, failed=frozenset(), parked=frozenset())


class Resting(msgspec.Struct, frozen=True):
    """A member of the pool that may not be tried now, and why."""

    reason: OutcomeKind | None
    """None: it is well, but full (`max_concurrency`), or others have come first."""
    until: Instant
    """When it is believed to serve again, for Retry-After; FOREVER when nobody can say."""
    wake_at: Instant
    """When it may be tried next: earlier than `until` where a probe goes first; FOREVER when an event will tell."""
    is_broken: bool = False
    """Nothing is held against the account: the breaker lets its provider, model or origin rest."""


def next_step(
    plan: Plan, *, has_candidate: bool, resting: Sequence[Resting], now: Instant, wait_until: Instant, retry: Retry
) -> Step:
    """What the call does now.

    `has_candidate`: an account that the plan does not exclude may serve now. `resting`: the others of the pool.
    `wait_until`: how long the call may wait. `retry`: when one more attempt after an upstream fault may go.
    """
    is_upstream_fault = plan.last is not None and plan.last.kind in UPSTREAM_FAULTS
    if plan.is_over:
        return Stop()
    may_go_on = has_candidate or bool(plan.failed)  # else there is nobody left to ask
    if is_upstream_fault and may_go_on and retry is Retry.SPENT:
        return Wait(wait_until, is_for_retry=True) if now < wait_until else Stop()
    if has_candidate and not (plan.failed and is_upstream_fault and retry is Retry.AFTER_BACKOFF):
        return Try()
    if plan.failed and not (plan.is_last_left and _comes_back(resting, now, wait_until)):
        return _backoff(plan, now)
    return _wait_or_stop(plan, resting, now, wait_until)


def _comes_back(resting: Sequence[Resting], now: Instant, wait_until: Instant) -> bool:
    """Somebody who rests, or has no room, may serve within the call's patience."""
    return now < wait_until and any(rest.reason is None or rest.wake_at <= wait_until for rest in resting)


def _wait_or_stop(plan: Plan, resting: Sequence[Resting], now: Instant, wait_until: Instant) -> Wait | Stop:
    last = None if plan.last is None else plan.last.kind
    if last is not None and last not in WORTH_WAITING and not _may_yet_serve(plan, last, resting):
        return Stop()
    soonest = min((rest.wake_at for rest in resting), default=FOREVER)
    if any(rest.reason is None for rest in resting):
        soonest = min(soonest, wait_until)  # it may have room at any moment
    if now < wait_until and soonest <= wait_until:
        return Wait(Instant(max(soonest, now)))
    if last is OutcomeKind.TOO_LARGE:
        return Stop()
    if last in UPSTREAM_FAULTS and (not resting or any(rest.is_broken for rest in resting)):
        return Stop()
    return Stop(why_none(resting, now))


def _may_yet_serve(plan: Plan, last: OutcomeKind, resting: Sequence[Resting]) -> bool:
    """Accounts without the model, or with too small a limit, were met, but one that rests for another reason may serve;
    or the upstream was at fault, and the breaker's probe may find it well again, or others only have no room.
    """
    if last in UPSTREAM_FAULTS:
        return any(rest.is_broken or rest.reason in {None, *WORTH_WAITING} for rest in resting)
    may_fit = last is OutcomeKind.NO_ACCESS_TO_MODEL or (last is OutcomeKind.TOO_LARGE and plan.has_larger)
    return may_fit and any(rest.reason in {None, OutcomeKind.RATE_LIMITED} for rest in resting)


def _backoff(plan: Plan, now: Instant) -> Wait:
    round_ = plan.counts.get(OutcomeKind.UPSTREAM_ERROR, 1)
    return Wait(Instant(now + min(BACKOFF_BASE_S * 2 ** (round_ - 1), BACKOFF_CAP_S)), is_backoff=True)


def why_none(resting: Sequence[Resting], now: Instant) -> GatewayError:
    """The answer when no account can serve now, and none will within the call's patience (SPEC §4 "All parked")."""
    reasons = {rest.reason for rest in resting}
    soonest = min((rest.until for rest in resting), default=FOREVER)
    retry_after_s = None if soonest == FOREVER else max(soonest - now, 0.0)
    if OutcomeKind.RATE_LIMITED in reasons or None in reasons:
        return AllRateLimited(
            "All accounts for this model are at their rate limit. Retry after the time in Retry-After.",
            retry_after_s=1.0 if retry_after_s is None else retry_after_s,
        )
    broken = {rest.reason for rest in resting if rest.is_broken}
    if broken - ACCOUNT_FAULTS - {OutcomeKind.FORBIDDEN}:
        return AllOverloaded(
            "The upstream fails or cannot be reached at present. Retry after the time in Retry-After.",
            code="upstream_unavailable",
            retry_after_s=retry_after_s,
        )
    if OutcomeKind.OVERLOADED in reasons:
        return AllOverloaded(
            "The model is overloaded upstream. Retry after the time in Retry-After.", retry_after_s=retry_after_s
        )
    if OutcomeKind.OUT_OF_QUOTA in reasons:
        return AllOutOfQuota("All accounts for this model are out of quota. Tell the operator of this gateway.")
    if reasons == {OutcomeKind.NO_ACCESS_TO_MODEL}:
        return ModelNotFound("No account of this gateway has access to this model.", param="model")
    return NoAccountAvailable(
        "No account can serve this model now. Tell the operator of this gateway.",
        retry_after_s=retry_after_s if broken or OutcomeKind.NO_TOKEN in reasons else None,
    )
