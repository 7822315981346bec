"""Which member of a pool a call goes to: one that may be tried and whose limits have room for it.

Rules of this file: nobody looks at all members for one call. A member that is found without room is set aside until
it has some again, so that who comes next does not meet it; each goes aside once for what is missing.

    tiers ──chosen, but no room for any call──▶ spent ──its time has come──▶ tiers
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from gateway.core.attempts import Plan
from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.relay.pool import Member, Pool, Spent, View, candidates_of

SOONEST_S = 0.0005
"""Shorter waits are none: a sleep is no more exact, and the time that is left is a rounding of floats."""
REFILL_KEPT_S = 0.25
"""How long a pool's refill is believed before it is added up anew."""


class Pick(NamedTuple):
    """Who takes the call; None: nobody may, or has room now."""

    member: Member | None
    room_at: Instant = FOREVER
    """When the first of those has room that have some now, but too little for this call."""


def pick(
    view: View,
    excluded: Collection[AccountId],
    tokens: int,
    now: Instant,
    choose: Callable[[Sequence[Member]], int],
) -> Pick:
    """`tokens`: what the call is charged; `choose`: the index of the best of some.

    A member whose whole limit is less than that comes last, and still has its chance: `tokens` is an estimate.
    """
    room_at = FOREVER
    too_small: Member | None = None
    while found := candidates_of(view, excluded):
        member = found[choose(found)]
        wait_s = member.wait_s(tokens, now)
        if wait_s <= SOONEST_S:
            if tokens <= member.headrooms[0].token_limit:
                return Pick(member)
            too_small = too_small or member
            excluded = {*excluded, member.account_id}
            continue
        for_any_s = member.wait_s(1, now)
        if for_any_s > SOONEST_S:
            _set_aside(view, member, Instant(now + for_any_s))
        else:
            excluded = {*excluded, member.account_id}
            room_at = min(room_at, Instant(now + wait_s))
    return Pick(too_small, room_at)


def too_large(plan: Plan, pool: Pool, refuser: Member, asked: int | None) -> Plan:
    """The plan of a call that `refuser` found too large: no account that is known to be no larger is asked any more.

    Where some are known to be large enough, none of an unknown limit either: the call has one try left. `asked`: what
    the refusal said that the call was charged; None: it did not say.
    """
    least = refuser.token_limit + 1 if asked is None else asked
    known = {member.account_id: member.token_limit for member in pool.members if member.token_limit < FOREVER}
    known[refuser.account_id] = 0.0
    large = {account_id for account_id, limit in known.items() if limit >= least}
    small = {member.account_id for member in pool.members} - large if large else set(known)
    return plan.too_large_for(small, has_larger=bool(large))


def set_aside(tiers: Sequence[list[Member]], now: Instant) -> list[Spent]:
    """Takes members without room out of their tiers; for a view that is being made."""
    spent: list[Spent] = []
    for index, tier in enumerate(tiers):
        waits = [member.wait_s(1, now) for member in tier]
        if any(waits):
            spent.extend(
                (Instant(now + wait_s), member.rank, index, member)
                for member, wait_s in zip(tier, waits, strict=True)
                if wait_s > SOONEST_S
            )
            tier[:] = [member for member, wait_s in zip(tier, waits, strict=True) if wait_s <= SOONEST_S]
    heapify(spent)
    return spent


def restore(view: View, now: Instant) -> None:
    """Members that were set aside and whose time has come may be tried again."""
    spent = view.spent
    while spent and spent[0][0] <= now:
        _, _, index, member = heappop(spent)
        insort(view.tiers[index], member, key=_rank)


def _set_aside(view: View, member: Member, until: Instant) -> None:
    for index, tier in enumerate(view.tiers):
        place = bisect_left(tier, member.rank, key=_rank)
        if place < len(tier) and tier[place] is member:
            del tier[place]
            heappush(view.spent, (until, member.rank, index, member))
            return


def _rank(member: Member) -> int:
    return member.rank


def refill_of(pool: Pool, view: View, tokens: int, now: Instant) -> float:
    """Calls of so many tokens a second that the pool's accounts serve over a long time; 0.0 = unknown."""
    kept_until, refill = pool.refill
    if now >= kept_until:
        refill = _refill_of(view, tokens)
        pool.refill = (Instant(now + REFILL_KEPT_S), refill)
    return refill


def _refill_of(view: View, tokens: int) -> float:
    members = [*(member for tier in view.tiers for member in tier), *(member for _, _, _, member in view.spent)]
    holders = {member.account.holder: member for member in members}
    rates = [min(headroom.refill(tokens) for headroom in member.headrooms) for member in holders.values()]
    return sum(rates) if all(rates) else 0.0
