"""Refusals that no account is to blame for: lifts what they parked, and opens the provider's breaker (SPEC §4).

What they mean is `core/blast_radius`' to say. Rules of this file: the benefit of the doubt ends 15 minutes after it was
first given, unless the provider served somebody since; dead keys are parked in the end. Refusals by all that come while
the provider has just served somebody are weighed again when nobody is left to ask.
"""

from collections.abc import Callable

import msgspec

from gateway.core.blast_radius import (
    DOUBT_S,
    ON_ALL,
    WINDOW_S,
    Lifted,
    Refusal,
    Refusals,
    agree,
    is_provider_at_fault,
    kept,
    refusal_of,
)
from gateway.core.cooldown import FORGET_S
from gateway.core.ids import NEVER, CallId, Instant, ProviderId
from gateway.core.outcome import Outcome, OutcomeKind, ScopeKind
from gateway.core.snapshot import Account
from gateway.relay.board import Board
from gateway.relay.job import Job
from gateway.relay.member import Member
from gateway.relay.pool import Pool

SERVED_S = 10.0
"""A model that was served so short a time ago is there: who refuses it lacks it, unless whoever served it does, too."""
UNSETTLED_S = 60.0
"""How long refusals by all may be weighed again: as long as the shortest of the rests that they began."""


class Doubt(msgspec.Struct, frozen=True):
    """Since when accounts of a provider are given the benefit of the doubt, and when that was last of use."""

    since: Instant
    last: Instant


class BlastRadius:
    """One per worker."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.on_lifted: Callable[[Lifted], None] = lambda _lifted: None
        self._kept: dict[ProviderId, Refusals] = {}
        self._doubts: dict[tuple[ProviderId, OutcomeKind], Doubt] = {}
        self._unsettled: dict[ProviderId, tuple[Refusals, Member]] = {}
        """Refusals by all, of several calls, so soon after a success that they proved nothing; and by whom the last."""

    def weigh(self, refusals: Refusals, job: Job, member: Member, outcome: Outcome, now: Instant) -> Refusals:
        """The call's refusals with this one, which the board has observed already. Lifts parks."""
        refusal = refusal_of(outcome, member.names, job.call.id, now)
        if refusal is None:
            return refusals
        provider_id = member.account.provider_id
        known = self._kept[provider_id] = kept(self._kept.get(provider_id, ()), refusal)
        breakers = self._board.breakers
        of_provider = agree(known, refusal, self._holders(refusal, job.pool, known))
        if is_provider_at_fault(of_provider, served_at=breakers.provider_served_at(member)):
            self._blame_provider(of_provider, member, now)
        elif breakers.is_broken_for(member, refusal.kind):
            self._lift((refusal,), member)
        elif is_provider_at_fault(of_provider, served_at=NEVER):
            self._unsettled[provider_id] = of_provider, member
        return (*refusals, refusal)

    def look_again(self, provider_id: ProviderId, now: Instant) -> bool:
        """Nobody of the provider is left. Whether parks were lifted: all refused alike, and nobody was served since."""
        alike, member = self._unsettled.get(provider_id, ((), None))
        if member is None:
            return False
        last, served_at = alike[-1], self._board.breakers.provider_served_at(member)
        is_settled = served_at >= last.at or now - last.at > UNSETTLED_S
        if not is_settled and now - served_at < WINDOW_S:
            return False
        del self._unsettled[provider_id]
        return not is_settled and self._blame_provider(alike, member, now)

    def nobody_has(self, pool: Pool, call_id: CallId, now: Instant) -> bool:
        """Whether parks were lifted: all accounts of the pool rest because they lack its model, so none is to blame.

        Each call that asks again reads what they say now. One alone is believed where it never served the model.
        """
        rests = self._board.view(pool, now).resting.values()
        if len(rests) < len(pool.members) or any(rest.reason is not OutcomeKind.NO_ACCESS_TO_MODEL for rest in rests):
            return False
        if len(pool.members) == 1 and not self._board.pools.learned.is_served(pool.members[0]):
            return False
        self._board.lift([member.names.scope(ScopeKind.ACCOUNT_MODEL) for member in pool.members])
        self.on_lifted(Lifted(pool.provider.id, OutcomeKind.NO_ACCESS_TO_MODEL, len(pool.members), call_id))
        return True

    def _blame_provider(self, alike: Refusals, member: Member, now: Instant) -> bool:
        if not self._lift(alike, member):
            return False
        self._board.breakers.open_provider(member, alike[-1].kind, now)
        return True

    def is_call_at_fault(self, refusals: Refusals, pool: Pool, member: Member) -> bool:
        """Whether the call's refusals, the last by `member`, speak of the call itself: then their parks are lifted."""
        if not refusals:
            return False
        alike = agree(refusals, refusals[-1], self._holders(refusals[-1], pool, refusals))
        if alike and self._blames_nobody(alike, pool, member):
            self._lift(alike, member)
        return bool(alike)

    def _blames_nobody(self, alike: Refusals, pool: Pool, member: Member) -> bool:
        last = alike[-1]
        served_at = self._board.breakers.model_served_at(member)
        if last.kind is OutcomeKind.CREDENTIAL_REJECTED or last.at - served_at > SERVED_S:
            return True
        resting = self._board.view(pool, last.at).resting
        rests = [resting.get(member.account_id) for member in pool.members]
        return all(rest is not None and rest.reason is OutcomeKind.NO_ACCESS_TO_MODEL for rest in rests)

    def _holders(self, last: Refusal, pool: Pool, refusals: Refusals) -> set[str]:
        """Who could have refused so: for a dead key every account there is, but for those known as dead already."""
        if last.kind not in ON_ALL:
            return {member.account.holder for member in pool.members}
        parked = self._board.holders_parked_for(last.kind)
        refused = {refusal.holder for refusal in refusals}
        return {
            account.holder
            for account in self._accounts(last, pool)
            if str(account.id) not in parked or account.holder in refused
        }

    def _accounts(self, last: Refusal, pool: Pool) -> list[Account]:
        if last.kind is OutcomeKind.CREDENTIAL_REJECTED:
            return list(self._board.snapshot.accounts_of.get(pool.provider.id, ()))
        return [member.account for member in pool.members]

    def _lift(self, refusals: Refusals, member: Member) -> bool:
        """False: there was no success for so long that the accounts are believed to be at fault."""
        last = refusals[-1]
        provider_id, now = member.account.provider_id, last.at
        doubt = self._doubts.get((provider_id, last.kind))
        served_at = self._board.breakers.provider_served_at(member)
        if doubt is None or doubt.since < served_at or now - doubt.last > FORGET_S:
            doubt = Doubt(now, now)
        self._doubts[provider_id, last.kind] = Doubt(doubt.since, now)
        if now - doubt.since > DOUBT_S:
            return False
        scopes = {refusal.scope for refusal in refusals}
        self._board.lift(scopes)
        self.on_lifted(Lifted(provider_id, last.kind, len(scopes), last.call_id))
        return True
